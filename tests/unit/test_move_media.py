"""Uploads on their way into a bucket and back: against a server that keeps objects as S3 does."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
from ansible_collections.homeport.django.plugins.action.move_media import described, nothing, told
from ansible_collections.homeport.django.plugins.module_utils.host import bucket as s3
from ansible_collections.homeport.django.plugins.module_utils.host import uploads
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import shell_exports
from ansible_collections.homeport.django.plugins.modules.move_media import Uploads, differing

from tests.unit.releases import HereLayout, HereRunner, write
from tests.unit.support import CANARY, resolved

KEYS = ("key-of-blog", CANARY)
FIELDS = {"path": "django_apps.blog.media.s3", "vault": "vault_django_apps.blog"}


def etag(content: bytes, part: int = 8 << 20) -> str:
    parts = [hashlib.md5(content[at : at + part]) for at in range(0, len(content), part)] or [hashlib.md5()]
    whole = hashlib.md5(b"".join(each.digest() for each in parts)).hexdigest()
    return parts[0].hexdigest() if len(parts) == 1 else f"{whole}-{len(parts)}"


class Storage(ThreadingHTTPServer):
    """One bucket. ``fails`` has answers to requests to come, by method: a status and a word."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, tuple[bytes, str, dict[str, str]]] = {}
        self.parts: dict[str, tuple[str, dict[str, str], dict[int, bytes]]] = {}
        self.fails: dict[str, list[tuple[int, str]]] = {}
        self.asked: list[str] = []
        self.short = 0  # answers to come that end too early

    def put(self, name: str, content: bytes, found: str = "", **headers: str) -> None:
        self.objects[name] = (content, found or etag(content), headers)

    def content(self, name: str) -> bytes:
        return self.objects[name][0]

    @property
    def bucket(self) -> dict[str, Any]:
        return {
            "base": f"http://127.0.0.1:{self.server_address[1]}/photos",
            "region": "us-east-1",
            "prefix": "blog/media",
            "public": False,
            "s3_access_key": KEYS[0],
            "s3_secret_key": KEYS[1],
            "proxies": {},
        }


class Handler(BaseHTTPRequestHandler):
    server: Storage

    def log_message(self, *_words: Any) -> None:
        return

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.short and headers:
            self.server.short -= 1
            body = body[:-1]
            self.close_connection = True
        self.wfile.write(body)

    def signed(self, body: bytes) -> bool:
        """Whether what was signed is what has come."""
        found = re.search(r"SignedHeaders=([^,]+),", self.headers["Authorization"])
        assert found
        headers = {name: self.headers[name] for name in found[1].split(";")}
        payload = hashlib.sha256(body).hexdigest()
        url = f"http://{self.headers['Host']}{self.path}"
        made = s3.authorization(self.command, url, headers, payload, KEYS, "us-east-1")
        return headers["x-amz-content-sha256"] == payload and made == self.headers["Authorization"]

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        name = unquote(parts.path).removeprefix("/photos").lstrip("/")
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.server.asked.append(f"{self.command} {name}")
        waiting = self.server.fails.get(self.command, [])
        if not self.signed(body):
            self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        elif waiting and name:
            status, code = waiting.pop(0)
            self.answer(status, f"<Error><Code>{code}</Code></Error>".encode())
        elif "list-type" in query:
            self.list(query)
        elif "uploads" in query:
            upload = f"{len(self.server.parts)}/&"
            self.server.parts[upload] = (name, self.kept(), {})
            self.answer(200, f"<Result><UploadId>{escape(upload)}</UploadId></Result>".encode())
        elif "uploadId" in query:
            self.part(query, body)
        elif self.command == "PUT":
            self.server.put(name, body, **self.kept())
            self.answer(200)
        elif name not in self.server.objects:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            content, found, headers = self.server.objects[name]
            self.answer(200, content, {**headers, "ETag": f'"{found}"'})

    def kept(self) -> dict[str, str]:
        names = ("content-type", "content-encoding", "x-amz-meta-homeport")
        return {name: self.headers[name] for name in names if name in self.headers}

    def list(self, query: dict[str, str]) -> None:
        """Two names on a page."""
        names = sorted(name for name in self.server.objects if name.startswith(query["prefix"]))
        begin = int(query.get("continuation-token", "0"))
        entries = "".join(
            f"<Contents><Key>{escape(name)}</Key><ETag>&quot;{self.server.objects[name][1]}&quot;</ETag>"
            f"<Size>{len(self.server.content(name))}</Size></Contents>"
            for name in names[begin : begin + 2]
        )
        more = begin + 2 < len(names)
        token = f"<NextContinuationToken>{begin + 2}</NextContinuationToken>" if more else ""
        text = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        )
        self.answer(200, text.encode())

    def part(self, query: dict[str, str], body: bytes) -> None:
        upload = query["uploadId"]
        if self.command == "DELETE":
            self.server.parts.pop(upload)
            self.answer(204)
            return
        name, headers, parts = self.server.parts[upload]
        if self.command == "PUT":
            parts[int(query["partNumber"])] = body
            self.answer(200, b"", {"ETag": f'"{etag(body)}"'})
            return
        assert re.findall(r'<PartNumber>(\d+)</PartNumber><ETag>"(\w+)"</ETag>', body.decode()) == [
            (str(number), etag(part)) for number, part in sorted(parts.items())
        ]
        content = b"".join(part for _number, part in sorted(parts.items()))
        self.server.put(name, content, etag(content, len(parts[1])), **headers)
        self.server.parts.pop(upload)
        self.answer(200, b"<CompleteMultipartUploadResult/>")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.setattr(s3, "PAUSES", (0, 0))
    monkeypatch.setattr(s3, "PART", 1000)
    monkeypatch.setattr(os, "nice", lambda _increment: 0)
    server = Storage()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Uploads of every kind: empty, with a name that has to be escaped, larger than a part."""
    folder = tmp_path / "blog/shared/media"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


LARGE = bytes(range(256)) * 10
FILES = {"a.jpg": b"a photo", "2026/11/b ü+&~.pdf": b"a text", "empty": b"", "2026/film.tar.gz": LARGE}


def moved(
    direction: str, media: Path, storage: Storage, host: str = "web1", **options: Any
) -> dict[str, Any]:
    words = {"host": host, "dry": False, "overwrite": False, **FIELDS, **options}
    return uploads.move(direction, str(media), storage.bucket, words)


def counts(found: dict[str, Any]) -> tuple[int, int, list[str]]:
    return found["files"], found["copied"], found["differ"]


def test_every_file_is_where_django_storages_looks_for_it(media: Path, storage: Storage) -> None:
    storage.put("of-another-app", b"")
    assert counts(moved("up", media, storage, dry=True)) == (4, 4, [])
    assert set(storage.objects) == {"of-another-app"}
    found = moved("up", media, storage)
    assert counts(found) == (4, 4, [])
    assert found["bytes"] == found["copied_bytes"] == sum(map(len, FILES.values()))
    stored = {name.removeprefix("blog/media/"): each for name, each in storage.objects.items()}
    assert {name: stored[name][0] for name in FILES} == FILES
    assert stored["a.jpg"][2]["content-type"] == "image/jpeg"
    assert stored["empty"][2]["content-type"] == "application/octet-stream"
    assert stored["2026/film.tar.gz"][2]["content-type"] == "application/x-tar"
    assert stored["2026/film.tar.gz"][2]["content-encoding"] == "gzip"
    assert stored["2026/film.tar.gz"][1].endswith("-3")
    assert storage.parts == {}
    # the next run finds all of them the same, by their ETags alone
    storage.asked.clear()
    assert counts(moved("up", media, storage)) == (4, 0, [])
    assert set(storage.asked) == {"GET "}


def test_an_interrupted_run_goes_on_with_what_is_missing(media: Path, storage: Storage) -> None:
    storage.fails["POST"] = [(403, "AccessDenied")]
    with pytest.raises(
        DeployError, match=r"media\.s3\.bucket: .* does not allow this key to store objects; .*film"
    ):
        moved("up", media, storage)
    assert "blog/media/2026/film.tar.gz" not in storage.objects
    there = len(storage.objects)
    assert counts(moved("up", media, storage)) == (4, 4 - there, [])


def test_a_half_upload_is_given_up(media: Path, storage: Storage) -> None:
    for name in set(FILES) - {"2026/film.tar.gz"}:
        (media / name).unlink()
    storage.fails["PUT"] = [(403, "AccessDenied")]
    with pytest.raises(DeployError, match="to store objects"):
        moved("up", media, storage)
    film = "blog/media/2026/film.tar.gz"
    assert storage.asked[1:] == [f"POST {film}", f"PUT {film}", f"DELETE {film}"]
    assert (storage.parts, storage.objects) == ({}, {})


def test_what_fails_in_passing_is_tried_again(media: Path, storage: Storage) -> None:
    storage.fails["PUT"] = [(503, "SlowDown"), (500, "InternalError")]
    assert counts(moved("up", media, storage)) == (4, 4, [])
    assert {name.removeprefix("blog/media/") for name in storage.objects} == set(FILES)


def test_what_differs_is_named_and_not_replaced(media: Path, storage: Storage) -> None:
    storage.put("blog/media/a.jpg", b"another")
    storage.put("blog/media/empty", b"not empty")
    assert counts(moved("up", media, storage)) == (4, 2, ["a.jpg", "empty"])
    assert storage.content("blog/media/a.jpg") == b"another"
    assert counts(moved("up", media, storage, dry=True, overwrite=True)) == (4, 2, [])
    assert storage.content("blog/media/a.jpg") == b"another"
    found = moved("up", media, storage, overwrite=True)
    assert (*counts(found), found["replaced"]) == (4, 2, [], 2)
    assert storage.content("blog/media/a.jpg") == b"a photo"


def test_a_file_that_has_changed_since_its_copy_is_copied_again(media: Path, storage: Storage) -> None:
    moved("up", media, storage)
    later = (media / "a.jpg").stat().st_mtime_ns + 10**9
    (media / "a.jpg").write_bytes(b"changed")
    os.utime(media / "a.jpg", ns=(later, later))
    # the same name on another host is another file
    assert counts(moved("up", media, storage, host="web2")) == (4, 0, ["a.jpg"])
    assert counts(moved("up", media, storage)) == (4, 1, [])
    assert storage.content("blog/media/a.jpg") == b"changed"
    # one that comes from a backup is older
    (media / "a.jpg").write_bytes(b"of yesterday")
    os.utime(media / "a.jpg", ns=(later - 1, later - 1))
    assert counts(moved("up", media, storage)) == (4, 0, ["a.jpg"])
    # and what the app has replaced in the bucket has no mark
    storage.put("blog/media/empty", b"of the app")
    assert counts(moved("up", media, storage)) == (4, 0, ["a.jpg", "empty"])


def test_an_etag_of_another_form_says_nothing(media: Path, storage: Storage) -> None:
    """As of objects that the service encrypts, or that another program has sent in other parts."""
    storage.put("blog/media/a.jpg", b"a photo", found="0" * 32)
    storage.put("blog/media/2026/film.tar.gz", LARGE, found=etag(LARGE, 100))
    storage.put("blog/media/2026/11/b ü+&~.pdf", b"a tExt", found="0" * 32)
    assert counts(moved("up", media, storage)) == (4, 1, ["2026/11/b ü+&~.pdf"])
    # what this program has stored needs no reading
    storage.objects.pop("blog/media/a.jpg")
    moved("up", media, storage)
    content, _etag, headers = storage.objects["blog/media/a.jpg"]
    storage.put("blog/media/a.jpg", content, found="0" * 32, **headers)
    storage.asked.clear()
    assert counts(moved("up", media, storage))[1] == 0
    assert "HEAD blog/media/a.jpg" in storage.asked
    assert "GET blog/media/a.jpg" not in storage.asked


def test_what_is_no_file_is_found_before_anything_is_copied(media: Path, storage: Storage) -> None:
    assert uploads.look(str(media)) == {
        "files": 4,
        "bytes": sum(map(len, FILES.values())),
        "others": 0,
        "other_names": [],
    }
    (media / "passwd").symlink_to("/etc/passwd")
    (media / "away").symlink_to("/etc")
    os.mkfifo(media / "2026/pipe")
    write(media / "line\nbreak")
    (media / os.fsdecode(b"latin\xe9")).write_bytes(b"")
    (media / ".homeport-0123").write_bytes(b"of an interrupted run")
    found = uploads.look(str(media))
    assert found["other_names"] == ["2026/pipe", "away", "latin\\udce9", "line\\nbreak", "passwd"]
    assert counts(moved("up", media, storage)) == (4, 4, [])
    # a link that the app puts in the place of a file meanwhile
    moving = uploads.Up(
        str(media), storage.bucket, {"overwrite": True, "dry": False, "host": "web1", **FIELDS}
    )
    with pytest.raises(DeployError, match="passwd: Too many levels of symbolic links"):
        moving.one("passwd")


def test_only_what_the_bucket_has_is_removed(media: Path, storage: Storage) -> None:
    moved("up", media, storage)
    storage.put("blog/media/a.jpg", b"other!!")
    write(media / "new/upload.txt", "after the move")
    found = moved("remove", media, storage)
    assert counts(found) == (5, 3, ["a.jpg", "new/upload.txt"])
    left = sorted(str(path.relative_to(media)) for path in media.rglob("*"))
    assert left == ["a.jpg", "new", "new/upload.txt"]
    assert "3" not in differing({**found, "up": True}, "remove", "web1")
    assert "a.jpg, new/upload.txt" in differing({**found, "up": True}, "remove", "web1")


def test_the_way_back(media: Path, storage: Storage) -> None:
    moved("up", media, storage)
    (media / "a.jpg").unlink()
    (media / "2026/film.tar.gz").unlink()
    (media / "2026/11/b ü+&~.pdf").write_bytes(b"a tExt")
    storage.put("blog/media/new/by/the app.png", b"since then")
    storage.put("blog/media/folder/", b"")
    assert counts(moved("down", media, storage, dry=True)) == (5, 3, ["2026/11/b ü+&~.pdf"])
    assert not (media / "a.jpg").exists()
    storage.short = 1
    assert counts(moved("down", media, storage)) == (5, 3, ["2026/11/b ü+&~.pdf"])
    assert (media / "new/by/the app.png").read_bytes() == b"since then"
    assert (media / "a.jpg").read_bytes() == b"a photo"
    assert (media / "2026/film.tar.gz").read_bytes() == LARGE
    assert (media / "2026/11/b ü+&~.pdf").read_bytes() == b"a tExt"
    assert counts(moved("down", media, storage, overwrite=True)) == (5, 1, [])
    assert (media / "2026/11/b ü+&~.pdf").read_bytes() == b"a text"
    assert list(media.rglob(".*")) == []


@pytest.mark.parametrize("name", ["../../up", "/etc/x", "a//b", "./a"])
def test_an_object_cannot_leave_the_folder(name: str, media: Path, storage: Storage) -> None:
    storage.put(f"blog/media/{name}", b"x")
    assert uploads.look_there(storage.bucket, *FIELDS.values())["other_names"] == [name]
    with pytest.raises(DeployError, match="1 objects have names that no file can have"):
        moved("down", media, storage)


def test_a_disk_that_is_too_small_is_refused(
    media: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put("blog/media/new", b"x" * 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: type("Disk", (), {"free": uploads.SPARE}))
    with pytest.raises(DeployError, match="100 bytes are to come from the bucket"):
        moved("down", media, storage)
    assert not (media / "new").exists()


class Here(Uploads):
    def __init__(self, home: Path, declared: dict[str, Any]) -> None:
        layout = HereLayout({"name": "blog", "user": "blog", "home": str(home)})
        super().__init__(layout, HereRunner(layout), declared, "web1")


def release(home: Path, name: str, environment: dict[str, str]) -> None:
    folder = home / "releases" / name
    write(folder / "config/env", shell_exports(environment))
    write(folder / "release.json", "{}")
    (home / "current").unlink(missing_ok=True)
    (home / "current").symlink_to(folder)


def test_where_the_uploads_are_and_where_they_go(media: Path, storage: Storage, tmp_path: Path) -> None:
    home = tmp_path / "blog"
    declared = storage.bucket
    s3_media = {
        "bucket": "photos",
        "endpoint": declared["base"].removesuffix("/photos"),
        "prefix": "blog/media",
    }
    with_bucket = resolved(
        dict(zip(("s3_access_key", "s3_secret_key"), KEYS, strict=True)), media={"s3": s3_media}
    )
    release(home, "1", resolved()["environment"])
    with pytest.raises(DeployError, match=r"django_apps\.blog\.media\.s3: is required to move uploads"):
        Here(home, {})
    found = Here(home, declared).look(False)
    assert (found["files"], found["live"], found["bucket"], found["up"]) == (4, False, "photos", True)
    with pytest.raises(
        DeployError, match="finish: the live release of blog on web1 does not use the bucket yet"
    ):
        Here(home, declared).look(True)
    assert Here(home, declared).move("up", False, False)["copied"] == 4
    release(home, "2", with_bucket["environment"])
    assert Here(home, declared).look(True)["live"] is True
    assert Here(home, {**declared, "prefix": "other"}).look(False)["live"] is False
    assert Here(home, declared).move("remove", False, False)["copied"] == 4
    # back: with the keys of the release, as none is declared any more
    found = Here(home, {}).look(False)
    assert (found["files"], found["live"], found["up"]) == (4, False, False)
    assert Here(home, {}).move("down", False, False)["copied"] == 4
    assert (media / "a.jpg").read_bytes() == b"a photo"
    release(home, "3", resolved()["environment"])
    found = Here(home, {}).look(False)
    assert (found["files"], found["live"]) == (4, True)


def test_links_stop_the_run_before_anything_is_copied(media: Path, storage: Storage, tmp_path: Path) -> None:
    (media / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(
        DeployError, match=r"media has links, .* \(1\): passwd\. Replace or remove them first"
    ):
        Here(tmp_path / "blog", storage.bucket).look(False)
    assert storage.objects == {}


def test_a_host_without_uploads(storage: Storage, tmp_path: Path) -> None:
    uploads_of = Here(tmp_path / "blog", storage.bucket)
    assert uploads_of.look(True)["files"] == 0
    assert uploads_of.move("up", False, False)["copied"] == 0
    assert storage.asked == []


def test_keys_that_the_service_rejects(media: Path, storage: Storage, tmp_path: Path) -> None:
    bucket = {**storage.bucket, "s3_secret_key": "another"}
    with pytest.raises(
        DeployError, match=r"^vault_django_apps\.blog\.s3_secret_key: 127\.0\.0\.1:\d+ rejects it"
    ):
        Here(tmp_path / "blog", bucket).move("up", False, False)


@pytest.mark.parametrize(
    "answer",
    [
        "<html>Welcome",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Key>blog/media/a</Key></Contents></ListBucketResult>",
    ],
)
def test_what_is_no_list_of_objects(answer: str, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "ask", lambda *_words, **_options: answer.encode())
    with pytest.raises(
        DeployError, match=r"^django_apps\.blog\.media\.s3\.endpoint: .* without a list of objects$"
    ):
        uploads.look_there(storage.bucket, *FIELDS.values())


def test_the_first_failure_ends_the_others() -> None:
    begun = []

    def work(name: str) -> None:
        begun.append(name)
        raise DeployError(name)

    with pytest.raises(DeployError):
        uploads.in_parallel(work, (str(number) for number in range(1000)))
    assert len(begun) <= uploads.TOGETHER


def test_what_the_operator_reads() -> None:
    answer = {
        "files": 1204, "bytes": 1.1 * 2**30, "copied": 1, "copied_bytes": 2048, "differing": 0, "up": True,
        "bucket": "photos", "folder": "/srv/blog/shared/media",
    }  # fmt: skip
    line = "blog: 1,204 files (1.1 GiB) of web1 are in the bucket photos, 0 differ; 1 file (2 KiB) copied by this step"
    assert told("blog", "web1", answer, "copy", False) == line
    assert "1 file (2 KiB) of 1,204 files (1.1 GiB) of web1 would be copied" in told(
        "blog", "web1", answer, "copy", True
    )
    assert told("blog", "web1", answer, "remove", False) == (
        "blog: 1 file (2 KiB) were removed from /srv/blog/shared/media on web1"
    )
    asked = described("blog", {"web1": answer, "web2": {**answer, "files": 0}})
    assert "1,204 files (1.1 GiB) in /srv/blog/shared/media on web1 are removed" in asked
    assert "web2" not in asked
    assert nothing("blog", "web1", answer) == "blog: web1 has no uploads in /srv/blog/shared/media to move"
