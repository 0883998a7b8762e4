# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The bucket of an app: whether it takes, returns and removes an object with the app's keys, who else may read it, and
what is in it.

Requests are signed as AWS documents it (Signature Version 4), since no host has a library for S3.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import hmac
import html
import http.client
import re
import secrets
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import IO, Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

TIMEOUT = 10  # seconds
LONG = 300  # seconds in which a service takes or gives a part of an object
PAUSES = (1, 4, 15)  # seconds between tries
PART = 8 << 20  # bytes of an object that are sent at once, as boto3 does
MOST_PARTS = 10_000  # S3's own limit
MOST_LISTED = 32 << 20  # bytes of a page of 1,000 names
CONTENT = b"Homeport checks that this bucket can be used.\n"

# What the service answers, and which field it is about.
ANSWERS = {
    "InvalidAccessKeyId": "{vault}.s3_access_key: {host} does not know this key",
    "SignatureDoesNotMatch": "{vault}.s3_secret_key: {host} rejects it: it is not the secret of s3_access_key",
    "NoSuchBucket": "{path}.bucket: {host} has no such bucket; create it first",
    "AccessDenied": "{path}.bucket: {host} does not allow this key to {verb} objects; the bucket may not exist or "
    "be another account's, or the key needs a policy (ListBucket, GetObject, PutObject, DeleteObject)",
    "AuthorizationHeaderMalformed": "{path}.region: is not the region of the bucket",
    "PermanentRedirect": "{path}.region: is not the region of the bucket",
    "RequestTimeTooSkewed": "{path}.endpoint: {host} rejects the time of this server: its clock is wrong",
}


class Refused(Exception):
    """An answer other than success: its status, S3's word for the error, and what was to be done."""

    def __init__(self, method: str, status: int, code: str) -> None:
        super().__init__(code)
        self.verb = {"DELETE": "remove", "GET": "read", "HEAD": "read"}.get(method, "store")
        self.status = status
        self.code = code


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is signed is for one address."""

    def redirect_request(self, *_words: Any) -> None:
        return None


def authorization(
    method: str, url: str, headers: Mapping[str, str], payload: str, keys: tuple[str, str], region: str
) -> str:
    """The header that signs a request with these headers, C(x-amz-date) and C(host) among them. C(payload) is the
    SHA-256 of the body."""
    access, secret = keys
    parts = urlsplit(url)
    when = headers["x-amz-date"]
    names = sorted(headers)
    signed = ";".join(names)
    canonical = "\n".join(
        [
            method,
            parts.path or "/",
            parts.query,
            *(f"{name}:{headers[name]}" for name in names),
            "",
            signed,
            payload,
        ]
    )
    scope = f"{when[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for word in scope.split("/"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return f"AWS4-HMAC-SHA256 Credential={access}/{scope},SignedHeaders={signed},Signature={signature}"


@contextlib.contextmanager
def opened(
    bucket: Mapping[str, Any],
    method: str,
    url: str,
    body: bytes = b"",
    signed: bool = True,
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Iterator[Any]:
    """The answer to a request, signed with the keys of a bucket. Raises Refused and OSError."""
    sent = dict(headers or {})
    if signed:
        payload = hashlib.sha256(body).hexdigest()
        now = datetime.datetime.now(datetime.timezone.utc)
        sent.update(
            {
                "host": urlsplit(url).netloc,
                "x-amz-content-sha256": payload,
                "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
            }
        )
        keys = (bucket["s3_access_key"], bucket["s3_secret_key"])
        sent["authorization"] = authorization(method, url, sent, payload, keys, bucket["region"])
    request = urllib.request.Request(url, body if method in ("POST", "PUT") else None, sent, method=method)
    # by the proxy of the app, which is not that of the login
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(dict(bucket["proxies"])), NoRedirect)
    try:
        with opener.open(request, timeout=timeout) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        with error:
            raise Refused(method, error.code, code_of(error.read(4096))) from None


def code_of(answer: bytes) -> str:
    """S3's word for an error."""
    code = re.search(r"<Code>(\w{1,60})</Code>", answer.decode(errors="replace"))
    return code[1] if code else ""


def ask(
    bucket: Mapping[str, Any],
    method: str,
    url: str,
    body: bytes = b"",
    signed: bool = True,
    most: int = len(CONTENT) + 1,
) -> bytes:
    """At most C(most) bytes of the answer to a request."""
    with opened(bucket, method, url, body, signed) as answer:
        found: bytes = answer.read(most)
        return found


def bucket_problem(bucket: Mapping[str, Any], path: str, vault: str) -> str:
    """What keeps an app from its bucket, beginning with the field; empty where nothing is found. An object is stored,
    read, and removed again."""
    url = url_of(bucket, f"homeport-check-{secrets.token_hex(8)}")
    try:
        look(bucket, url)
        ask(bucket, "PUT", url, CONTENT)
        try:
            same = ask(bucket, "GET", url) == CONTENT
            exposed = exposure(bucket, url)
        finally:
            ask(bucket, "DELETE", url)
    except (Refused, OSError, http.client.HTTPException) as error:
        return failure(error, bucket, path, vault)
    if not same:
        host = urlsplit(bucket["base"]).netloc
        return (
            f"{path}.endpoint: {host} returns other bytes than were stored; is it a service that speaks S3?"
        )
    return exposed and f"{path}.public: {exposed}"


def failure(error: Exception, bucket: Mapping[str, Any], path: str, vault: str) -> str:
    """Why a request has failed, beginning with the field."""
    host = urlsplit(bucket["base"]).netloc
    if not isinstance(error, Refused):
        return f"{path}.endpoint: {unreachable(error, host)}"
    told = ANSWERS.get(
        error.code, f"{{path}}.endpoint: {{host}} answers {error.status} {error.code}".rstrip()
    )
    return told.format(path=path, vault=vault, host=host, verb=error.verb)


def look(bucket: Mapping[str, Any], url: str) -> None:
    """Looks for an object that is not there, as storages do for a name that is free. Only keys that may list a bucket
    are told."""
    try:
        ask(bucket, "GET", url)
    except Refused as refused:
        if refused.status != 404 or refused.code == "NoSuchBucket":
            refused.verb = "list"
            raise


def exposure(bucket: Mapping[str, Any], url: str) -> str:
    """Whether somebody without a key may read an object, where that is not as declared."""
    try:
        readable = ask(bucket, "GET", url, signed=False) == CONTENT
    except Refused:
        readable = False
    if readable and not bucket["public"]:
        return (
            "is false, but everybody can read the objects of the bucket without a key; remove its public policy, or "
            "set public: true"
        )
    if bucket["public"] and not readable:
        return (
            "is true, but the bucket refuses readers without a key; give it a policy that lets everybody read, or set "
            "public: false"
        )
    return ""


def versioning(bucket: Mapping[str, Any]) -> dict[str, str]:
    """Whether a bucket keeps what is overwritten and removed: the C(status) Enabled, Suspended, or empty where it
    never did; or the C(error) that keeps the app's keys from asking."""
    host = urlsplit(bucket["base"]).netloc
    try:
        text = ask(bucket, "GET", f"{bucket['base']}?versioning=", most=4096).decode(errors="replace")
    except Refused as refused:
        return {"status": "", "error": f"{host} answers {refused.status} {refused.code}".rstrip()}
    except (OSError, http.client.HTTPException) as error:
        return {"status": "", "error": unreachable(error, host)}
    found = re.search(r"<Status>(Enabled|Suspended)</Status>", text)
    return {"status": found[1] if found else "", "error": ""}


def unreachable(error: Exception, host: str) -> str:
    """Why there was no answer."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"the certificate of {host} is refused: {reason.verify_message}"
    return f"{host} does not answer: {getattr(reason, 'strerror', '') or reason}"


class Stored(NamedTuple):
    """An object of a bucket."""

    size: int
    etag: str


def folder_of(bucket: Mapping[str, Any]) -> str:
    return f"{bucket['prefix']}/" if bucket["prefix"] else ""


def url_of(bucket: Mapping[str, Any], name: str) -> str:
    """Of the object that django-storages has under this name."""
    return f"{bucket['base']}/{quote(folder_of(bucket) + name)}"


def query(url: str, **values: str | int) -> str:
    """An address with a query, as it is signed."""
    return f"{url}?{urlencode(sorted(values.items()), safe='', quote_via=quote)}"


def listing(bucket: Mapping[str, Any]) -> dict[str, Stored]:
    """All objects below the prefix, by their names without it."""
    folder = folder_of(bucket)
    found: dict[str, Stored] = {}
    more: dict[str, str | int] = {}
    while True:
        url = query(bucket["base"], **{"list-type": "2", "prefix": folder, **more})
        try:
            page = ElementTree.fromstring(steadily(partial(ask, bucket, "GET", url, most=MOST_LISTED)))
            for entry in page.iterfind("{*}Contents"):
                name, size, etag = (entry.findtext(f"{{*}}{key}", "") for key in ("Key", "Size", "ETag"))
                found[name[len(folder) :]] = Stored(int(size), etag.strip('"'))
            if page.findtext("{*}IsTruncated") != "true":
                return found
            token = page.findtext("{*}NextContinuationToken")
            if not token:
                raise ValueError("a list that does not go on")
            more = {"continuation-token": token}
        except Refused as refused:
            refused.verb = "list"
            raise
        except (ElementTree.ParseError, ValueError):
            raise Refused("GET", 200, "without a list of objects") from None


def part_of(size: int) -> int:
    """Bytes of each part of an object."""
    return max(PART, -(-size // MOST_PARTS))


def etag_of(stream: IO[bytes], size: int) -> str:
    """The ETag that S3 gives to what a stream has: the MD5 of the content, or that of the MD5s of its parts."""
    parts = []
    while block := stream.read(part_of(size)):
        parts.append(hashlib.md5(block, usedforsecurity=False))
    if len(parts) > 1:
        whole = hashlib.md5(b"".join(part.digest() for part in parts), usedforsecurity=False)
        return f"{whole.hexdigest()}-{len(parts)}"
    return (parts[0] if parts else hashlib.md5(usedforsecurity=False)).hexdigest()


def steadily(work: Callable[[], Any]) -> Any:
    """What a request returns, which is made again where the service is busy or the connection is lost."""
    for pause in PAUSES:
        try:
            return work()
        except Refused as refused:
            if refused.status < 500 and refused.status not in (408, 429):
                raise
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(pause)
    return work()


def store(
    bucket: Mapping[str, Any], name: str, stream: IO[bytes], size: int, headers: Mapping[str, str]
) -> None:
    """Stores what a stream has, in parts where it is large. The service compares the SHA-256 of what it gets."""
    url, part = url_of(bucket, name), part_of(size)

    def send(
        method: str, address: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, str]:
        with opened(bucket, method, address, body, headers=headers, timeout=LONG) as answer:
            return answer.read(1 << 16), answer.headers.get("ETag", "")

    if size <= part:
        body = stream.read(part)
        steadily(partial(send, "PUT", url, body, headers))
        return
    begun, _etag = steadily(partial(send, "POST", query(url, uploads=""), b"", headers))
    named = re.search(rb"<UploadId>([^<]+)</UploadId>", begun)
    if not named:
        raise Refused("POST", 200, "without an upload")
    upload = html.unescape(named[1].decode())
    try:
        parts = ""
        for number in range(1, MOST_PARTS + 1):
            body = stream.read(part)
            if not body:
                break
            address = query(url, partNumber=number, uploadId=upload)
            _answer, etag = steadily(partial(send, "PUT", address, body))
            parts += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        text = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        ended, _etag = steadily(partial(send, "POST", query(url, uploadId=upload), text))
        if b"<Error>" in ended:  # S3 answers 200 before it puts the parts together
            raise Refused("POST", 200, code_of(ended))
    except BaseException:
        # what is stored of a half object costs, too; a key may not be allowed to remove it
        with contextlib.suppress(Refused, OSError, http.client.HTTPException):
            ask(bucket, "DELETE", query(url, uploadId=upload))
        raise
