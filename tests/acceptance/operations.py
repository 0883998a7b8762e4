"""What an operator does to a running app, and what its visitors see of it, whatever the setup."""

import re
import socket
import time
from typing import Any

from tests.acceptance.album import Album
from tests.acceptance.operator import Operator, Run
from tests.acceptance.traffic import is_whole, reader
from tests.acceptance.under_load import load, wait_for

FLAG = "/srv/memories/maintenance/on"
# Asks the host from the host itself: another address than the one that the tests come from.
INSIDE = (
    "python3 -c 'import sys, urllib.request as r\n"
    'request = r.Request("http://127.0.0.1/version/", headers={"Host": "memories.example"})\n'
    "try:\n    print(r.urlopen(request).status)\n"
    "except r.HTTPError as error:\n    print(error.status)'"
)


def maintenance(operator: Operator, state: str, app: str = "memories", **options: Any) -> Run:
    done = operator.run("maintenance", "-e", f"app={app}", "-e", f"state={state}", **options)
    assert done.status == 0, done.output
    return done


def sheet(album: Album) -> str:
    found = re.search(r'href="(/static/[^"]+\.css)"', album.get("/").text)
    assert found
    return found[1]


def status(album: Album, path: str = "/") -> int:
    return album.get(path).status_code


def check_maintenance(album: Album, operator: Operator, host: Any) -> None:
    """Closed: visitors get the page, monitoring and static files go on. Nobody gets anything else on the way."""
    style = sheet(album)
    with load(album, rate=100) as running:
        maintenance(operator, "on")
        closed = album.get("/")
        assert closed.status_code == 503
        assert closed.headers["Retry-After"] == "300"
        assert closed.headers["Cache-Control"] == "no-store"
        assert closed.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "back soon" in closed.text
        assert album.domain in closed.text
        for method in ("POST", "PUT", "DELETE"):
            answer = album.ask(method, "/albums/new/", data={"title": "x" * 100_000})
            assert (answer.status_code, answer.content) == (503, closed.content), method
        head = album.ask("HEAD", "/")
        assert (head.status_code, head.headers["Retry-After"], head.content) == (503, "300", b"")
        for path in ("/albums/new/", "/media/x.jpg", "/health/x", "/health", "/admin/"):
            assert status(album, path) == 503, path
        assert status(album, "/health/") == 200
        assert is_whole(style, album.get(style).content)
        assert maintenance(operator, "on").changed == 0
        maintenance(operator, "off")
        assert [status(album, "/version/") for _ in range(20)] == [200] * 20
    assert set(running.outcomes) == {"200", "lost: status 503"}, running.summary()
    again = maintenance(operator, "off")
    assert again.changed == 0, again.output
    assert "memories is open" in again.output


def check_who_is_let_in(album: Album, operator: Operator, host: Any) -> None:
    """Chosen addresses see the app; a page of one's own is shown as it is."""
    with socket.create_connection((album.base.removeprefix("http://"), 80)) as connection:
        mine = connection.getsockname()[0]
    page = operator.source.parent / "closed.html"
    page.write_text("<!doctype html><title>é</title><style>p{#{{ not jinja }}</style><p>Tea break")
    field = {"page": str(page), "retry_after": 60, "allow": ["2001:db8::/32", mine]}
    maintenance(operator, "on", changes={"maintenance": field})
    assert host.check_output(INSIDE) == "503"
    assert status(album) == 200
    # who is let in cannot be claimed
    field["allow"] = ["203.0.113.9"]
    closing = maintenance(operator, "on", changes={"maintenance": field})
    assert "203.0.113.9" in closing.output
    claimed = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"}
    answer = album.get("/", headers=claimed)
    assert (answer.status_code, answer.content) == (503, page.read_bytes())
    assert answer.headers["Retry-After"] == "60"
    maintenance(operator, "off", app="all")
    assert status(album) == 200


def check_a_closed_app_stays_closed(album: Album, operator: Operator, setup: str) -> None:
    """It is set up and deployed as an open one. The setup playbook brings a page along, which is no release."""
    assert operator.run("deploy").status == 0
    release = album.health()["release"]
    maintenance(operator, "on")
    template = operator.source.parent / "closed.html.j2"
    template.write_text("<title>{{ app.canonical }}</title>")
    changes = {"maintenance": {"page": str(template)}}
    assert operator.run(setup, changes=changes).status == 0
    assert album.get("/").text == "<title>memories.example</title>"
    assert album.health()["release"] == release
    operator.append("album/urls.py", "\n# written while closed\n")
    assert operator.run(setup, changes=changes).status == 0
    assert album.health()["release"] != release
    assert status(album) == 503
    assert operator.run(setup, changes=changes).changed == 0
    assert status(album) == 503
    maintenance(operator, "off", app="all")
    assert status(album) == 200


def check_requests_under_way_finish(album: Album, operator: Operator) -> None:
    """Who has begun to send a form when the app is closed gets the app's own answer."""
    page = album.get("/albums/new/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token
    start, more = f"csrfmiddlewaretoken={token[1]}&title=Sent+slowly&padding=", 10_000
    head = (
        "POST /albums/new/ HTTP/1.1\r\nHost: memories.example\r\nConnection: close\r\n"
        f"Cookie: csrftoken={page.cookies['csrftoken']}\r\nContent-Length: {len(start) + more}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    )
    with socket.create_connection((album.base.removeprefix("http://"), 80), timeout=30) as connection:
        connection.sendall((head + start).encode())
        process = operator.start("maintenance", "-e", "app=memories", "-e", "state=on")
        while status(album) != 503:
            assert process.poll() in (None, 0), process.communicate()[0]
            time.sleep(0.1)
            connection.sendall(b"x")  # a slow line, not a dead one
            more -= 1
        connection.sendall(b"x" * more)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        process.communicate(timeout=600)
    assert answer.startswith(b"HTTP/1.1 302"), answer[:300]
    maintenance(operator, "off")


def check_wrong_commands(album: Album, operator: Operator, host: Any) -> None:
    for options, text in (
        (["-e", "app=memorys", "-e", "state=on"], "did you mean 'memories'?"),
        (["-e", "app=memories,shop", "-e", "state=on"], "there is no shop"),
        (["-e", "app=memories", "-e", "state=closed"], "state=on (closed to visitors)"),
        (["-e", "app=memories"], "state=on (closed to visitors)"),
        (["-e", "state=on"], "one of memories"),
    ):
        done = operator.run("maintenance", *options)
        assert done.status != 0, options
        assert text in " ".join(done.output.split()), done.output
    wrong = {"maintenance": {"page": "no-such.html", "allow": ["10.0.0.1/8", "office"], "retry_after": 0}}
    done = operator.run("maintenance", "-e", "app=memories", "-e", "state=on", changes=wrong)
    assert done.status != 0
    assert "4 problems" in done.output, done.output
    checked = operator.run("maintenance", "-e", "app=memories", "-e", "state=on", "--check")
    assert (checked.status, checked.changed) == (0, 1), checked.output
    assert not host.file(FLAG).exists
    assert status(album) == 200


def check_generations(album: Album, operator: Operator, host: Any) -> list[str]:
    """Pages of any kept release find their style sheets, whichever release is asked for them."""
    styles = "album/static/album/style.css"
    kept = {"keep_releases": 2}
    operator.append(styles, "\n/* first */\n")
    assert operator.run("deploy", changes=kept).status == 0
    first = sheet(album)
    with reader(album) as visitor:
        time.sleep(1)
        operator.append(styles, "\n/* second */\n")
        done = operator.run("deploy", changes=kept)
        assert done.status == 0, done.output
        wait_for(lambda: len(visitor.sheets) == 2 and min(visitor.sheets.values()) > 10, 120)
    assert visitor.problems == []
    second = sheet(album)
    assert set(visitor.sheets) == {first, second}

    # a release that never goes live has published its files all the same, and the old one serves them
    with reader(album) as visitor:
        operator.append(styles, "\n/* third */\n")
        good = (operator.source / "memories/urls.py").read_text()
        operator.edit("memories/urls.py", '"health/", health.health', '"health/", lambda request: 1 / 0')
        assert operator.run("deploy", changes=kept).status != 0
    assert visitor.problems == []
    third = re.sub(r"[0-9a-f]{12}", newest_hash(host), second)
    assert len({first, second, third}) == 3
    for path in (first, second, third):
        check_static_file(album, path)
    assert sheet(album) == second
    (operator.source / "memories/urls.py").write_text(good)
    return [first, second, third]


def check_files_go_with_the_last_release_that_has_them(
    album: Album, operator: Operator, host: Any, first: str
) -> None:
    styles, kept = "album/static/album/style.css", {"keep_releases": 2}
    operator.append(styles, "\n/* fourth */\n")
    assert operator.run("deploy", changes=kept).status == 0
    fourth = sheet(album)
    operator.append(styles, "\n/* fifth */\n")
    assert operator.run("deploy", changes=kept).status == 0
    assert status(album, first) == 404
    assert not host.file(f"/srv/memories{first}").exists
    for path in (fourth, sheet(album)):
        check_static_file(album, path)


def newest_hash(host: Any) -> str:
    found = host.check_output("ls -t /srv/memories/static/album/ | grep -E 'style[.][0-9a-f]{12}[.]css$'")
    return str(found.splitlines()[0].split(".")[1])


def check_static_file(album: Album, path: str) -> None:
    """As any static file: whole, kept for a year, and compressed."""
    plain = album.get(path, headers={"Accept-Encoding": "identity"})
    assert plain.status_code == 200, path
    assert is_whole(path, plain.content)
    assert plain.headers["Content-Type"].startswith("text/css")
    assert "immutable" in plain.headers["Cache-Control"]
    packed = album.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content == plain.content
    unchanged = album.get(
        path, headers={"If-None-Match": plain.headers["ETag"], "Accept-Encoding": "identity"}
    )
    assert unchanged.status_code == 304
    assert album.ask("POST", path).status_code in (403, 405)
