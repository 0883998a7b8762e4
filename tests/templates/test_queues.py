"""The settings that the roles of task queues put over a project's own, read as Python reads them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.templates.conftest import Render

URL = "redis://:p%40ss@127.0.0.1:20001/0"
POSTGRES = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "blog",
    "USER": "blog",
    "PASSWORD": "",
    "HOST": "/var/run/postgresql",
    "PORT": "",
    "OPTIONS": {"sslmode": "require"},
}
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/srv/blog/shared/data/db.sqlite3"}


@pytest.fixture
def settings(render: Render, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a project's settings become, by role, broker, queues of the processes and the role's variables."""
    monkeypatch.setenv("HOMEPORT_APP", "blog")
    monkeypatch.setenv("BROKER_URL", URL)
    monkeypatch.setenv("TASK_WORKERS", "3")

    def found(
        role: str, broker: str, own: dict[str, Any], queues: tuple[str, ...] = (), **variables: Any
    ) -> dict[str, Any]:
        apps = {"blog": {"directory": "/c", "group": "blog", "broker": broker, "queues": list(queues)}}
        text = render(role, **{f"{role}_apps": apps}, **variables)[f"/c/40_{role}.py"]
        names = {"INSTALLED_APPS": ["blog"], "DATABASES": {"default": POSTGRES}, **own}
        exec(compile(text, role, "exec"), names)
        return {key: value for key, value in names.items() if key.isupper()}

    return found


def test_django_q(settings: Any) -> None:
    own = {"Q_CLUSTER": {"name": "mine", "timeout": 60, "orm": "other", "workers": 8}}
    cluster = settings("django_q", "redis", own)["Q_CLUSTER"]
    assert cluster["redis"] == URL
    assert "orm" not in cluster
    assert (cluster["name"], cluster["timeout"], cluster["workers"], cluster["recycle"]) == ("mine", 60, 3, 0)
    cluster = settings("django_q", "database", {}, django_q_timeout=10, django_q_retry=20)["Q_CLUSTER"]
    assert cluster["orm"] == "default"
    assert "redis" not in cluster
    assert (cluster["name"], cluster["timeout"], cluster["retry"]) == ("blog", 10, 20)


def test_celery(settings: Any) -> None:
    found = settings("celery", "redis", {"CELERY_BROKER_TRANSPORT_OPTIONS": {"priority_steps": [1]}})
    assert found["CELERY_BROKER_URL"] == URL
    assert found["CELERY_BROKER_TRANSPORT_OPTIONS"] == {"visibility_timeout": 3600, "priority_steps": [1]}
    assert "CELERY_TASK_ACKS_LATE" not in found
    found = settings("celery", "rabbitmq", {}, celery_acks_late=True)
    assert found["CELERY_BROKER_TRANSPORT_OPTIONS"] == {"confirm_publish": True}
    assert found["CELERY_TASK_ACKS_LATE"] is found["CELERY_TASK_REJECT_ON_WORKER_LOST"] is True
    assert found["CELERY_WORKER_PREFETCH_MULTIPLIER"] == 1


def test_huey(settings: Any) -> None:
    own = {
        "HUEY": {"name": "mine", "results": False, "connection": {"host": "x"}, "consumer": {"workers": 4}}
    }
    huey = settings("huey", "redis", own)["HUEY"]
    assert (huey["huey_class"], huey["url"], huey["immediate"]) == ("huey.RedisHuey", URL, False)
    assert (huey["name"], huey["results"]) == ("mine", False)
    assert "connection" not in huey
    assert huey["consumer"] == {"worker_type": "thread", "workers": 4}
    found = settings("huey", "database", {"HUEY": object()})
    assert found["HUEY"]["huey_class"] == "huey.PostgresHuey"
    assert found["HUEY"]["host"] == "/var/run/postgresql"
    assert found["HUEY"]["sslmode"] == "require"
    assert "password" not in found["HUEY"]
    assert found["INSTALLED_APPS"] == ["blog", "huey.contrib.djhuey"]
    found = settings("huey", "database", {"DATABASES": {"default": SQLITE}})
    assert found["HUEY"]["filename"] == "/srv/blog/shared/data/db.sqlite3.huey"


def test_rq(settings: Any) -> None:
    own = {"RQ_QUEUES": {"mails": {"HOST": "x", "DEFAULT_TIMEOUT": 7}}, "INSTALLED_APPS": ["django_rq"]}
    found = settings("rq", "redis", own, ("high",))
    assert found["RQ_QUEUES"] == {
        "default": {"URL": URL, "DEFAULT_TIMEOUT": 360},
        "high": {"URL": URL, "DEFAULT_TIMEOUT": 360},
        "mails": {"URL": URL, "DEFAULT_TIMEOUT": 7},
    }
    assert found["INSTALLED_APPS"] == ["django_rq"]


def test_django_tasks(settings: Any) -> None:
    own = {"TASKS": {"default": {"BACKEND": "x", "QUEUES": ["mails"]}, "other": {"BACKEND": "y"}}}
    found = settings("django_tasks", "database", own, ("high",))
    assert found["TASKS"] == {
        "default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default", "high", "mails"]},
        "other": {"BACKEND": "y"},
    }
    assert found["INSTALLED_APPS"] == ["blog", "django_tasks_db"]
