"""What an operator does besides deploying: management commands, and removing an app."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.acceptance.album import Album
from tests.acceptance.operator import ROOT, Operator, Run
from tests.acceptance.under_load import load, lost, settled, wait_for

GUESTS = {
    "domains": ["guests.example"],
    "health": "/health/",
    "processes": {"tick": "manage.py shell -c 'import time; time.sleep(1000000)'"},
    "schedules": {"digest": {"command": "manage.py send_digest", "calendar": "daily"}},
}
CANARY = "c4n4ry-of-the-superuser"


def in_site(folder: Path, *words: str) -> str:
    """What a command prints in a site's own folder, with nothing but the settings that are there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GIT_"))}
    return subprocess.run(words, cwd=folder, env=kept, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_a_new_site_can_be_committed_as_it_is(tmp_path: Path) -> None:
    site, program = tmp_path / "my site", tmp_path / "ask"
    site.mkdir()
    in_site(site, "git", "init", "--quiet", ".")
    (site / ".gitignore").write_text("*.swp\n")
    program.write_text("#!/bin/sh\necho from-a-program\n")
    program.chmod(0o755)
    more = ["-e", "environment_name=staging", "-e", f"vault_password_file={program}"]
    for options in ([], more):
        in_site(
            ROOT,
            "ansible-playbook",
            "playbooks/new_site.yml",
            "-e",
            json.dumps({"site": str(site)}),
            *options,
        )
    in_site(site, "git", "add", ".")
    committed = in_site(site, "git", "ls-files").splitlines()
    assert {"typical.yml", "prod/group_vars/all/vault.yml", "staging/group_vars/all/vault.yml"} <= set(
        committed
    )
    for name in ("prod", "staging"):
        apps = site / name / "group_vars/all/apps.yml"
        [schema] = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", apps.read_text(), re.MULTILINE)
        assert str((apps.parent / schema).resolve().relative_to(site.resolve())) in committed
    assert ".vault-password" not in committed
    assert (site / ".vault-password").stat().st_mode & 0o777 == 0o600
    secrets = [
        yaml.safe_load(in_site(site, "ansible-vault", "view", *options, f"{name}/group_vars/all/vault.yml"))
        for name, options in (("prod", []), ("staging", ["--vault-password-file", str(program)]))
    ]
    assert all(len(found["homeport_secret"]) == 64 for found in secrets)
    assert secrets[0]["homeport_secret"] != secrets[1]["homeport_secret"]
    assert "homeport_secret" not in in_site(site, "git", "grep", "--cached", "-h", "").replace(
        "`homeport_secret`", ""
    )
    # nothing has to be asked for
    words = ["ansible", "localhost", "-i", "prod", "-m", "debug"]
    shown = in_site(
        site, *words, "-a", "msg={{ [homeport_secret] | homeport.django.archive_passwords | length }}"
    )
    assert "msg: 1" in shown, shown


def manage(operator: Operator, command: str, *options: str, app: str = "memories") -> Run:
    return operator.run("manage", "-e", f"app={app}", "-e", f"command={command}", *options)


def test_a_command_and_what_it_prints(operator: Operator) -> None:
    done = manage(operator, "showmigrations --plan album")
    assert done.status == 0, done.output
    assert "[X]  album.0001_initial\n" in done.output
    assert manage(operator, "manage.py check").status == 0


def test_a_command_that_fails(operator: Operator) -> None:
    done = manage(operator, "migrate no_such_app")
    assert done.status != 0
    assert "No installed app with label 'no_such_app'" in done.output, done.output
    assert "manage.py migrate no_such_app ended with exit status 1" in done.output


def test_input_and_variables(operator: Operator, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os; print('motto:', os.environ['MOTTO'], os.getuid() > 0)\n")
    done = manage(operator, "shell", "-e", f"input={script}", "-e", '{"env": {"MOTTO": "it\'s $HOME"}}')
    assert "motto: it's $HOME True\n" in done.output, done.output


@pytest.mark.parametrize(
    ("command", "expected"),
    # what is read from Ansible's own command line, and from the terminal; the rest is in tests/unit
    [
        ("check seconds=3", "need an option of their own"),
        ("createsuperuser", "there is no terminal to ask at"),
        ("dbshell", "ssh -t "),
    ],
)
def test_what_is_refused(command: str, expected: str, operator: Operator) -> None:
    done = manage(operator, command)
    assert done.status != 0
    assert expected in done.output, done.output


def test_check_mode_runs_nothing(operator: Operator, host: Any) -> None:
    done = manage(operator, 'shell -c \'open("/tmp/ran", "w")\'', "--check")
    assert done.status == 0, done.output
    assert "Would run on" in done.output
    assert not host.file("/tmp/ran").exists


def test_a_superuser_whose_password_is_seen_nowhere(
    operator: Operator, host: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = f"root{time.time_ns()}"
    monkeypatch.setenv("DJANGO_SUPERUSER_USERNAME", name)
    monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "root@example.org")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "12345")
    assert "The project rejects this password" in manage(operator, "createsuperuser").output
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", CANARY)
    began = host.check_output("date +%s")
    done = manage(operator, "createsuperuser", "-vvv", "--diff")
    assert done.status == 0, done.output
    assert "Superuser created successfully." in done.output
    assert CANARY not in done.output
    assert CANARY not in host.check_output(f"journalctl --no-pager --since @{began}")
    # sudo writes down what is asked for here, too: that must not be found
    pattern = CANARY.replace("-", "[-]")
    assert host.run(f"grep -rl {pattern} /root /home /tmp /var/tmp /var/log /srv/memories").stdout == ""
    # by standard input, since a command is written into the journal: the next run looks there, too
    script = tmp_path / "script.py"
    script.write_text(
        "from django.contrib.auth import authenticate\n"
        f"print(authenticate(username={name!r}, password={CANARY!r}))\n"
    )
    done = manage(operator, "shell", "-e", f"input={script}")
    assert f"\n{name}\n" in done.output, done.output


def test_a_command_ends_with_the_controller(operator: Operator, host: Any) -> None:
    code = 'import subprocess, time; subprocess.Popen(["sleep", "54321"]); time.sleep(54321)'
    running = operator.start("manage", "-e", "app=memories", "-e", f"command=shell -c '{code}'")
    try:
        wait_for(lambda: host.run("pgrep -u memories -f 'sleep 54321'").rc == 0, 300)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
    wait_for(lambda: host.run("pgrep -u memories -f 54321").rc != 0, 60)
    running.communicate()


def test_a_command_whose_time_is_over(operator: Operator, host: Any) -> None:
    done = manage(operator, "shell -c 'import time; time.sleep(54322)'", "-e", "seconds=3")
    assert done.status != 0
    assert "was ended after 3 s" in done.output, done.output
    assert host.run("pgrep -u memories -f 54322").rc != 0


def status(album: Album, domain: str) -> int:
    return album.get("/health/", host=domain).status_code


def counted(host: Any, database: str) -> str:
    """Rows of every table."""
    query = (
        "select table_name, (xpath('/row/c/text()', query_to_xml(format("
        "'select count(*) as c from %I', table_name), false, true, '')))[1] "
        "from information_schema.tables where table_schema = 'public' order by 1"
    )
    return str(host.check_output(f'runuser -u postgres -- psql -qAt -d {database} -c "{query}"'))


def processes(host: Any) -> str:
    return str(host.check_output("pgrep -u memories | sort"))


SIGN_IN = """
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
user = get_user_model().objects.create_superuser("ann")
session = SessionStore()
session["_auth_user_id"] = str(user.pk)
session["_auth_user_backend"] = settings.AUTHENTICATION_BACKENDS[0]
session["_auth_user_hash"] = user.get_session_auth_hash()
session.save()
print("session:", session.session_key)
"""


def test_an_app_is_renamed_with_all_that_it_has(
    album: Album, operator: Operator, host: Any, tmp_path: Path
) -> None:
    operator.others = {"friends": GUESTS}
    done = operator.run("typical")
    assert done.status == 0, done.output
    assert manage(operator, "seed_demo", app="friends").status == 0
    (tmp_path / "sign_in.py").write_text(SIGN_IN)
    done = manage(operator, "shell", "-e", f"input={tmp_path / 'sign_in.py'}", app="friends")
    [key] = re.findall(r"^session: (\w+)$", done.output, re.MULTILINE)
    rows, before = counted(host, "friends"), processes(host)
    media = host.check_output("cd /srv/friends/shared/media && find . -type f | sort | xargs sha256sum")

    operator.others = {"guests": GUESTS}
    done = operator.run("typical")
    assert done.status != 0
    assert "rename friends with its data (was: friends)" in done.output, done.output
    operator.others = {"guests": {**GUESTS, "was": "friends"}}
    done = operator.run("deploy")
    assert done.status != 0
    assert "web1 still has friends. Run the playbook typical first" in done.output, done.output

    renaming = operator.start("typical")
    assert renaming.stdout
    told = []
    for line in renaming.stdout:  # before the release of the new name is live
        told.append(line)
        if line.startswith("TASK [Gather facts of the hosts]"):
            break
    wait_for(lambda: host.run("test -d /srv/guests").rc == 0, 60)
    # not the health page, which monitoring still reaches
    wait_for(lambda: album.get("/", host="guests.example").status_code == 503, 60)
    output = "".join(told) + renaming.communicate(timeout=600)[0]
    assert renaming.returncode == 0, output
    assert "friends is renamed to guests." in output
    assert status(album, "guests.example") == 200
    assert counted(host, "guests") == rows
    assert (
        host.check_output("cd /srv/guests/shared/media && find . -type f | sort | xargs sha256sum") == media
    )
    page = album.get("/admin/", host="guests.example", headers={"Cookie": f"sessionid={key}"})
    assert page.status_code == 200, page.text[:500]
    assert processes(host) == before
    check_nothing_has_the_name(host, "friends")
    again = operator.run("typical")
    assert (again.status, again.changed) == (0, 0), again.output


def test_an_app_is_removed_and_the_other_one_notices_nothing(
    album: Album, operator: Operator, host: Any
) -> None:
    operator.others = {"guests": GUESTS}
    done = operator.run("typical")
    assert done.status == 0, done.output
    assert manage(operator, "seed_demo", app="guests").status == 0
    assert status(album, "guests.example") == 200
    host.check_output("runuser -u guests -- ln -s /etc/shadow /srv/guests/shared/media/shadow")
    host.check_output("runuser -u guests -- ln -s /srv/memories /srv/guests/shared/data/memories")
    host.check_output("runuser -u guests -- touch /tmp/of-guests")
    rows, before = counted(host, "guests"), processes(host)
    assert "album_photo|8" in rows
    settled(host)
    files = host.check_output("find /srv/memories | sort | sha256sum")

    # nobody says yes
    done = operator.run("remove_app", "-e", "app=guests")
    assert done.status != 0
    assert "-e confirm=guests" in done.output, done.output
    assert "/srv/guests (" in done.output
    assert operator.run("remove_app", "-e", "app=guests", "-e", "confirm=yes").status != 0
    assert status(album, "guests.example") == 200

    # no dump, no removal
    host.check_output(
        "mkdir -p /var/backups/homeport && mount -t tmpfs -o size=64k tmpfs /var/backups/homeport"
    )
    try:
        done = operator.run("remove_app", "-e", "app=guests", "-e", "confirm=guests")
        assert host.check_output("ls -A /var/backups/homeport") == ""
    finally:
        host.check_output("umount /var/backups/homeport")
    assert done.status != 0
    assert "No space left on device" in done.output, done.output
    assert "Nothing was removed" in done.output
    wait_for(lambda: status(album, "guests.example") == 200, 60)

    with load(album) as running:
        done = operator.run("remove_app", "-e", "app=guests", "-e", "confirm=guests")
    assert done.status == 0, done.output
    assert "Now remove guests from" in done.output
    assert lost(running) == 0, running.summary()
    assert processes(host) == before
    assert host.check_output("find /srv/memories | sort | sha256sum") == files
    check_nothing_is_left(album, host)
    check_the_dump(host, rows)

    # there is nothing left to remove, whether it is still declared or not, and nothing comes back
    again = operator.run("remove_app", "-e", "app=guests", "-e", "confirm=guests")
    assert (again.status, again.changed) == (0, 0), again.output
    operator.others = {}
    again = operator.run("remove_app", "-e", "app=guests")
    assert (again.status, again.changed) == (0, 0), again.output
    assert "nothing of guests (removed " in again.output
    assert operator.run("typical").changed == 0
    unknown = operator.run("remove_app", "-e", "app=ghosts", "-e", "confirm=ghosts")
    assert unknown.status != 0
    assert "there is no ghosts in django_apps, and nothing of it on" in unknown.output


def check_nothing_is_left(album: Album, host: Any) -> None:
    with pytest.raises(requests.ConnectionError):
        album.get("/", host="guests.example")
    check_nothing_has_the_name(host, "guests", "-o -path /var/lib/homeport/deploys/guests.jsonl")
    line = host.check_output("tail -n 1 /var/lib/homeport/deploys/guests.jsonl")
    assert yaml.safe_load(line)["verb"] == "remove"
    assert host.file("/var/lib/homeport/deploys/guests.jsonl").mode == 0o600


def check_nothing_has_the_name(host: Any, name: str, but: str = "") -> None:
    assert host.run(f"getent passwd {name}").rc != 0
    assert host.run(f"getent group {name}").rc != 0
    assert name not in host.check_output("runuser -u postgres -- psql -lqAt")
    roles = f"select count(*) from pg_roles where rolname ~ '^{name}'"
    assert host.check_output(f'runuser -u postgres -- psql -qAt -c "{roles}"') == "0"
    kept = f"-path '/var/backups/*' -o -path '/proc/*' -o -path '/sys/*' {but}"
    # the operator's domains are not on the server
    found = host.check_output(
        f"find / -ignore_readdir_race \\( {kept} \\) -prune -o \\( -name '*{name}*' -o -nouser -o -nogroup \\) -print"
    )
    assert found == ""
    assert (
        host.run(
            f"grep -rl {name} /etc/nginx /etc/supervisor /etc/systemd /etc/tmpfiles.d /etc/postgresql"
        ).rc
        == 1
    )
    assert host.check_output("systemctl --failed --no-legend") == ""


def check_the_dump(host: Any, rows: str) -> None:
    folder = host.check_output("ls -d /var/backups/homeport/guests-*")
    assert host.file(folder).mode == 0o700
    assert host.run(f"runuser -u memories -- ls {folder}").rc != 0
    manifest = yaml.safe_load(host.file(f"{folder}/manifest.json").content_string)
    assert {entry["file"] for entry in manifest["contents"]} == {
        "config.tar.gz", "data.tar.gz", "guests.pgdump",
    }  # fmt: skip
    for entry in manifest["contents"]:
        assert host.file(f"{folder}/{entry['file']}").sha256sum == entry["sha256"]
    data = host.check_output(f"tar -tvzf {folder}/data.tar.gz")
    assert "shared/media/shadow -> /etc/shadow" in data
    assert "shared/data/memories -> /srv/memories" in data
    assert "releases" not in data
    assert "srv/guests/config/env" in host.check_output(f"tar -tzf {folder}/config.tar.gz")
    host.check_output("runuser -u postgres -- createdb scratch")
    try:
        host.check_output(
            f"runuser -u postgres -- pg_restore --no-owner --dbname=scratch < {folder}/guests.pgdump"
        )
        assert counted(host, "scratch") == rows
    finally:
        host.check_output("runuser -u postgres -- dropdb --if-exists scratch")
