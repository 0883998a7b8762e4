"""Backups that have been restored: on the same server, beside it, and on one that had nothing."""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

from tests.acceptance.album import Album, picture
from tests.acceptance.operator import ROOT, Operator
from tests.acceptance.under_load import wait_for
from tests.environments import programs

testinfra_hosts = ["ansible://web1"]

STATE = "/var/lib/homeport/backups"
SITE = "/var/backups/site"
ARCHIVE = "/var/backups/s3/bucket/postgres"  # as S3 has it
SCHEDULES = (
    "backup_schedule",
    "backup_drill_schedule",
    "pgbackrest_full_schedule",
    "pgbackrest_incremental_schedule",
    "pgbackrest_drill_schedule",
)


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
    tables = (
        "select tablename from pg_tables where schemaname = 'public' and tablename <> 'ledger' order by 1"
    )
    script = (
        f'for table in $(psql -qAtc "{tables}"); do '
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


def destroy_rows(host: Any) -> None:
    statements = "truncate album_photo, album_album cascade; drop table if exists album_digestrun"
    host.check_output(f"runuser -u memories -- psql -qc '{statements}'")


def destroy(host: Any) -> None:
    destroy_rows(host)
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
    assert "add -e confirm=memories" in refused.output, refused.output
    assert restore(operator, "-e", "confirm=memories", "--check").status == 0
    assert rows(host) != before[0]
    # the host goes down once the first files are exchanged; the same command ends well all the same
    place = "/srv/memories/restoring/before"
    cut = f"while ! test -e {place}; do sleep 0.01; done; kill -KILL -1"
    host.check_output(f"systemd-run --collect --unit=cut sh -c '{cut}'")
    assert restore(operator, "-e", "confirm=memories").status != 0
    wait_for(lambda: logs_in(host), 60)
    wait_for(lambda: host.run("supervisorctl status").stdout.count("RUNNING") == 2, 60)
    wait_for(lambda: host.run("runuser -u postgres -- psql -qAtc 'select 1'").rc == 0, 60)
    assert host.file(place).exists
    told = " ".join(operator.run("status").output.split())
    assert "maintenance page for" in told, told
    assert "until this ends: restore -e app=memories -e to=" in told, told
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
    assert listed.count("before-restore") == 2


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


def test_the_database_as_of_a_moment(album: Album, operator: Operator, host: Any) -> None:
    album.new_album("Seconds before the fire")
    before = rows(host)
    point = host.check_output("sleep 1; date -u +%Y-%m-%dT%H:%M:%S; sleep 1")
    destroy_rows(host)
    done = restore(operator, "-e", f"target_time={point}", "-e", "confirm=memories", "-e", "dump=false")
    assert done.status == 0, done.output
    assert rows(host) == before
    assert "Seconds before the fire" in album.get("/").text
    # so that the backup is again what there is
    host.check_output("systemctl start homeport-backup")


def test_a_drill(host: Any) -> None:
    # what one that ended with its host has left goes with the next backup
    host.check_output("runuser -u postgres -- createdb homeport_drill_memories")
    host.check_output(f"mkdir -p {STATE}/scratch/memories && systemctl start homeport-backup")
    assert "homeport_drill" not in host.check_output("runuser -u postgres -- psql -lqAt")
    assert host.file(f"{STATE}/scratch").listdir() == []
    host.check_output("systemctl start homeport-drill")
    found = outcome(host, "drill")
    assert found["ok"], found
    assert found["tables"] == 14
    assert found["rows"] == outcome(host, "backup")["rows"]
    assert outcome(host, "drill", "@all")["ok"]
    assert "homeport_drill" not in host.check_output("runuser -u postgres -- psql -lqAt")
    assert host.file(f"{STATE}/scratch").listdir() == []


def test_a_drill_of_the_archive(host: Any) -> None:
    """Everything that was written up to the moment of the drill is there, and can be made a cluster from."""
    # an earlier drill has ended with its host, and the number of its server is now that of the cluster
    point = "/var/lib/postgresql/homeport-point"
    live = host.check_output("head -n 1 /var/lib/postgresql/*/main/postmaster.pid")
    host.check_output(f"install -d -o postgres -m 700 {point}; echo {live} >{point}/postmaster.pid")
    host.check_output("systemctl start homeport-archive-drill")
    found = outcome(host, "drill", "@archive")
    assert found["ok"], found
    assert (found["tables"], found["rows"]) == (14, int(counted(host)))
    assert not host.file(point).exists
    assert host.check_output("head -n 1 /var/lib/postgresql/*/main/postmaster.pid") == live


def counted(host: Any) -> str:
    return str(host.check_output(f"runuser -u memories -- sh -c '{quoted(COUNT)}'"))


COUNT = (
    "psql -qAtc \"select format('select count(*) from %I', tablename) from pg_tables where schemaname = 'public'\" "
    "| while read -r query; do psql -qAtc \"$query\"; done | awk '{ rows += $1 } END { print rows }'"
)


def test_status_tells_of_backups(operator: Operator, tmp_path: Path) -> None:
    done = operator.run("status", "-e", f"json={tmp_path}/status.json")
    assert done.status == 0, done.output
    assert "the app is healthy" in done.output
    found = json.loads((tmp_path / "status.json").read_text())
    backup = found["apps"]["memories"]["backup"]
    assert backup["host"] == "web1"
    assert [backup[kind]["limit_seconds"] for kind in ("backup", "drill")] == [30 * 3600, 174 * 3600]
    assert backup["drill"]["age_seconds"] < 600
    archive = found["hosts"]["web1"]["archive"]
    assert [archive[kind]["limit_seconds"] for kind in ("backup", "full", "drill")] == [
        30 * 3600,
        174 * 3600,
        174 * 3600,
    ]
    assert archive["full"]["age_seconds"] < 3600
    assert archive["wal"]["age_seconds"] < 600
    assert found["problems"] == []


@contextmanager
def damaged(vault: Any, folder: str) -> Iterator[None]:
    """One bit of the largest file in a folder is not what it was."""
    path = vault.check_output(f"find {folder} -type f -printf '%s %p\\n' | sort -n | tail -n 1").split()[1]
    kept = f"/tmp/{path.rsplit('/', 1)[1]}.intact"
    vault.check_output(f"cp -p {path} {kept}")
    flip = f"d = bytearray(open('{path}', 'rb').read()); d[len(d) // 3] ^= 1; open('{path}', 'wb').write(d)"
    vault.check_output(f'chmod u+w {path} && python3 -c "{flip}"')
    try:
        yield
    finally:
        vault.check_output(f"cp -p {kept} {path}")


def test_the_oldest_ansible_core(operator: Operator) -> None:
    """It leaves everything as it is, looking at all of it, and its roles of backups and the archive, too."""
    operator.command = str(programs("oldest") / "ansible-playbook")
    for playbook, *options in (["typical", "-e", "full=true"], ["deploy"], ["status"]):
        done = operator.run(playbook, *options)
        assert (done.status, done.changed) == (0, 0), done.output
        assert "DEPRECATION" not in done.output


def test_damage_is_noticed(operator: Operator, host: Any, vault: Any) -> None:
    with damaged(vault, f"{SITE}/data"), damaged(vault, f"{ARCHIVE}/backup"):
        assert host.run("systemctl start homeport-drill").rc != 0
        assert host.run("systemctl start homeport-archive-drill").rc != 0
        # what is damaged may be of no use to the latest backup: then the check of the whole repository tells
        said = {
            "memories": "memories: the last restore drill failed",
            "@all": "the drill's check of the backup repository failed",
        }
        noticed = [name for name in said if not outcome(host, "drill", name)["ok"]]
        assert noticed
        assert not outcome(host, "drill", "@archive")["ok"]
        failed = host.check_output("systemctl --failed --no-legend")
        assert "homeport-drill" in failed
        assert "homeport-archive-drill" in failed
        told = operator.run("status")
        assert told.status != 0
        text = " ".join(told.output.split())
        assert [name for name in said if said[name] in text] == noticed, told.output
        assert "PostgreSQL's archive: the last restore drill failed" in text
    # the last good one is still known after a bad one
    state = json.loads(host.file(f"{STATE}/memories.json").content_string)
    assert state["drill"]["good"]["ok"]
    host.check_output("systemctl reset-failed; systemctl start homeport-drill")
    assert outcome(host, "drill")["ok"]


def test_a_wrong_password_is_refused(operator: Operator, host: Any) -> None:
    before = rows(host)
    path = "/etc/pgbackrest/pgbackrest.conf"
    host.check_output(f"cp -p {path} {path}.right")
    host.check_output(
        f"sed -i 's/^repo1-cipher-pass=.*/repo1-cipher-pass=another-password-altogether/' {path}"
    )
    try:
        for verb in ("drill", "incremental"):
            assert host.run(f"systemctl start homeport-archive-{verb}").rc != 0
        for kind in ("drill", "backup"):
            assert "encrypted with another password" in outcome(host, kind, "@archive")["message"], kind
    finally:
        host.check_output(f"mv {path}.right {path}")
    path = "/etc/homeport/backup/password"
    host.check_output(f"cp -p {path} {path}.right && echo another-password-altogether >{path}")
    try:
        done = restore(operator, "-e", "confirm=memories")
        assert done.status != 0
        assert "rejects this password" in done.output, done.output
        assert host.run("systemctl start homeport-backup").rc != 0
        assert "rejects this password" in outcome(host, "backup")["message"]
    finally:
        host.check_output(f"mv {path}.right {path}")
    host.check_output("systemctl reset-failed; systemctl start homeport-backup")
    assert outcome(host, "backup")["ok"]
    assert rows(host) == before


def test_the_password_is_changed(operator: Operator, host: Any) -> None:
    """Both open it while the old one is named, and only the new one then; what somebody else has added stays."""

    def keys() -> int:
        script = (
            "import json; from ansible_collections.homeport.django.plugins.module_utils.host.backup.main import *; "
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


@contextmanager
def writing(host: Any, path: Path) -> Iterator[None]:
    """A visitor who writes ten rows a second; what the database has confirmed is in a file here, with the time."""
    table = (
        "create table ledger (id bigserial primary key, at timestamptz not null default clock_timestamp())"
    )
    host.check_output(f"runuser -u memories -- psql -qc '{table}'")
    insert = "insert into ledger default values returning id, extract(epoch from at);"
    script = f"while echo '{insert}'; do sleep 0.1; done | psql -qAt"
    variables = host.ansible.get_variables()
    words = ["ssh", "-i", variables["ansible_ssh_private_key_file"]]
    words += shlex.split(variables["ansible_ssh_common_args"])
    words += [f"{variables['ansible_user']}@{variables['ansible_host']}"]
    command = f"sudo runuser -u memories -- sh -c {shlex.quote(script)}"
    with path.open("w") as stream:
        process = subprocess.Popen([*words, command], stdin=subprocess.DEVNULL, stdout=stream)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def logs_in(host: Any) -> bool:
    try:
        return bool(host.run("true").rc == 0)
    except RuntimeError:  # ssh's
        return False


def container(host: Any) -> str:
    address = host.ansible.get_variables()["ansible_host"]
    form = "{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    running = subprocess.check_output(["docker", "ps", "--quiet"], text=True).split()
    # another scenario's may be gone by now, which is an error to docker
    inspect = ["docker", "inspect", "--format", form, *running]
    told = subprocess.run(inspect, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    (found,) = [line.split()[0].lstrip("/") for line in told.splitlines() if address in line.split()]
    return found


def recover_in_two_runs(operator: Operator, host: Any) -> None:
    """The first one is cut off once PostgreSQL is there again; what is written then is lost by nothing that follows."""
    psql = host.check_output("ls /usr/lib/postgresql/*/bin/psql")
    # what the superuser asks comes by standard input
    script = (
        'case "$*" in *--no-password) asked=$(cat); case "$asked" in *pg_last_xact_replay*) exit 1;; esac; '
        f'printf "%s\\n" "$asked" | {psql}.real "$@"; exit;; esac; exec {psql}.real "$@"'
    )
    host.check_output(
        f"mv {psql} {psql}.real && printf '#!/bin/sh\\n%s\\n' '{script}' >{psql} && chmod 755 {psql}"
    )
    cut = operator.run("recover")
    host.check_output(f"mv {psql}.real {psql}")
    assert cut.status != 0
    assert "PostgreSQL failed" in cut.output, cut.output
    (aside,) = host.check_output("ls -d /var/lib/postgresql/*/main.*").split()
    assert aside.endswith("main.replaced")
    ask = "cd / && runuser -u postgres -- psql -qAtc"
    host.check_output(f"{ask} 'create table since as select 1 as id'")
    # the archive is not there where the inventory says it is
    lost = operator.run("recover", "-e", "pgbackrest_repository=s3:https://vault1:9000/bucket/elsewhere")
    assert lost.status != 0
    assert "There is no archive in pgbackrest_repository" in lost.output, lost.output
    assert host.check_output(f"{ask} 'table since'") == "1"
    # PostgreSQL is down
    host.check_output("systemctl stop 'postgresql@*'")
    done = operator.run("recover")
    assert done.status == 0, done.output
    assert host.check_output(f"{ask} 'table since; drop table since'") == "1"
    (kept,) = host.check_output("ls -d /var/lib/postgresql/*/main.*").split()
    assert ".before-" in kept


def test_onto_an_empty_host(album: Album, operator: Operator, host: Any, vault: Any, tmp_path: Path) -> None:
    """The server is lost while somebody writes; the host with its backups becomes one. The files' backups are in S3."""
    album.new_album("After the fire")
    s3 = {
        "backup_repository": "s3:https://vault1:9000/bucket/site",
        "backup_credentials": "{{ s3_credentials }}",
        "backup_ca": "{{ pgbackrest_ca }}",
    }
    (tmp_path / "s3.json").write_text(json.dumps(s3))
    confirmed = tmp_path / "confirmed"
    with writing(host, confirmed):
        began = time.time()
        done = operator.run("typical", "-e", f"@{tmp_path}/s3.json")
        assert done.status == 0, done.output
        host.check_output("systemctl start homeport-backup")
        host.check_output("systemctl start homeport-drill")
        before = rows(host)
        photos = host.check_output(
            "cd /srv/memories/shared/media && find . -type f -exec sha256sum {} + | sort"
        )
        # longer than anything may be on its way to the archive
        time.sleep(max(0.0, 75 - (time.time() - began)))
        name = container(host)
        killed = time.time()
        subprocess.check_call(["docker", "kill", name], stdout=subprocess.DEVNULL)
    written = [line.split("|") for line in confirmed.read_text().splitlines()]
    assert killed - float(written[-1][1]) < 30

    variables = vault.ansible.get_variables()
    ssh = ("ansible_host", "ansible_user", "ansible_ssh_private_key_file", "ansible_ssh_common_args")
    keys = (*ssh, "homeport_secret")
    folder = tmp_path / "inventory"
    (folder / "group_vars/all").mkdir(parents=True)
    (folder / "group_vars/all/00-homeport").symlink_to(ROOT / "group_vars/all")
    made = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "tls"  # by prepare.yml
    site = {
        "homeport_setup": "typical",
        "s3_credentials": {
            "AWS_ACCESS_KEY_ID": "site",
            "AWS_SECRET_ACCESS_KEY": "{{ homeport_secret[:40] }}",
        },
        "pgbackrest_repository": "s3:https://vault1:9000/bucket/postgres",
        "pgbackrest_credentials": "{{ s3_credentials }}",
        "pgbackrest_ca": (made / "vault.pem").read_text(),
        # It goes on as the bucket, too.
        "host_firewall_rules": [{"port": 9000}],
        "hour": (made / "hour").read_text(),
        **{name: host.ansible.get_variables()[name] for name in SCHEDULES},
        **s3,
    }
    (folder / "group_vars/all/site.yml").write_text(yaml.safe_dump(site))
    groups = {name: {"hosts": {"web2": None}} for name in ("app_servers", "database_servers")}
    hosts = {"all": {"hosts": {"web2": {key: variables[key] for key in keys}}, "children": groups}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    other = Operator(str(folder), tmp_path / "other", operator.app)
    # a new cluster does not go on with the lost one's archive
    refused = other.run("typical")
    assert refused.status != 0
    assert "belongs to another PostgreSQL cluster, and was not changed" in refused.output, refused.output
    recover_in_two_runs(other, vault)
    done = other.run("typical")
    assert done.status == 0, done.output
    query = "select id, extract(epoch from at) from ledger order by id"
    there = vault.check_output(f"runuser -u memories -- psql -qAtc '{query}'").split("\n")
    assert [line.split("|") for line in there] == written[: len(there)]
    lost = killed - float(there[-1].split("|")[1])
    print(f"recovery point: {lost:.1f} s old, {len(there)} of {len(written)} rows")
    assert lost <= 60
    assert rows(vault) == before

    done = restore(other, "-e", "confirm=memories", "-e", "database=false")
    assert done.status == 0, done.output
    found = vault.check_output("cd /srv/memories/shared/media && find . -type f -exec sha256sum {} + | sort")
    assert found == photos
    assert vault.check_output("stat -c %U:%G /srv/memories/shared/media") == "memories:www-data"
    recovered = Album(variables["ansible_host"], "memories.example")
    assert "After the fire" in recovered.get("/").text
    # the archive goes on from here: there is a full backup that starts after what came back
    vault.check_output("systemctl start homeport-archive-drill")
    assert outcome(vault, "full", "@archive")["ok"]
    # a second one finds nothing to bring back
    done = other.run("recover", "--check")
    assert (done.status, done.changed) == (0, 0), done.output

    # and with the database as of the backup
    done = restore(other, "-e", "confirm=memories", "-e", "dump=false")
    assert done.status == 0, done.output
    assert "exactly as they were counted" in done.output
    assert rows(vault) == before
    rest = vault.check_output("runuser -u memories -- psql -qAtc 'select count(*) from ledger'")
    assert 0 < int(rest) < len(there)
    subprocess.check_call(["docker", "start", name], stdout=subprocess.DEVNULL)
    wait_for(lambda: logs_in(host), 120)  # what else is to be tested asks that host
