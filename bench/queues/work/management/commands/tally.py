import json
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count

from work.models import Done


class Command(BaseCommand):
    help = "How many tasks were done, and how many of them more than once; --forget starts anew."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--forget", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["forget"]:
            Done.objects.all().delete()
        times = Done.objects.values("number").annotate(times=Count("id"))
        result = {"done": times.count(), "twice": times.filter(times__gt=1).count()}
        self.stdout.write(json.dumps(result))
