"""What hands tasks over, and what is special about each queue.

The other tests run with every queue: TASK_QUEUE=huey ./manage.py test
"""

from unittest import mock, skipUnless

from django.conf import settings
from django.core.management import call_command
from django.test import SimpleTestCase, TestCase, override_settings

from album import queue, tasks
from album.models import DigestRun
from album.tests.pictures import picture
from album.tests.test_upload import UploadCase


def only(name):
    return skipUnless(name == settings.TASK_QUEUE, f"TASK_QUEUE is {settings.TASK_QUEUE}")


class HandOverTests(UploadCase):
    def test_the_queue_itself_takes_the_task(self):
        with mock.patch.object(queue, "run_now") as run_now:
            self.upload(picture(size=(60, 40)))
        if settings.TASK_QUEUE == "none":
            run_now = mock.Mock()
            tasks.make_renditions(self.album.photos.get().pk)
        run_now.assert_not_called()
        self.assertEqual(self.album.photos.get().status, "done")

    def test_a_queue_that_is_down_makes_the_visitor_wait_and_loses_nothing(self):
        def down(task, *args):
            raise ConnectionError("no broker")

        with (
            mock.patch.dict(queue.QUEUES, {settings.TASK_QUEUE: down}),
            self.assertLogs("album.queue", "ERROR"),
        ):
            self.upload(picture(size=(60, 40)))
        self.assertEqual(self.album.photos.get().status, "done")

    def test_every_task_is_found_by_its_name(self):
        tasks.run("send_digest")
        self.assertEqual(DigestRun.objects.count(), 1)
        with self.assertRaises(KeyError):
            tasks.run("logger")


class CheckTests(SimpleTestCase):
    def found(self, task_queue, broker="database", schedule=""):
        with override_settings(TASK_QUEUE=task_queue, BROKER=broker, DIGEST_SCHEDULE=schedule):
            return [error.id for error in queue.check_task_queue(None)]

    def test_which_queue_works_with_which_broker(self):
        works = {
            "none": {"database", "redis", "rabbitmq"},
            "django_q": {"database", "redis"},
            "celery": {"redis", "rabbitmq"},
            "huey": {"database", "redis"},
            "rq": {"redis"},
            "django_tasks": {"database"},
        }
        for name, brokers in works.items():
            for broker in ("database", "redis", "rabbitmq"):
                expected = [] if broker in brokers else ["album.E002"]
                self.assertEqual(self.found(name, broker), expected, (name, broker))

    def test_the_message_says_what_would_be_right(self):
        with override_settings(TASK_QUEUE="rq", BROKER="rabbitmq", DIGEST_SCHEDULE=""):
            (error,) = queue.check_task_queue(None)
        self.assertEqual(error.msg, "TASK_QUEUE is 'rq', which cannot keep its tasks in rabbitmq.")
        self.assertIn("redis", error.hint)

    def test_an_unknown_queue(self):
        self.assertEqual(self.found("pigeon"), ["album.E001"])

    def test_a_schedule_that_nobody_keeps(self):
        for name in ("none", "django_tasks"):
            self.assertEqual(self.found(name, schedule="0 6 * * *"), ["album.E003"])
        self.assertEqual(self.found("rq", "redis", "0 6 * * *"), [])


@only("django_q")
class DjangoQTests(TestCase):
    def schedules(self, cron):
        from django_q.models import Schedule

        with override_settings(DIGEST_SCHEDULE=cron):
            call_command("migrate", verbosity=0)
        return list(Schedule.objects.all())

    def test_the_schedule_follows_the_setting(self):
        (first,) = self.schedules("0 6 * * *")
        self.assertEqual((first.func, first.next_run.hour), ("album.tasks.send_digest", 6))
        # A deploy must not put off what is due.
        self.assertEqual(self.schedules("0 6 * * *"), [first])
        (other,) = self.schedules("0 7 * * *")
        self.assertEqual(other.next_run.hour, 7)
        self.assertEqual(self.schedules(""), [])

    def test_it_leads_to_a_digest(self):
        from django_q.scheduler import scheduler

        (schedule,) = self.schedules("* * * * *")
        for expected in (0, 1, 1):
            scheduler()
            self.assertEqual(DigestRun.objects.count(), expected)
            if not expected:
                type(schedule).objects.update(next_run="2026-01-01T00:00:00Z")


@only("celery")
class CeleryTests(TestCase):
    def test_the_command_line_finds_the_app(self):
        from celery.app.utils import find_app

        app = find_app("memories")
        self.assertIn("album.run", app.tasks)
        self.assertEqual(app.conf.broker_url, settings.CELERY_BROKER_URL)
        self.assertTrue(app.conf.task_acks_late)

    @skipUnless(settings.DIGEST_SCHEDULE, "DIGEST_SCHEDULE is empty")
    def test_beat_leads_to_a_digest(self):
        from memories.celery import app

        (entry,) = app.conf.beat_schedule.values()
        app.tasks[entry["task"]].delay(*entry["args"])
        self.assertEqual(DigestRun.objects.count(), 1)


@only("huey")
class HueyTests(TestCase):
    @skipUnless(settings.DIGEST_SCHEDULE, "DIGEST_SCHEDULE is empty")
    def test_the_clock_leads_to_a_digest(self):
        from huey.contrib.djhuey import HUEY

        (task,) = HUEY.read_periodic(None)
        HUEY.enqueue(task)
        self.assertEqual(DigestRun.objects.count(), 1)


@only("rq")
class RqTests(TestCase):
    @override_settings(DIGEST_SCHEDULE="* * * * *")
    def test_the_clock_leads_to_a_digest(self):
        from django_rq import get_queue
        from django_rq.cron import DjangoCronScheduler

        with mock.patch("django_rq.cron.get_connection", return_value=get_queue().connection):
            scheduler = DjangoCronScheduler()
            scheduler.load_config_from_file("memories.rqcron")
        (job,) = scheduler.get_jobs()
        self.assertEqual(job.cron, "* * * * *")
        with self.captureOnCommitCallbacks(execute=True):
            get_queue().enqueue(job.func)
        self.assertEqual(DigestRun.objects.count(), 1)


@only("django_tasks")
class DjangoTasksTests(TestCase):
    def test_the_worker_finds_the_task(self):
        from django.utils.module_loading import import_string
        from memories.django_tasks import run

        self.assertIs(import_string(run.module_path), run)
