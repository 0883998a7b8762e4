"""What an operator fears: broken releases, killed processes, cancelled runs. The site stays up."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance import checks
from tests.acceptance.album import Album
from tests.acceptance.operator import Operator
from tests.acceptance.slow import slow_client
from tests.acceptance.under_load import load, lost, serves, settled, wait_for


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
    held = operator.run("deploy")
    assert held.status != 0
    assert f"{newer} was rolled back" in held.output, held.output
    assert "-e again=true makes it live" in held.output
    assert album.health()["release"] == before
    assert operator.run("rollback", "-e", "app=memories", "-e", f"to={newer}").status == 0
    assert album.health()["release"] == newer
    unknown = operator.run("rollback", "-e", "app=memories", "-e", "to=20010101T000000-00000000")
    assert unknown.status != 0
    assert before in unknown.output, unknown.output
    assert album.health()["release"] == newer


# More of them, and what is said of each, are in the scenario layouts.
BROKEN: dict[str, tuple[Callable[[Operator], object], dict[str, Any], list[str]]] = {
    "a system check that fails": (
        lambda operator: operator.append(
            "album/models.py",
            "\nfrom django.core import checks\n\n\n@checks.register\ndef no(app_configs, **_):\n"
            "    return [checks.Error('the ink is dry', id='album.E001')]\n",
        ),
        {},
        ["album.E001", "the ink is dry"],
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
    "a source that the host has no program for": (
        lambda operator: None,
        {"source": {"git": "https://localhost:9/no/such.git"}},
        ["web1 does not have git for memories", "run the playbook typical first"],
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


# Fields of apps, each of its own, with what nobody should write, and what the message must begin with.
HOSTILE: list[tuple[str, Any, str]] = [
    ("procesess", {}, "procesess: is not a field here (did you mean 'processes'?)"),
    ("domains", ["a'b%"], "domains[0]: must be a host name"),
    ("domains", ["a.example; return 200"], "domains[0]: must be a host name"),
    ("web", {"workers": "many"}, "web.workers: must be a whole number"),
    ("web", {"gunicorn": {"class": 1}}, "web.gunicorn.class: is not the name of a gunicorn setting"),
    ("source", {"git": "--upload-pack=id"}, "source.git: is not the address of a git repository"),
    ("source", {"git": "https://git.example/x", "version": "--x"}, "source.version: must be a branch, tag or commit"),
    ("source", {"path": "../x", "subdirectory": "../../etc"}, "source.subdirectory: must be a path inside the source"),
    ("files", {"../x": "x"}, "files: '../x' is not a good name here"),
    ("files", {"a": "x", "a/b": "x"}, "files.'a/b': lies in a"),
    ("env", {"A": "x\0y"}, "env.A: contains a NUL byte"),
    ("env", {"A": "x" * 140_000}, "env.A: must have at most"),
    ("env", {"PWD": "/"}, "env.PWD: is a variable of the shell's own"),
    ("env", {"HOMEPORT_APP": "x"}, "env.HOMEPORT_APP: is a variable that Homeport sets"),
    ("health", "/a\nb", "health.path: must be a single line"),
    ("health", "/%ff", "health.path: is percent-encoded in something else than UTF-8"),
    ("static", {"url": "/a/../b/"}, "static.url: must start and end with a slash"),
    ("proxy", {"extra": "}\nserver {"}, "proxy.extra: is not complete in itself: one } too many in line 1"),
    ("processes", {"x": "a && b"}, "processes.x.command: must be one command"),
    ("processes", {"x": "'a"}, "processes.x.command: cannot be split into words"),
    ("schedules", {"x": {"command": "true", "calendar": "daily\nOnBootSec=1"}}, "schedules.x.calendar: must be a"),
    ("schedules", {"x": {"command": "fi", "calendar": "daily"}}, "schedules.x.command: is not a valid shell command"),
    ("hooks", {"after_build": ["echo '"]}, "hooks.after_build[0]: is not a valid shell command"),
    ("overlay_settings", {"A": "1; import os"}, "overlay_settings.A: is not a Python expression"),
    ("database", {"name": "x\" OWNER y"}, "database.name: must be lower-case letters"),
    ("system_packages", ["sudo-"], "system_packages[0]: must be the name of a Debian package"),
    ("limits", {"memory": "64; rm -rf /"}, "limits.memory: must be a whole number"),
    ("shared", ["a", "a/b"], "shared[1]: lies in another of these paths"),
]  # fmt: skip
# The same of the roles' own variables.
HOSTILE_INPUTS: list[tuple[str, Any, str]] = [
    ("nginx_sites", {"../x": {"server_names": ["x"], "upstream": "h:1"}}, "nginx_sites: '../x' is not a good name"),
    ("nginx_client_timeout", "5s; daemon off", "nginx_client_timeout: must be a whole number"),
    ("supervisord_programs", {"x": {"command": "a\nuser=root"}}, "supervisord_programs.x.command: must be a"),
    ("postgres_settings", {"a'b": 1}, "postgres_settings: 'a'b' is not a good name here"),
    ("certificates_email", "x y", "certificates_email: must be an address"),
]  # fmt: skip

# What changes on a host by being logged in and asked.
TRACES = (
    "( -path /run -o -path /tmp -o -path /var/tmp -o -path /var/log -o -path /var/lib/systemd -o -path /var/lib/sudo "
    "-o -path /var/lib/postgresql -o -path /var/backups -o -path /var/lib/logrotate "
    "-o -name .ansible -o -name __pycache__ )"
)


def test_bad_input_is_refused_before_anything_changes(album: Album, operator: Operator, host: Any) -> None:
    settled(host)
    host.check_output("touch /run/before-bad-input")
    apps: dict[str, dict[str, Any]] = {}
    for number, (field, value, _told) in enumerate(HOSTILE):
        source = {"source": {"path": str(operator.source)}}
        apps[f"bad{number}"] = {"domains": [f"bad{number}.example"], **source, field: value}
    words = json.dumps({name: value for name, value, _told in HOSTILE_INPUTS})
    done = operator.run("typical", "-e", words, apps=apps)
    assert done.status != 0
    assert "before anything was changed on any host" in done.output, done.output
    missing = [
        told
        for number, (*_field, told) in enumerate(HOSTILE)
        if f"- django_apps.bad{number}.{told}" not in done.output
    ]
    missing += [told for *_input, told in HOSTILE_INPUTS if f"- {told}" not in done.output]
    assert not missing, done.output
    assert "changed=0" in done.output
    newer = "-newercm /run/before-bad-input -not -path /home/admin"
    changed = f"find / -xdev -ignore_readdir_race {TRACES} -prune -o {newer} -print"
    assert host.check_output(changed.replace("(", r"\(").replace(")", r"\)")) == ""
    assert serves(album)


@pytest.mark.parametrize(("kind", "held"), [("header", 1500), ("body", 200)])
def test_1600_slow_connections_of_one_client_stop_nobody_else(
    kind: str, held: int, album: Album, host: Any
) -> None:
    with slow_client(host, kind, 1600) as client:
        wait_for(lambda: client.told()["open"] >= held, 60)
        # the client is at the server, whose visitors are elsewhere
        with load(album, rate=50) as running:
            time.sleep(10)
        told = client.told()
    assert told["opened"] > 1600, told
    assert told["most"] >= held, told
    summary = running.summary()
    assert summary["lost"] == 0, summary
    # the other scenario's packages, too, make a few wait on a machine of two cores
    assert sorted(running.latencies)[int(len(running.latencies) * 0.95)] < 5, summary


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
    go = "/srv/memories/shared/data/go"
    slow = {"build": [f"until test -e {go}; do sleep 0.1; done"]}
    first = operator.start("deploy", changes=slow)
    try:
        wait_for(lambda: host.run("pgrep -u memories -f 'until test -e'").rc == 0, 300)
        second = operator.run("deploy", changes=slow)
    finally:
        host.check_output(f"touch {go}")
    output = first.communicate(timeout=300)[0]
    host.check_output(f"rm {go}")
    assert first.returncode == 0, output
    assert second.status != 0
    assert "memories is locked by" in second.output, second.output


@pytest.mark.parametrize(
    ("victim", "which"),
    [
        ("gunicorn", "pgrep -u memories -o gunicorn"),
        ("a worker", "pgrep -u memories -n gunicorn"),
        ("supervisord", "systemctl show --property=MainPID --value supervisor"),
        ("nginx", "systemctl show --property=MainPID --value nginx"),
        ("PostgreSQL", "pgrep -u postgres -o postgres"),
    ],
)
def test_what_is_killed_serves_again(victim: str, which: str, album: Album, host: Any) -> None:
    release = album.health()["release"]
    pid = host.check_output(which)
    host.check_output(f"kill -KILL {pid}")
    # what it leaves may go on answering for a while
    wait_for(lambda: host.run(which).stdout.strip() not in ("", "0", pid), 60)
    # how quickly is for the bench to say: here other scenarios run beside
    wait_for(lambda: serves(album), 60)
    assert album.health()["release"] == release
    # and it stays: no process of the dead one is left behind, serving or in the way
    wait_for(lambda: host.run("supervisorctl status").stdout.count("RUNNING") == 2, 60)
    wait_for(lambda: "1" not in (host.run("ps -o ppid= -C gunicorn").stdout.split() or ["1"]), 60)
    checks.check_processes(host)


@pytest.mark.parametrize(
    ("play", "seconds"),
    [
        ("Prepare the hosts", 1),
        ("Configure Django, gunicorn, the workers and supervisord", 1),
        ("Build the releases and migrate", 3),
    ],
)
def test_a_cancelled_run_is_finished_by_the_next(
    play: str, seconds: float, album: Album, operator: Operator, host: Any
) -> None:
    operator.append("album/urls.py", f"\n# version {play} {seconds}\n")
    before = album.health()["release"]
    with load(album, rate=20) as running:
        operator.run_and_kill("typical", play, seconds)
        done = operator.run("typical")  # which ends what is left on the host
    assert done.status == 0, done.output
    assert lost(running) == 0, running.summary()
    assert album.health()["release"] != before
    checks.check_processes(host)
    # and has left nothing to do, which one of them shows
    if play.startswith("Build"):
        assert operator.run("typical").changed == 0
