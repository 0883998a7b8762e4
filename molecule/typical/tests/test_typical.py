"""typical: nginx in front of gunicorn, PostgreSQL beside it, everything on one server."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.acceptance import checks
from tests.acceptance.album import Album
from tests.acceptance.operator import ROOT, Operator
from tests.acceptance.under_load import serves, wait_for

APP = yaml.safe_load((ROOT / "inventories/typical/group_vars/all/apps.yml").read_text())["django_apps"][
    "memories"
]

# A host that calls itself Ubuntu differs in what is installed and how it serves; the verbs are the same.
verbs = pytest.mark.skipif("as-ubuntu" in os.environ.get("IMAGE", ""), reason="tried on Debian")


def test_the_app_is_healthy(album: Album, host: Any) -> None:
    found = album.health()
    assert found["status"] == "ok"
    assert host.file("/srv/memories/current").linked_to.endswith(found["release"])


def test_an_upload_becomes_a_photo(album: Album) -> None:
    checks.check_album_works(album)


def test_what_visitors_sent_is_not_served(album: Album, host: Any) -> None:
    path = host.check_output("find /srv/memories/shared/media/original -type f | head -n 1")
    assert path
    assert album.get(path.replace("/srv/memories/shared", "")).status_code == 404


def test_static_files(album: Album) -> None:
    checks.check_static_files(album)
    sheet = next(address for address in album.addresses("/", "/static/") if address.endswith(".css"))
    answer = album.get(sheet, headers={"Accept-Encoding": "br"})
    assert answer.headers["Server"] == "nginx"
    assert answer.headers["Content-Encoding"] == "br"


def test_other_names_redirect_to_the_canonical_one(album: Album) -> None:
    answer = album.get("/albums/1/?page=2", host="www.memories.example")
    assert answer.status_code == 308
    assert answer.headers["Location"] == "http://memories.example/albums/1/?page=2"


def test_unknown_hosts_get_no_answer(album: Album) -> None:
    with pytest.raises(requests.ConnectionError):
        album.get("/", host="evil.example")


@pytest.mark.parametrize(
    "path",
    ["/.git/config", "/.env", "/static../config/env", "/media../data/db.sqlite3", "/static/../config/env"],
)
def test_nothing_beside_the_site_is_served(album: Album, path: str) -> None:
    request = requests.Request("GET", album.base, headers={"Host": album.domain}).prepare()
    request.url = album.base + path  # as it is, not tidied up
    assert album.session.send(request, allow_redirects=False, timeout=10).status_code in (400, 404)


def test_too_large_a_request_is_refused(album: Album) -> None:
    answer = album.ask("POST", "/albums/1/upload/", data=b"x" * (13 << 20))
    assert answer.status_code == 413


def test_forged_forwarding_headers_are_replaced(album: Album, host: Any) -> None:
    album.get("/?forged", headers={"X-Forwarded-For": "203.0.113.99", "X-Forwarded-Proto": "https"})
    lines = host.file("/var/log/nginx/memories.access.log").content_string.splitlines()
    entry = next(found for found in map(json.loads, reversed(lines)) if found["uri"] == "/?forged")
    assert entry["status"] == 200
    assert entry["client"] != "203.0.113.99"
    assert float(entry["seconds"]) >= 0


def test_the_database_is_the_apps_alone(host: Any) -> None:
    query = "select current_user || ' ' || current_database()"
    assert (
        host.check_output(f'runuser -u memories -- psql -qAt -d memories -c "{query}"') == "memories memories"
    )
    assert host.run("runuser -u nobody -- psql -d memories -c 'select 1'").rc != 0
    public = "select has_database_privilege('public', 'memories', 'connect')"
    assert host.check_output(f'runuser -u postgres -- psql -qAt -c "{public}"') == "f"
    # peer authentication: there is no password to steal
    password = "select rolpassword is null from pg_authid where rolname = 'memories'"
    assert host.check_output(f'runuser -u postgres -- psql -qAt -c "{password}"') == "t"
    tables = "select count(*) from pg_tables where tablename like 'album_%'"
    assert int(host.check_output(f'runuser -u memories -- psql -qAt -d memories -c "{tables}"')) > 0


def test_settings_follow_the_size_of_the_host(host: Any) -> None:
    query = "select setting::int * 8 / 1024 from pg_settings where name = 'shared_buffers'"
    found = int(host.check_output(f'runuser -u postgres -- psql -qAt -c "{query}"'))
    total = int(host.check_output("awk '/MemTotal/ {print $2}' /proc/meminfo")) // 1024
    assert found == min(total // 4, 8192)


def test_files_are_closed(host: Any) -> None:
    checks.check_files_are_closed(host)


def test_processes(host: Any) -> None:
    checks.check_processes(host)


def test_the_checks_of_a_deployment_find_nothing(host: Any) -> None:
    checks.check_deployment_checks(host, "memories")


def test_schedule(host: Any) -> None:
    checks.check_schedule(host)


def test_only_the_site_can_be_reached(host: Any) -> None:
    assert checks.outside(host) == {22, 80}


@verbs
def test_status_tells_that_all_is_well(host: Any, tmp_path: Path) -> None:
    operator = Operator(host.backend.ansible_runner.inventory_file, tmp_path, APP)
    target, page = tmp_path / "status.json", tmp_path / "status.html"
    done = operator.run("status", "-e", f"json={target}", "-e", f"html={page}")
    assert done.status == 0, done.output
    assert done.changed == 0
    assert "the app is healthy" in done.output
    found = json.loads(target.read_text())
    here = found["apps"]["memories"]["hosts"]["web1"]
    live = host.file("/srv/memories/current").linked_to.rsplit("/", 1)[-1]
    assert here["release"]["id"] == live
    assert (here["health"]["status"], here["state"]) == (200, "healthy")
    assert [one["release"] for one in here["processes"][0]["instances"]].count(live) == 1
    assert here["schedules"][0]["name"] == "digest"
    assert here["memory"]["bytes"] > 20 << 20
    assert found["apps"]["memories"]["database"]["bytes"] > 1 << 20
    assert live in page.read_text()
    printed = operator.run("status", "--check", "-e", "format=json").output
    shown = printed[printed.index("\n{\n") : printed.index("\n}\n") + 3]
    assert json.loads(shown)["apps"].keys() == found["apps"].keys()


@verbs
def test_status_tells_what_is_broken(album: Album, host: Any, tmp_path: Path) -> None:
    operator = Operator(host.backend.ansible_runner.inventory_file, tmp_path, APP)
    host.check_output("supervisorctl stop memories.web:0 memories.web:1")
    try:
        done = operator.run("status")
        assert done.status != 0
        assert done.changed == 0
        assert "memories on web1: web: no slot serves" in done.output, done.output
        assert "nothing listens on unix:///run/homeport/memories.sock" in done.output
        assert operator.run("status", "-e", "fail=false").status == 0
        host.check_output("systemctl stop supervisor")
        done = operator.run("status")
        assert done.status != 0
        assert "web1: supervisor is inactive" in done.output, done.output
    finally:
        host.check_output("systemctl start supervisor")
        host.run("supervisorctl start memories.web:0 memories.web:1")
    wait_for(lambda: serves(album) and host.run("supervisorctl status").stdout.count("RUNNING") == 2, 60)
    done = operator.run("status")
    assert done.status == 0, done.output


# What somebody changes by hand, each of another component, and how to look at it.
BY_HAND = {
    "file": ("echo '# by hand' >>/etc/nginx/nginx.conf", "tail -n 1 /etc/nginx/nginx.conf"),
    "mode": (
        "chmod 0666 /usr/local/lib/homeport/gunicorn-slot",
        "stat -c %a /usr/local/lib/homeport/gunicorn-slot",
    ),
    "owner": ("chown memories /usr/local/lib/homeport/run", "stat -c %U /usr/local/lib/homeport/run"),
    "link": ("ln -sfn /usr/share/zoneinfo/Asia/Tokyo /etc/localtime", "readlink /etc/localtime"),
    "unit": ("systemctl disable --now apt-daily.timer", "systemctl is-enabled apt-daily.timer"),
    "rule": ("nft add rule inet homeport input tcp dport 9999 accept", "nft -s list table inet homeport"),
    "package": ("dpkg --remove --force-depends brotli", "dpkg-query -W -f '${db:Status-Status}' brotli"),
    "account": ("usermod --shell /bin/bash memories", "getent passwd memories"),
    "role": (
        "runuser -u postgres -- psql -qc 'alter role memories connection limit 1'",
        "runuser -u postgres -- psql -qAtc \"select rolconnlimit from pg_roles where rolname = 'memories'\"",
    ),
}


@verbs
def test_what_somebody_changed_by_hand_is_mended(host: Any, tmp_path: Path) -> None:
    operator = Operator(host.backend.ansible_runner.inventory_file, tmp_path, APP)
    assert operator.run("typical").status == 0  # with the source that this operator has
    before = {what: host.run(look).stdout for what, (_change, look) in BY_HAND.items()}
    for what, (change, look) in BY_HAND.items():
        host.check_output(change)
        assert host.run(look).stdout != before[what], what
    told = operator.run("status")
    assert told.status != 0
    assert "somebody has added to the firewall: tcp dport 9999 accept" in " ".join(told.output.split()), (
        told.output
    )
    done = operator.run("typical")
    assert done.status == 0, done.output
    assert done.changed == len(BY_HAND), done.output
    assert {what: host.run(look).stdout for what, (_change, look) in BY_HAND.items()} == before
    done = operator.run("typical")
    assert (done.status, done.changed) == (0, 0), done.output
    # and everything is looked at where that is asked for
    done = operator.run("typical", "-e", "full=true")
    assert (done.status, done.changed) == (0, 0), done.output


@verbs
def test_logs(album: Album, host: Any, tmp_path: Path) -> None:
    operator = Operator(host.backend.ansible_runner.inventory_file, tmp_path, APP)
    album.get("/?asked-for-the-logs")
    done = operator.run("logs", "-e", "app=memories", "-e", "since=5m")
    assert done.status == 0, done.output
    assert done.changed == 0
    assert "GET /?asked-for-the-logs" in done.output
    # of what somebody changed by hand there may be a traceback
    done = operator.run("logs", "-e", "app=memories", "-e", "process=web", "-e", "lines=2000")
    assert "Booting worker" in done.output, done.output
    assert "asked-for-the-logs" not in done.output
    assert "Z Loading the project" in operator.run("logs", "-e", "app=memories", "-e", "process=build").output
    unknown = operator.run("logs", "-e", "app=memories", "-e", "process=wbe")
    assert unknown.status != 0
    assert "process is one of web, digest, build, nginx" in unknown.output
    assert "did you mean 'memories'?" in operator.run("logs", "-e", "app=memorys").output


def test_what_serves_visitors_is_shut_in(host: Any) -> None:
    checks.check_exposure(host, "nginx", "supervisor", "postgresql@", "memories.digest")
    gunicorn = host.check_output("pgrep --oldest --uid memories")
    status = host.check_output("cat /proc/%s/status", gunicorn)
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
