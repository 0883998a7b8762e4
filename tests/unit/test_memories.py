"""The tests of examples/memories: all without a queue, with each queue those that hand tasks over.

Its requirements are installed as `requirements.files` of an inventory would name them.
"""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMORIES = ROOT / "examples" / "memories"
TASKS = [
    f"album.tests.{name}" for name in ("test_queue", "test_upload.TaskTests", "test_commands", "test_health")
]
QUEUES = {
    "none": (["redis", "memcached", "s3"], {}),
    "django_q": (["django_q"], {}),
    "celery": (["celery"], {"BROKER_URL": "amqp://127.0.0.1:1", "DIGEST_SCHEDULE": "* * * * *"}),
    "huey": (["huey"], {"DIGEST_SCHEDULE": "* * * * *"}),
    "rq": (["rq", "test"], {"BROKER_URL": "redis://127.0.0.1:1"}),
    "django_tasks": (["django_tasks"], {}),
}


def call(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=MEMORIES,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("queue", QUEUES)
def test_with(queue: str, tmp_path: Path) -> None:
    more, environment = QUEUES[queue]
    files = ["requirements.txt", *(f"requirements-{name}.txt" for name in more)]
    words = [word for name in files for word in ("-r", name)]
    python = f"{tmp_path}/venv/bin/python"
    call("uv", "venv", "--quiet", "--no-project", f"{tmp_path}/venv")
    call("uv", "pip", "install", "--quiet", "--python", python, *words, UV_SYSTEM_CERTS="1")
    environment |= {"TASK_QUEUE": queue, "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    told = call(python, "manage.py", "test", *(() if queue == "none" else TASKS), **environment)
    assert "\nOK" in told
