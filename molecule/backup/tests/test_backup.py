"""Backups that have been restored: on the same server, beside it, and on one that had nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

from tests.acceptance.album import Album, picture
from tests.acceptance.operator import ROOT, Operator

testinfra_hosts = ["ansible://web1"]

STATE = "/var/lib/homeport/backups"
SITE = "/var/backups/site"


@pytest.fixture
def vault(host: Any) -> Any:
    inventory = host.backend.ansible_runner.inventory_file
    return testinfra.get_host("ansible://vault1", ansible_inventory=inventory, sudo=True)


@pytest.fixture(autouse=True)
def backed_up(album: Album, host: Any) -> Iterator[None]:
    """An album, a user's file with hard names, and a backup of both."""
    if not host.file(f"{STATE}/memories.json").exists:
        path = album.new_album("Before the fire")
        for number in range(3):
            album.upload(path, picture(90 + number, 60), caption=f"photo {number}")
        host.check_output("runuser -u memories -- ln -s /etc/shadow /srv/memories/shared/media/shadow")
        host.check_output("runuser -u memories -- touch '/srv/memories/shared/data/a *[b]? \"ü\"'")
        host.check_output("systemctl start homeport-backup")
    yield


def rows(host: Any) -> str:
    """Every row of the app's own tables."""
    script = (
        "for table in $(psql -qAtc \"select tablename from pg_tables where schemaname = 'public' order by 1\"); do "
        'echo "$table"; psql -qAtc "select * from \\"$table\\" order by 1"; done'
    )
    return str(host.check_output(f"runuser -u memories -- sh -c '{quoted(script)}'"))


def quoted(script: str) -> str:
    return script.replace("'", "'\\''")


def files(host: Any) -> str:
    """Every file with its content, its owner and its rights."""
    where = "/srv/memories/shared /srv/memories/home"
    listed = host.check_output(f"find {where} -printf '%p %U %G %m %l\\n' | sort")
    digests = host.check_output(f"find {where} -type f -exec sha256sum {{}} + | sort")
    return f"{listed}\n{digests}"


def destroy(host: Any) -> None:
    statements = "truncate album_photo, album_album cascade; drop table if exists album_digestrun"
    host.check_output(f"runuser -u memories -- psql -qc '{statements}'")
    host.check_output("rm -rf /srv/memories/shared/media/* /srv/memories/shared/data/*")


def outcome(host: Any, kind: str, name: str = "memories") -> dict[str, Any]:
    state = json.loads(host.file(f"{STATE}/{name}.json").content_string)
    found: dict[str, Any] = state[kind]["last"]
    return found


def restore(operator: Operator, *options: str) -> Any:
    return operator.run("restore", "-e", "app=memories", *options)


def test_what_was_backed_up_is_restored_exactly(album: Album, operator: Operator, host: Any) -> None:
    before = rows(host), files(host)
    destroy(host)
    assert "Before the fire" not in album.get("/").text
    refused = restore(operator)
    assert refused.status != 0
    assert "say -e confirm=memories" in refused.output, refused.output
    assert restore(operator, "-e", "confirm=memories", "--check").status == 0
    assert rows(host) != before[0]
    done = restore(operator, "-e", "confirm=memories")
    assert done.status == 0, done.output
    assert "memories is restored: 14 tables" in done.output, done.output
    assert (rows(host), files(host)) == before
    assert "Before the fire" in album.get("/").text
    assert not host.file("/srv/memories/restoring").exists
    assert not host.file("/srv/memories/maintenance/on").exists
    line = json.loads(host.check_output("tail -n 1 /var/lib/homeport/deploys/memories.jsonl"))
    assert line["verb"] == "restore"
    # what was replaced can be had again, and is not what a second restore takes
    listed = host.check_output("homeport-backup list")
    assert listed.count("scheduled") == 1
    assert listed.count("before-restore") == 1


def test_a_restore_that_fails_leaves_everything_as_it_was(
    album: Album, operator: Operator, host: Any
) -> None:
    before = rows(host), files(host)
    # something in the database that is not the app's: it cannot be made empty, and nothing may be lost on the way
    made = (
        "create schema guard; grant usage on schema guard to public; "
        "create function guard.one() returns int language sql return 1"
    )
    host.check_output(f"runuser -u postgres -- psql -qd memories -c '{made}'")
    try:
        done = restore(operator, "-e", "confirm=memories")
        assert done.status != 0
        assert "must be owner of function" in done.output, done.output
        assert files(host) == before[1]
        assert rows(host) == before[0]
        assert "Before the fire" in album.get("/").text
        assert not host.file("/srv/memories/maintenance/on").exists
    finally:
        host.check_output("runuser -u postgres -- psql -qd memories -c 'drop schema guard cascade'")


def test_a_drill(host: Any) -> None:
    host.check_output("systemctl start homeport-drill")
    found = outcome(host, "drill")
    assert found["ok"], found
    assert found["tables"] == 14
    assert found["rows"] == outcome(host, "backup")["rows"]
    assert outcome(host, "drill", "@all")["ok"]
    assert "homeport_drill" not in host.check_output("runuser -u postgres -- psql -lqAt")
    assert host.file(f"{STATE}/scratch").listdir() == []


def test_a_damaged_repository_is_noticed(host: Any, vault: Any) -> None:
    path = vault.check_output(f"find {SITE}/data -type f -printf '%s %p\\n' | sort -n | tail -n 1").split()[1]
    vault.check_output(f"cp -p {path} /tmp/intact")
    flip = f"d = bytearray(open('{path}', 'rb').read()); d[len(d) // 3] ^= 1; open('{path}', 'wb').write(d)"
    vault.check_output(f'chmod u+w {path} && python3 -c "{flip}"')
    try:
        assert host.run("systemctl start homeport-drill").rc != 0
        bad = [outcome(host, "drill", name) for name in ("memories", "@all")]
        assert not all(entry["ok"] for entry in bad), bad
        assert "homeport-drill" in host.check_output("systemctl --failed --no-legend")
    finally:
        vault.check_output(f"cp -p /tmp/intact {path}")
    host.check_output("systemctl start homeport-drill")
    assert outcome(host, "drill")["ok"]
    # the last good one is still known after a bad one
    host.check_output("systemctl reset-failed")


def test_a_wrong_password_is_refused(operator: Operator, host: Any) -> None:
    before = rows(host)
    path = "/etc/homeport/backup/password"
    host.check_output(f"cp -p {path} {path}.right && echo another-password-altogether >{path}")
    try:
        done = restore(operator, "-e", "confirm=memories")
        assert done.status != 0
        assert "does not open with this password" in done.output, done.output
        assert host.run("systemctl start homeport-backup").rc != 0
        assert "does not open with this password" in outcome(host, "backup")["message"]
    finally:
        host.check_output(f"mv {path}.right {path}")
    host.check_output("systemctl reset-failed; systemctl start homeport-backup")
    assert outcome(host, "backup")["ok"]
    assert rows(host) == before


def test_the_password_is_changed(operator: Operator, host: Any) -> None:
    """Both open it while the old one is named, and only the new one then; what somebody else has added stays."""

    def keys() -> int:
        script = (
            "import json; from ansible_collections.homeport.django.plugins.module_utils.backup_main import *; "
            "print(len(Store(configured()).keys_there()))"
        )
        return int(host.check_output("cd /usr/local/lib/homeport/python && python3 -c %s", script))

    def saved() -> bool:
        host.check_output("systemctl start homeport-backup")
        return bool(outcome(host, "backup")["ok"])

    assert keys() == 1
    other = operator.run("typical", "-e", "homeport_secret=another-one-that-nobody-has-told-of-before")
    assert other.status != 0
    assert "is encrypted with another password" in other.output, other.output
    assert other.changed == 0
    # what was derived is among the earlier ones without being named
    changed = operator.run("deploy", "-e", "backup_password=one-of-the-operators-own", "-vvv", "--diff")
    assert changed.status == 0, changed.output
    assert keys() == 2
    assert saved()
    back = operator.run("deploy")
    assert back.status == 0, back.output
    assert keys() == 1
    assert saved()
    assert operator.run("deploy").changed == 0


def test_nobody_else_reads_backups_or_their_secrets(host: Any) -> None:
    password = host.check_output("cat /etc/homeport/backup/password")
    for path in ("/etc/homeport/backup/password", "/etc/homeport/backup/ssh_key", f"{STATE}/memories.json"):
        assert host.file(path).mode == 0o600
        assert host.run(f"runuser -u memories -- cat {path}").rc != 0
    shown = host.check_output("systemctl show homeport-backup homeport-drill")
    assert password not in shown
    assert host.run("runuser -u memories -- homeport-backup list").rc != 0
    assert float(host.check_output("systemd-analyze security homeport-backup | tail -n 1").split()[-3]) <= 3.0


def test_what_cannot_work_is_refused(operator: Operator) -> None:
    done = operator.run("typical", "-e", "backup_repository=/srv/memories/backups")
    assert done.status != 0
    assert "must be a folder of its own" in done.output, done.output


def test_onto_an_empty_host(operator: Operator, host: Any, vault: Any, tmp_path: Path) -> None:
    """The server is lost; the host with its backups becomes one."""
    before = rows(host)
    photos = host.check_output("cd /srv/memories/shared/media && find . -type f -exec sha256sum {} + | sort")
    variables = vault.ansible.get_variables()
    ssh = ("ansible_host", "ansible_user", "ansible_ssh_private_key_file", "ansible_ssh_common_args")
    keys = (*ssh, "homeport_secret")
    folder = tmp_path / "inventory"
    (folder / "group_vars/all").mkdir(parents=True)
    (folder / "group_vars/all/00-homeport").symlink_to(ROOT / "group_vars/all")
    (folder / "group_vars/all/site.yml").write_text(
        yaml.safe_dump({"homeport_setup": "typical", "backup_repository": SITE})
    )
    groups = {name: {"hosts": {"web2": None}} for name in ("app_servers", "database_servers")}
    hosts = {"all": {"hosts": {"web2": {key: variables[key] for key in keys}}, "children": groups}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    other = Operator(str(folder), tmp_path / "other", operator.app)
    done = other.run("typical")
    assert done.status == 0, done.output
    done = restore(other, "-e", "confirm=memories")
    assert done.status == 0, done.output
    assert "exactly as they were counted" in done.output
    assert rows(vault) == before
    found = vault.check_output("cd /srv/memories/shared/media && find . -type f -exec sha256sum {} + | sort")
    assert found == photos
    album = Album(variables["ansible_host"], "memories.example")
    assert "Before the fire" in album.get("/").text
    assert vault.check_output("stat -c %U:%G /srv/memories/shared/media") == "memories:www-data"
