"""What a deploy promises beside losing nothing: gates, dumps, going back, hooks, plans, one run at a time."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from tests.acceptance import checks
from tests.acceptance.album import Album
from tests.acceptance.operator import Operator
from tests.acceptance.under_load import load, lost, serves, wait_for

RECORD = "/var/lib/homeport/deploys/memories.jsonl"
MIGRATION = """from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("album", "0002_digestrun")]
    operations = [{operations}]
"""
UNSAFE = (
    'migrations.AddField("album", "colour", models.CharField(max_length=20, default="red")), '
    'migrations.RemoveField("digest", "text")'
)
SAFE = (
    'migrations.AlterField("photo", "caption", models.CharField(blank=True, max_length=240)), '
    'migrations.CreateModel("Tag", fields=[("id", models.BigAutoField(primary_key=True)), '
    '("name", models.CharField(max_length=9, unique=True))]), '
    'migrations.AddField("tag", "note", models.TextField())'
)
COLUMN = 'migrations.AddField("photo", "extra", models.IntegerField(null=True))'


def add_migration(operator: Operator, operations: str) -> None:
    path = operator.source / "album/migrations/0003_next.py"
    path.write_text(MIGRATION.format(operations=operations))


def last_record(host: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.check_output(f"tail -n 1 {RECORD}"))
    return found


def sql(host: Any, query: str) -> str:
    found: str = host.check_output(
        f"runuser -u postgres -- psql --no-align --tuples-only memories -c {query!r}"
    )
    return found.strip()


def test_a_release_that_fails_once_it_is_live_is_rolled_back(
    album: Album, operator: Operator, host: Any, tmp_path: Path
) -> None:
    operator.edit(
        "memories/urls.py",
        '"health/", health.health',
        '"health/", lambda request: 1 / ("HOMEPORT_SLOT" not in __import__("os").environ) and health.health(request)',
    )
    before = album.health()["release"]
    previous = host.check_output("readlink /srv/memories/previous || true")
    told = tmp_path / "told.json"
    with load(album) as running:
        done = operator.run("deploy", changes={"notify": f"cat > {told}"})
    assert done.status != 0
    assert "answers /health/ with status 500" in done.output, done.output
    assert f"rolled back, {before} is live again" in done.output, done.output
    assert lost(running) == 0, running.summary()
    assert album.health()["release"] == before
    checks.check_processes(host)
    assert host.check_output("readlink /srv/memories/previous || true") == previous
    record = last_record(host)
    assert (record["outcome"], record["before"]) == ("rolled back", before)
    assert record["release"] != before
    assert json.loads(told.read_text())["outcome"] == "rolled back"


def test_a_process_that_does_not_stay_is_rolled_back(album: Album, operator: Operator, host: Any) -> None:
    before = album.health()["release"]
    # once supervisord takes it for running, as what loads for long before it finds a package missing
    command = "sh -c 'sleep 2; echo out of paper; exit 3'"
    done = operator.run("deploy", changes={"processes": {"queue": command}})
    assert done.status != 0
    assert "memories.queue:0" in done.output, done.output
    assert "out of paper" in done.output
    assert f"rolled back, {before} is live again" in done.output
    assert album.health()["release"] == before


def test_hooks_run_in_their_order_and_the_last_one_can_stop_the_release(
    album: Album, operator: Operator, host: Any, tmp_path: Path
) -> None:
    log = "/srv/memories/shared/data/hooks"
    moments = ("before_build", "after_build", "after_migrate", "before_switch", "after_switch")
    line = (
        'echo {} "$HOMEPORT_APP" "$HOMEPORT_RELEASE" "$(id -un)" "$(basename "$(readlink /srv/memories/current)")" >> '
        + log
    )
    hooks = {moment: [line.format(moment)] for moment in moments}
    before = album.health()["release"]
    told = tmp_path / "told.json"
    done = operator.run("deploy", changes={"hooks": hooks, "notify": f"cat > {told}"})
    assert done.status == 0, done.output
    after = album.health()["release"]
    lines = [text.split() for text in host.check_output(f"cat {log}; rm {log}").splitlines()]
    assert [words[0] for words in lines] == list(moments)
    assert all(words[1:4] == ["memories", after, "memories"] for words in lines)
    assert [words[4] for words in lines] == [before, before, before, before, after]
    notice = json.loads(told.read_text())
    assert (notice["app"], notice["outcome"], notice["release"]) == ("memories", "live", after)
    operator.append("album/urls.py", "\n# one that fails its smoke test\n")
    failing = {"hooks": {"after_switch": ["echo the front page is empty >&2; exit 9"]}}
    done = operator.run("deploy", changes=failing)
    assert done.status != 0
    for text in ("The hook after_switch", "exit status 9", "the front page is empty", "rolled back"):
        assert text in done.output, done.output
    assert album.health()["release"] == after


def test_unsafe_migrations_are_held_and_can_be_gone_back_from(
    album: Album, operator: Operator, host: Any
) -> None:
    path = album.new_album("From before")
    before = album.health()["release"]
    add_migration(operator, UNSAFE)
    plan = operator.run("deploy", "--check", "--diff")
    assert plan.status == 0, plan.output
    for text in ("+ album.0003_next", "held until allowed: NOT NULL", "held until allowed: DROPPING columns"):
        assert text in plan.output, plan.output
    held = operator.run("deploy")
    assert held.status != 0
    for text in ("Held:", "album_album.colour", "album_digest.text", "-e allow_unsafe_migrations=true"):
        assert text in held.output, held.output
    assert album.health()["release"] == before
    assert last_record(host)["outcome"] == "held"
    allowed = operator.run("deploy", "-e", "allow_unsafe_migrations=true")
    assert allowed.status == 0, allowed.output
    newer = album.health()["release"]
    assert last_record(host)["migrations"] == ["album.0003_next"]
    assert host.check_output("stat -c %a:%U /srv/memories/dumps").strip() == "700:root"
    sql(host, "update album_album set title = 'Written since'")
    # back without the database: the migration is named
    warned = operator.run("rollback", "-e", "app=memories")
    assert warned.status == 0, warned.output
    assert "album.0003_next" in warned.output, warned.output
    assert "restore=true" in warned.output
    assert operator.run("rollback", "-e", "app=memories", "-e", "again=true").status == 0
    assert album.health()["release"] == newer
    # and with it
    restored = operator.run("rollback", "-e", "app=memories", "-e", "restore=true")
    assert restored.status == 0, restored.output
    assert album.health()["release"] == before
    assert "From before" in album.get(path).text
    assert sql(host, "select count(*) from information_schema.columns where column_name = 'colour'") == "0"
    kept = host.check_output("ls /srv/memories/dumps").split()
    assert any(name.endswith("-restore.dump") for name in kept), kept
    checks.check_album_works(album)  # sequences, too, go on where they were
    checks.check_processes(host)


def test_safe_migrations_are_dumped_and_applied(album: Album, operator: Operator, host: Any) -> None:
    before = album.health()["release"]
    add_migration(operator, SAFE)
    with load(album, rate=50) as running:
        done = operator.run("deploy")
    assert done.status == 0, done.output
    assert lost(running) == 0, running.summary()
    release = album.health()["release"]
    dump = f"/srv/memories/dumps/{release}.dump"
    assert "TABLE DATA public album_album" in host.check_output(f"pg_restore --list {dump}")
    assert operator.run("rollback", "-e", "app=memories", "-e", "restore=true").status == 0
    assert album.health()["release"] == before


def test_a_migration_that_waits_for_a_lock_gives_up(album: Album, operator: Operator, host: Any) -> None:
    add_migration(operator, COLUMN)
    before = album.health()["release"]
    lock = "begin; lock table album_photo in access share mode; select pg_sleep(1200)"
    host.check_output(f"systemd-run --unit=holder --uid=postgres psql memories -c '{lock}'")
    try:
        with load(album, rate=20) as running:
            done = operator.run("deploy", changes={"migrate": {"lock_timeout": 1}})
    finally:
        host.run("systemctl stop holder; systemctl reset-failed holder")
        backends = "from pg_stat_activity where query like '%pg_sleep(1200)%' and pid <> pg_backend_pid()"
        sql(host, f"select pg_terminate_backend(pid) {backends}")
    assert done.status != 0
    for text in ("It waited 1 s for a lock, 3 times", "The database did not move", "album.0003_next"):
        assert text in done.output, done.output
    assert lost(running) == 0, running.summary()
    assert album.health()["release"] == before
    # and what a migration that is not atomic has left, whose run has died, does not stand in the way
    (operator.source / "album/migrations/0004_index.py").write_text(
        "from django.contrib.postgres.operations import AddIndexConcurrently\n"
        + MIGRATION.replace("0002_digestrun", "0003_next").format(
            operations='AddIndexConcurrently("photo", models.Index(fields=["caption"], name="by_caption"))'
        )
        + "    atomic = False\n"
    )
    sql(host, "create index by_caption on album_photo (id)")
    sql(host, "update pg_index set indisvalid = false where indexrelid = 'by_caption'::regclass")
    assert operator.run("deploy", changes={"migrate": {"lock_timeout": 1}}).status == 0
    made = "select pg_get_indexdef('by_caption'::regclass), indisvalid from pg_index "
    assert sql(host, f"{made} where indexrelid = 'by_caption'::regclass").endswith("(caption)|t")
    assert operator.run("rollback", "-e", "app=memories", "-e", "restore=true").status == 0


def test_a_statement_that_takes_too_long_is_ended(album: Album, operator: Operator, host: Any) -> None:
    before = album.health()["release"]
    add_migration(operator, COLUMN)
    (operator.source / "album/migrations/0004_slow.py").write_text(
        MIGRATION.replace("0002_digestrun", "0003_next").format(
            operations='migrations.RunPython(lambda apps, editor: editor.execute("select pg_sleep(600)"))'
        )
    )
    started = time.monotonic()
    done = operator.run("deploy", changes={"migrate": {"statement_timeout": 5}})
    assert time.monotonic() - started < 300
    assert done.status != 0
    for text in ("took over 5 s", "The database moved: album.0003_next applied, album.0004_slow not"):
        assert text in done.output, done.output
    assert album.health()["release"] == before
    # nobody but this test knows of a table that has moved without its code
    sql(host, "alter table album_photo drop column extra")
    sql(host, "delete from django_migrations where name = '0003_next'")


def test_a_plan_shows_what_would_change_and_changes_nothing(
    album: Album, operator: Operator, host: Any
) -> None:
    operator.append("album/urls.py", "\n# planned\n")
    changes = {
        "env": {"PLANNED_TOKEN": "CANARY-of-the-plan"},
        "requirements": {"packages": ["tomli"]},
        "schedules": {"digest": {"command": "manage.py send_digest --again", "calendar": "hourly"}},
    }
    places = "/srv/memories /var/lib/homeport /etc/supervisor /etc/nginx"
    state = f"find {places} -type f -not -path '*/cache/*' -printf '%p %T@ %s\\n' | sort | sha256sum"
    before = host.check_output(state)
    plan = operator.run("deploy", "--check", "--diff", "-vvv", changes=changes)
    assert plan.status == 0, plan.output
    for text in ("~ album/urls.py", "+ tomli", "+ PLANNED_TOKEN", "~ digest"):
        assert text in plan.output, plan.output
    assert "CANARY" not in plan.output.replace(json.dumps(changes), "")
    assert host.check_output(state) == before
    assert "plan" not in host.check_output("ls -A /srv/memories/releases")


def test_a_lock_that_was_left_elsewhere_is_told_and_can_be_taken(
    album: Album, operator: Operator, host: Any
) -> None:
    left = {"run": "elsewhere 1 x", "holder": "anna@laptop", "started": time.time() - 661}
    operator.append("album/urls.py", "\n# after anna\n")
    before = album.health()["release"]
    host.check_output(f"printf %s '{json.dumps(left)}' > /srv/memories/deploy.lock")
    refused = operator.run("deploy")
    assert refused.status != 0
    for text in ("locked by anna@laptop since", "(11 min ago)", "-e unlock=true"):
        assert text in refused.output, refused.output
    assert album.health()["release"] == before
    assert operator.run("deploy", "-e", "unlock=true").status == 0
    assert album.health()["release"] != before
    assert host.check_output("cat /srv/memories/deploy.lock") == ""


def test_a_host_on_which_everything_dies_in_mid_deploy(album: Album, operator: Operator, host: Any) -> None:
    before = album.health()["release"]
    operator.append("album/urls.py", "\n# power cut\n")
    slow = {"build": ["sleep 7"]}
    first = operator.start("deploy", changes=slow)
    wait_for(lambda: host.run("pgrep -f '[s]leep 7'").rc == 0, 300)
    with contextlib.suppress(RuntimeError):  # this connection's own end dies as well
        host.run("kill -KILL -1")
    output = first.communicate(timeout=600)[0]
    assert first.returncode != 0, output
    wait_for(lambda: serves(album), 60)
    assert album.health()["release"] == before
    wait_for(lambda: host.run("supervisorctl status").stdout.count("RUNNING") == 2, 60)
    done = operator.run("deploy", changes=slow)
    assert done.status == 0, done.output
    assert album.health()["release"] != before
    checks.check_processes(host)


def test_an_app_that_fails_or_is_not_concerned_costs_the_others_nothing(
    album: Album, operator: Operator, host: Any
) -> None:
    guestbook = {
        **operator.app,
        "domains": ["guestbook.example"],
        "schedules": {},
        "processes": {"queue": "sleep infinity"},
    }
    operator.others = {"guestbook": guestbook}
    done = operator.run("typical")
    assert done.status == 0, done.output
    pids = "supervisorctl status | awk '/guestbook/ {print $1, $4}'"
    before = host.check_output(pids)
    assert before.count("guestbook") == 3
    release = album.health()["release"]
    other = Album(album.base.removeprefix("http://"), "guestbook.example")
    third = Album(other.base.removeprefix("http://"), "third.example")
    # what is declared and was not brought yet is told, and a deploy brings what it can
    domains = [*operator.app["domains"], "third.example"]
    news: dict[str, Any] = {"env": {"MOTTO": "of one app only"}, "domains": domains}
    told = " ".join(operator.run("status", changes=news).output.split())
    assert "memories.domains differs from what nginx on web1 was given; run the playbook typical" in told, (
        told
    )
    guestbook.update(build=["echo no ink; exit 4"], domains=["moved.example"])
    done = operator.run("deploy", changes=news)
    assert done.status != 0
    assert "no ink" in done.output, done.output
    assert album.health()["release"] != release
    moved = third.get("/health/")
    assert (moved.status_code, moved.headers["Location"]) == (308, "http://memories.example/health/")
    assert host.check_output(pids) == before
    assert other.get("/health/").status_code == 200
    # a site is no answer yet
    told = " ".join(operator.run("status", changes=news).output.split())
    assert "http://moved.example/ does not answer visitors" in told, told
    # and what it cannot bring it refuses before anything changes
    operator.others["wiki"] = {**guestbook, "domains": ["wiki.example"]}
    done = operator.run("deploy", changes=news)
    assert done.status != 0
    assert "PostgreSQL on web1 has nothing for wiki yet" in done.output, done.output
    assert host.run("id wiki").rc != 0
    del operator.others["wiki"]
    del guestbook["build"]
    guestbook["domains"] = ["guestbook.example"]
    again = operator.run("deploy", changes={"env": {"MOTTO": "of one app only"}})
    assert again.status == 0, again.output
    assert host.check_output(pids) == before
    operator.others = {}
    assert operator.run("typical").status == 0
    assert "guestbook" not in host.check_output("supervisorctl status")
