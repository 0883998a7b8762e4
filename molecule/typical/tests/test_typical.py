"""typical: nginx in front of gunicorn, PostgreSQL beside it, everything on one server."""

import json
from typing import Any

import pytest
import requests

from tests.acceptance import checks
from tests.acceptance.album import Album


@pytest.fixture
def album(host: Any) -> Album:
    return Album(host.ansible.get_variables()["ansible_host"], "memories.example")


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


def test_schedule(host: Any) -> None:
    checks.check_schedule(host)


def test_only_the_site_can_be_reached(host: Any) -> None:
    assert checks.outside(host) == {22, 80}
