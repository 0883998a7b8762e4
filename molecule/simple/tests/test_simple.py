"""simple: gunicorn on port 80 without root, whitenoise, SQLite."""

from typing import Any

from tests.acceptance import checks
from tests.acceptance.album import Album


def test_the_app_is_healthy(album: Album, host: Any) -> None:
    found = album.health()
    assert found["status"] == "ok"
    assert host.file("/srv/memories/current").linked_to.endswith(found["release"])


def test_an_upload_becomes_a_photo(album: Album) -> None:
    checks.check_album_works(album)


def test_static_files(album: Album) -> None:
    checks.check_static_files(album)
    sheet = next(address for address in album.addresses("/", "/static/") if address.endswith(".css"))
    assert album.get(sheet, headers={"Accept-Encoding": "br"}).headers["Content-Encoding"] == "br"


def test_unknown_hosts_are_refused(album: Album) -> None:
    assert album.get("/", host="evil.example").status_code == 400


def test_data_survive_releases(host: Any) -> None:
    assert host.file("/srv/memories/shared/data/db.sqlite3").user == "memories"
    assert host.file("/srv/memories/shared/data/db.sqlite3").mode & 0o007 == 0


def test_files_are_closed(host: Any) -> None:
    checks.check_files_are_closed(host)


def test_processes(host: Any) -> None:
    checks.check_processes(host)


def test_schedule(host: Any) -> None:
    checks.check_schedule(host)


def test_only_what_the_setup_has_is_there(host: Any) -> None:
    assert checks.outside(host) == {22, 80}
    for name in ("nginx", "postgresql"):
        assert not host.package(name).is_installed
