from django.core.management.base import BaseCommand

from album.tasks import send_digest


class Command(BaseCommand):
    help = "Say what is new since a day ago, and keep it as today's digest. Meant to run once a day."

    def handle(self, *args, **options):
        self.stdout.write(str(send_digest()))
