"""What an operator fears: broken releases, killed processes, cancelled runs. The site stays up."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance import checks
from tests.acceptance.album import Album
from tests.acceptance.operator import Operator
from tests.acceptance.under_load import load, lost, serves, wait_for


def test_a_deploy_loses_no_request(album: Album, operator: Operator, host: Any) -> None:
    operator.append("album/urls.py", "\n# a new version\n")
    before = album.health()["release"]
    with load(album) as running:
        done = operator.run("deploy")
    assert done.status == 0, done.output
    assert lost(running) == 0, running.summary()
    assert album.health()["release"] != before
    # every answer came from one of the two releases, and both did answer
    seen = {body.partition("release ")[2].strip() for body in running.bodies}
    assert seen == {before, album.health()["release"]}
    checks.check_processes(host)
    again = operator.run("deploy")
    assert again.status == 0
    assert again.changed == 0, again.output


def test_a_rollback_takes_seconds_and_loses_no_request(album: Album, operator: Operator, host: Any) -> None:
    operator.append("album/urls.py", "\n# a version to go back from\n")
    before = album.health()["release"]
    assert operator.run("deploy").status == 0
    newer = album.health()["release"]
    assert newer != before
    with load(album) as running:
        done = operator.run("rollback", "-e", "app=memories")
    assert done.status == 0, done.output
    assert lost(running) == 0, running.summary()
    assert album.health()["release"] == before
    checks.check_processes(host)
    assert operator.run("rollback", "-e", "app=memories", "-e", f"to={newer}").status == 0
    assert album.health()["release"] == newer
    unknown = operator.run("rollback", "-e", "app=memories", "-e", "to=20010101T000000-00000000")
    assert unknown.status != 0
    assert before in unknown.output, unknown.output
    wrong = operator.run("rollback", "-e", "app=memorys")
    assert wrong.status != 0
    assert "did you mean 'memories'?" in wrong.output, wrong.output
    assert album.health()["release"] == newer


BROKEN: dict[str, tuple[Callable[[Operator], object], dict[str, Any], list[str]]] = {
    "an import that fails": (
        lambda operator: operator.append("memories/urls.py", "\nimport no_such_module\n"),
        {},
        ["no_such_module"],
    ),
    "an app that fails to load": (
        lambda operator: operator.append("memories/wsgi.py", "\nraise RuntimeError('out of coffee')\n"),
        {},
        ["out of coffee", "does not start"],
    ),
    "a system check that fails": (
        lambda operator: operator.append(
            "album/models.py",
            "\nfrom django.core import checks\n\n\n@checks.register\ndef no(app_configs, **_):\n"
            "    return [checks.Error('the ink is dry', id='album.E001')]\n",
        ),
        {},
        ["album.E001", "the ink is dry"],
    ),
    "a health page that fails": (
        lambda operator: operator.edit(
            "memories/urls.py", '"health/", health.health', '"health/", lambda request: 1 / 0'
        ),
        {},
        ["status 500", "/health/"],
    ),
    "a boot that hangs": (
        lambda operator: operator.append("memories/wsgi.py", "\nimport time\ntime.sleep(300)\n"),
        {"health": {"path": "/health/", "timeout": 6}},
        ["not healthy after 6 s"],
    ),
    "a migration that fails": (
        lambda operator: (operator.source / "album/migrations/9999_broken.py").write_text(
            "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
            "    dependencies = [('album', '0002_digestrun')]\n"
            "    operations = [migrations.RunSQL('select no_such_column')]\n"
        ),
        {},
        ["migrate failed", "no_such_column"],
    ),
    "a requirement that does not exist": (
        lambda operator: None,
        {"requirements": {"packages": ["no-such-package-of-homeport==9.9"]}},
        ["no-such-package-of-homeport"],
    ),
    "a build command that fails": (
        lambda operator: None,
        {"build": ["echo building; exit 7"]},
        ["echo building; exit 7", "exit status 7"],
    ),
    "a git address that does not answer": (
        lambda operator: None,
        {"source": {"git": "https://localhost:9/no/such.git"}},
        ["https://localhost:9/no/such.git"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_release_leaves_the_old_one_serving(
    name: str, album: Album, operator: Operator, host: Any
) -> None:
    damage, changes, expected = BROKEN[name]
    damage(operator)
    before = album.health()["release"]
    with load(album, rate=50) as running:
        done = operator.run("deploy", changes=changes)
    assert done.status != 0, done.output
    for text in expected:
        assert text in done.output, done.output
    assert "memories" in done.output
    assert lost(running) == 0, running.summary()
    assert album.health()["release"] == before
    checks.check_processes(host)


def test_a_full_disk_leaves_the_old_release_serving(album: Album, operator: Operator, host: Any) -> None:
    operator.append("album/urls.py", "\n# larger\n")
    before = album.health()["release"]
    host.check_output("mount -t tmpfs -o size=64k,mode=0700,uid=$(id -u memories) tmpfs /srv/memories/cache")
    try:
        done = operator.run("deploy", changes={"requirements": {"packages": ["tomli"]}})
    finally:
        host.check_output("umount /srv/memories/cache")
    assert done.status != 0
    assert "No space left on device" in done.output, done.output
    assert album.health()["release"] == before
    assert operator.run("deploy").status == 0
    assert album.health()["release"] != before


def test_bad_input_is_refused_before_anything_changes(album: Album, operator: Operator, host: Any) -> None:
    before = host.check_output("cat /var/lib/homeport/*.json | sha256sum")
    done = operator.run("typical", changes={"procesess": {}, "domains": ["a'b%"], "web": {"workers": "many"}})
    assert done.status != 0
    assert "3 problems" in done.output, done.output
    assert "did you mean 'processes'?" in done.output
    assert "django_apps.memories.domains[0]" in done.output
    assert "django_apps.memories.web.workers: must be a whole number" in done.output
    assert host.check_output("cat /var/lib/homeport/*.json | sha256sum") == before
    assert serves(album)


def test_a_changed_setting_reaches_the_app_without_a_lost_request(
    album: Album, operator: Operator, host: Any
) -> None:
    hostile = 'it\'s "100 %" $HOME `id` \\n {x} #'
    with load(album) as running:
        done = operator.run(
            "deploy", changes={"env": {"MOTTO": hostile}, "web": {"workers": 1, "threads": 6}}
        )
    assert done.status == 0, done.output
    assert lost(running) == 0, running.summary()
    master = host.process.filter(user="memories", comm="gunicorn")
    environments = [
        host.file(f"/proc/{process.pid}/environ").content_string.split("\0") for process in master
    ]
    assert all(f"MOTTO={hostile}" in environment for environment in environments)
    assert len(master) == 2  # the arbiter and its one worker


def test_two_deploys_at_once(album: Album, operator: Operator, host: Any) -> None:
    slow = {"build": ["sleep 8"]}
    first = operator.start("deploy", changes=slow)
    wait_for(lambda: host.run("pgrep -f '[s]leep 8'").rc == 0, 60)
    second = operator.run("deploy", changes=slow)
    output = first.communicate(timeout=300)[0]
    assert first.returncode == 0, output
    assert second.status != 0
    assert "memories is being deployed by" in second.output, second.output
    assert operator.run("deploy").status == 0


@pytest.mark.parametrize(
    ("victim", "command"),
    [
        ("gunicorn", "pkill -KILL -u memories -o gunicorn"),
        ("a worker", "pkill -KILL -u memories -n gunicorn"),
        ("supervisord", "pkill -KILL -o supervisord"),
        ("nginx", "pkill -KILL -o nginx"),
        ("PostgreSQL", "pkill -KILL -u postgres -o postgres"),
    ],
)
def test_what_is_killed_serves_again(victim: str, command: str, album: Album, host: Any) -> None:
    release = album.health()["release"]
    host.check_output(command)
    time.sleep(0.1)
    # how quickly is for the bench to say: here other scenarios run beside
    wait_for(lambda: serves(album), 30)
    assert album.health()["release"] == release
    # and it stays: no process of the dead one is left behind, serving or in the way
    wait_for(lambda: host.run("supervisorctl status").stdout.count("RUNNING") == 2, 30)
    parents = host.check_output("ps -o ppid= -C gunicorn").split()
    assert "1" not in parents
    checks.check_processes(host)


@pytest.mark.parametrize("seconds", [3, 5, 6.5, 8, 9.5, 11])
def test_a_cancelled_run_is_finished_by_the_next(
    seconds: float, album: Album, operator: Operator, host: Any
) -> None:
    operator.append("album/urls.py", f"\n# version {seconds}\n")
    before = album.health()["release"]
    with load(album, rate=20) as running:
        operator.run_and_kill("typical", seconds)
        done = operator.run("typical")
    assert done.status == 0, done.output
    assert lost(running) == 0, running.summary()
    assert album.health()["release"] != before
    checks.check_processes(host)
    assert operator.run("typical").changed == 0
