import signal
import time
from typing import Any

from django.core.management.base import BaseCommand

from work.tasks import submitter


class Command(BaseCommand):
    help = "Hands tasks to a queue at a steady rate until it is told to stop, and says how many."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("queue")
        parser.add_argument("--rate", type=float, default=30)
        parser.add_argument("--count", type=int, default=1000000)
        parser.add_argument("--first", type=int, default=0, help="number that they are counted from")
        parser.add_argument("--seconds", type=float, default=0, help="that each task takes")

    def handle(self, *args: Any, **options: Any) -> None:
        going = True

        def stop(*_: Any) -> None:
            nonlocal going
            going = False

        signal.signal(signal.SIGTERM, stop)
        submit = submitter(options["queue"])
        started, number = time.monotonic(), 0
        while going and number < options["count"]:
            number += 1
            submit(options["first"] + number, options["seconds"])
            time.sleep(max(0.0, started + number / options["rate"] - time.monotonic()))
        self.stdout.write(str(number))
