"""What holds on every server with the photo album, whatever its setup."""

import json
from typing import Any

from tests.acceptance.album import Album, picture
from tests.acceptance.under_load import wait_for

SECRET_PLACES = (
    "/srv/memories/config/env",
    "/srv/memories/current/config/env",
    "/srv/memories/current/config/release.env",
)


def check_album_works(album: Album) -> None:
    """A page that reads and writes the database, an upload, and the images made of it."""
    title = "Breakfasts of the year"
    path = album.new_album(title)
    album.upload(path, picture(), caption="Two eggs & <toast>")
    page = album.get(path)
    assert page.status_code == 200
    assert title in page.text
    assert "Two eggs &amp; &lt;toast&gt;" in page.text
    images = album.addresses(path, "/media/")
    assert images, page.text
    image = album.get(images[0])
    assert image.status_code == 200
    assert image.headers["Content-Type"].startswith("image/")
    assert image.headers["X-Content-Type-Options"] == "nosniff"
    assert len(image.content) > 500


def check_static_files(album: Album) -> None:
    """Style sheets have a hash in their names, are kept for a year and come compressed."""
    sheets = [address for address in album.addresses("/", "/static/") if address.endswith(".css")]
    assert sheets
    plain = album.get(sheets[0], headers={"Accept-Encoding": "identity"})
    assert plain.status_code == 200
    assert plain.headers["Content-Type"].startswith("text/css")
    assert "immutable" in plain.headers["Cache-Control"]
    assert "max-age=31536" in plain.headers["Cache-Control"]  # one year from nginx, ten from whitenoise
    packed = album.get(sheets[0], headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(plain.content)
    assert album.get("/static/no-such-file.css").status_code == 404


def check_files_are_closed(host: Any) -> None:
    """Nobody but root and the app reads its environment, code, data and logs."""
    for path in (
        *SECRET_PLACES,
        "/srv/memories/current/src",
        "/srv/memories/shared/data",
        "/var/log/homeport/memories",
    ):
        assert host.file(path).exists, path
        assert host.run(f"runuser -u nobody -- ls -R {path}/. {path}").rc != 0, path
        assert host.run(f"runuser -u nobody -- cat {path}").rc != 0, path
    assert host.run("runuser -u memories -- touch /srv/memories/config/env /srv/memories/current").rc != 0


def check_processes(host: Any) -> None:
    """gunicorn runs as the app's user, on the live release, in exactly one of the two slots."""
    live = host.file("/srv/memories/current").linked_to.rsplit("/", 1)[-1]
    workers = host.process.filter(user="memories", comm="gunicorn")
    assert workers, "no gunicorn runs"
    for process in workers:
        environment = host.file(f"/proc/{process.pid}/environ").content_string
        assert f"HOMEPORT_RELEASE={live}" in environment
    assert not host.process.filter(user="root", comm="gunicorn")
    wait_for(
        lambda: host.run("supervisorctl status").stdout.count("RUNNING") == 2, 30
    )  # not STARTING any more
    status = host.run("supervisorctl status").stdout
    assert "BACKOFF" not in status and "FATAL" not in status, status


def check_schedule(host: Any) -> None:
    """The timer is set, and what it starts runs in the app's environment with its output in the app's logs."""
    assert host.service("memories.digest.timer").is_running
    assert host.service("memories.digest.timer").is_enabled
    ran = host.run("systemctl start memories.digest.service")
    assert ran.rc == 0, ran.stderr
    assert host.file("/var/log/homeport/memories/digest.log").size > 0


def listening(host: Any) -> set[str]:
    """address:port of everything that listens for TCP."""
    lines = host.check_output("ss --no-header --listening --numeric --tcp").splitlines()
    return {line.split()[3] for line in lines}


def outside(host: Any) -> set[int]:
    """TCP ports that other machines reach."""
    found = {address.rpartition(":")[::2] for address in listening(host)}
    return {int(port) for address, port in found if not address.startswith(("127.", "[::1]"))}


def check_exposure(host: Any, *units: str) -> None:
    """Each service is shut in: one by its name, or all instances of a template (``name@``) that run."""
    table = host.check_output("systemd-analyze security --no-pager")
    running = {line.split()[0]: float(line.split()[1]) for line in table.splitlines()[1:] if line.split()}
    for unit in units:
        found = {name: value for name, value in running.items() if name.startswith(unit)}
        if not unit.endswith("@"):
            told = host.check_output(f"systemd-analyze security --no-pager {unit}.service | tail -n 1")
            found = {unit: float(told.split()[-3])}
        assert found, unit
        assert max(found.values()) <= 3.0, found


def check_deployment_checks(host: Any, name: str, site_url: str = "") -> None:
    """Django's checks of a deployment find nothing in the live release, or in what it would be at another address."""
    release = f"/srv/{name}/current"
    assert json.loads(host.file(f"{release}/release.json").content_string)["warnings"] == []
    address = f"env SITE_URL={site_url} " if site_url else ""
    check = f"{address}manage.py check --deploy --fail-level WARNING"
    found = host.run(f"runuser -u {name} -- /usr/local/lib/homeport/run {release} {check}")
    assert "no issues" in found.stdout, found.stdout + found.stderr
