"""Buckets, tried before anything is changed: against a server that speaks as much S3 as it takes."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.audit.bucket import bucket_of
from ansible_collections.homeport.django.plugins.module_utils.host.bucket import (
    authorization,
    bucket_problem,
    versioning,
)

from tests.unit.support import CANARY, resolved

EMPTY = hashlib.sha256(b"").hexdigest()
# The examples of Amazon's documentation of Signature Version 4 for S3, with their keys and results.
KEYS = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = "examplebucket.s3.amazonaws.com"
NOON = {"host": HOST, "x-amz-date": "20130524T000000Z"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "signature"),
    [
        (
            "GET", "/test.txt", {"range": "bytes=0-9"}, b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT", "/test%24file.text",
            {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        ("GET", "/?lifecycle=", {}, b"", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("GET", "/?max-keys=2&prefix=J", {}, b"", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)  # fmt: skip
def test_signatures(method: str, path: str, headers: dict[str, str], body: bytes, signature: str) -> None:
    payload = hashlib.sha256(body).hexdigest()
    all_headers = {**NOON, "x-amz-content-sha256": payload, **headers}
    made = authorization(method, f"https://{HOST}{path}", all_headers, payload, KEYS, "us-east-1")
    assert made == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={';'.join(sorted(all_headers))},Signature={signature}"
    )


class Storage(ThreadingHTTPServer):
    """Objects by path. ``answers`` has, by method, a status and the word for an error."""

    def __init__(self, public: bool, answers: dict[str, tuple[int, str]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.public = public
        self.answers = answers
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Storage

    def log_message(self, *_words: Any) -> None:
        return

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self) -> None:
        signed, objects = "Authorization" in self.headers, self.server.objects
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(f"{self.command} {self.path.rpartition('/')[0]}")
        if not signed and not self.server.public:
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif (
            signed and self.command in self.server.answers and (self.command != "GET" or self.path in objects)
        ):
            status, code = self.server.answers[self.command]
            self.answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode())
        elif self.command == "PUT":
            objects[self.path] = body
            self.answer(200)
        elif self.command == "DELETE":
            objects.pop(self.path)
            self.answer(204)
        elif self.path in objects:
            self.answer(200, objects[self.path])
        else:
            status, code = self.server.answers.get("missing", (404, "NoSuchKey"))
            self.answer(status, f"<Error><Code>{code}</Code></Error>".encode())

    do_GET = do_PUT = do_DELETE = handle_any


@pytest.fixture
def start() -> Iterator[Any]:
    running = []

    def serve(public: bool = False, **answers: tuple[int, str]) -> Storage:
        server = Storage(public, answers)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        running.append(server)
        return server

    yield serve
    for server in running:
        server.shutdown()
        server.server_close()


def problem(endpoint: str, **changes: Any) -> str:
    bucket = {
        "base": f"{endpoint}/uploads",
        "region": "us-east-1",
        "prefix": "blog/media",
        "public": False,
        "s3_access_key": "id",
        "s3_secret_key": CANARY,
        "proxies": {},
        **changes,
    }
    found = bucket_problem(bucket, "p", "v")
    assert CANARY not in found
    return found


def test_a_bucket_that_can_be_used(start: Any) -> None:
    storage = start()
    assert problem(storage.endpoint) == ""
    folder = "/uploads/blog/media"
    assert storage.asked == [
        f"GET {folder}",
        f"PUT {folder}",
        f"GET {folder}",
        f"GET {folder}",
        f"DELETE {folder}",
    ]
    assert storage.objects == {}
    assert problem(start(public=True).endpoint, public=True, prefix="") == ""


def test_who_may_read(start: Any) -> None:
    exposed = start(public=True)
    assert problem(exposed.endpoint).startswith("p.public: is false, but everybody can read the objects")
    assert exposed.objects == {}
    assert problem(start().endpoint, public=True).startswith(
        "p.public: is true, but the bucket refuses readers"
    )


@pytest.mark.parametrize(
    ("method", "status", "code", "told"),
    [
        ("missing", 403, "AccessDenied", "p.bucket: {} does not allow this key to list objects; "),
        ("missing", 404, "NoSuchBucket", "p.bucket: {} has no such bucket; create it first"),
        ("PUT", 403, "InvalidAccessKeyId", "v.s3_access_key: {} does not know this key"),
        ("PUT", 403, "SignatureDoesNotMatch", "v.s3_secret_key: {} rejects it: "),
        ("PUT", 404, "NoSuchBucket", "p.bucket: {} has no such bucket; create it first"),
        ("PUT", 403, "AccessDenied", "p.bucket: {} does not allow this key to store objects; "),
        ("GET", 403, "AccessDenied", "p.bucket: {} does not allow this key to read objects; "),
        ("DELETE", 403, "AccessDenied", "p.bucket: {} does not allow this key to remove objects; "),
        ("PUT", 301, "PermanentRedirect", "p.region: is not the region of the bucket"),
        ("PUT", 400, "AuthorizationHeaderMalformed", "p.region: is not the region of the bucket"),
        ("PUT", 403, "RequestTimeTooSkewed", "p.endpoint: {} rejects the time of this server"),
        ("PUT", 503, "SlowDown", "p.endpoint: {} answers 503 SlowDown"),
        ("PUT", 502, "", "p.endpoint: {} answers 502"),
    ],
)
def test_what_a_service_refuses(start: Any, method: str, status: int, code: str, told: str) -> None:
    storage = start(**{method: (status, code)})
    server = storage.endpoint.partition("://")[2]
    assert problem(storage.endpoint).startswith(told.format(server))
    assert storage.objects == {} or method == "DELETE"


def test_a_service_that_is_none(start: Any) -> None:
    storage = start()
    https = storage.endpoint.replace("http:", "https:")
    assert "does not answer: [SSL" in problem(https)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = problem(f"http://127.0.0.1:{port}")
    assert found == f"p.endpoint: 127.0.0.1:{port} does not answer: Connection refused"
    assert problem("http://no-such-host.invalid").startswith(
        "p.endpoint: no-such-host.invalid does not answer: "
    )
    # through the proxy of the app
    proxies = {"http": storage.endpoint}
    assert problem("http://no-such-host.invalid", proxies=proxies) == ""


KEYS_OF_BLOG = {"s3_access_key": "key-of-blog", "s3_secret_key": CANARY}
CONFIGURATION = (
    '<?xml version="1.0"?><VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}'
    "</VersioningConfiguration>"
)


@pytest.mark.parametrize(
    ("status", "found"),
    [("<Status>Enabled</Status>", "Enabled"), ("<Status>Suspended</Status>", "Suspended"), ("", "")],
)
def test_versioning_by_the_variables_of_a_release(status: str, found: str, start: Any) -> None:
    server = start()
    server.objects["/uploads?versioning="] = CONFIGURATION.format(status).encode()
    media = {"s3": {"bucket": "uploads", "endpoint": server.endpoint}}
    environment = resolved(KEYS_OF_BLOG, media=media)["environment"]
    assert versioning(bucket_of(environment)) == {"status": found, "error": ""}


def test_versioning_that_a_key_may_not_ask_for(start: Any) -> None:
    server = start(GET=(403, "AccessDenied"))
    server.objects["/uploads?versioning="] = b""
    media = {"s3": {"bucket": "uploads", "endpoint": server.endpoint}}
    found = versioning(bucket_of(resolved(KEYS_OF_BLOG, media=media)["environment"]))
    host = server.endpoint.partition("://")[2]
    assert found == {"status": "", "error": f"{host} answers 403 AccessDenied"}


@pytest.mark.parametrize(
    "media",
    [
        {"bucket": "photos"},
        {"bucket": "photos.example.org", "region": "eu-west-1"},
        {"bucket": "photos", "endpoint": "https://s3.example.org", "prefix": "blog"},
        {"bucket": "photos", "domain": "cdn.example.org"},
    ],
)
def test_a_bucket_is_found_again_by_the_variables_of_a_release(media: dict[str, str]) -> None:
    app = resolved(KEYS_OF_BLOG, media={"s3": media})
    found = bucket_of(app["environment"])
    assert found == {**{key: app["bucket"][key] for key in found if key != "proxies"}, "proxies": {}}
    assert bucket_of(resolved()["environment"]) == {}
