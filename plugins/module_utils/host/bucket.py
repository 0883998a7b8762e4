# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether the bucket of an app takes, returns and removes an object with the app's keys, and who else may read it.

Requests are signed as AWS documents it (Signature Version 4), since no host has a library for S3.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
import re
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

TIMEOUT = 10  # seconds
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
        self.verb = {"PUT": "store", "GET": "read"}.get(method, "remove")
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


def ask(
    bucket: Mapping[str, Any],
    method: str,
    url: str,
    body: bytes = b"",
    signed: bool = True,
    most: int = len(CONTENT) + 1,
) -> bytes:
    """Sends a request, signed with the keys of a bucket, and returns at most C(most) bytes. Raises Refused and
    OSError."""
    headers: dict[str, str] = {}
    if signed:
        payload = hashlib.sha256(body).hexdigest()
        now = datetime.datetime.now(datetime.timezone.utc)
        headers = {
            "host": urlsplit(url).netloc,
            "x-amz-content-sha256": payload,
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        }
        keys = (bucket["s3_access_key"], bucket["s3_secret_key"])
        headers["authorization"] = authorization(method, url, headers, payload, keys, bucket["region"])
    request = urllib.request.Request(url, body if method == "PUT" else None, headers, method=method)
    # by the proxy of the app, which is not that of the login
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(dict(bucket["proxies"])), NoRedirect)
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            found: bytes = answer.read(most)
            return found
    except urllib.error.HTTPError as error:
        with error:
            code = re.search(r"<Code>(\w{1,60})</Code>", error.read(4096).decode(errors="replace"))
        raise Refused(method, error.code, code[1] if code else "") from None


def bucket_problem(bucket: Mapping[str, Any], path: str, vault: str) -> str:
    """What keeps an app from its bucket, beginning with the field; empty where nothing is found. An object is stored,
    read, and removed again."""
    host = urlsplit(bucket["base"]).netloc
    folder = f"{bucket['prefix']}/" if bucket["prefix"] else ""
    url = f"{bucket['base']}/{quote(folder)}homeport-check-{secrets.token_hex(8)}"
    try:
        look(bucket, url)
        ask(bucket, "PUT", url, CONTENT)
        try:
            same = ask(bucket, "GET", url) == CONTENT
            exposed = exposure(bucket, url)
        finally:
            ask(bucket, "DELETE", url)
    except Refused as refused:
        told = ANSWERS.get(
            refused.code, f"{{path}}.endpoint: {{host}} answers {refused.status} {refused.code}".rstrip()
        )
        return told.format(path=path, vault=vault, host=host, verb=refused.verb)
    except (OSError, http.client.HTTPException) as error:
        return f"{path}.endpoint: {unreachable(error, host)}"
    if not same:
        return (
            f"{path}.endpoint: {host} returns other bytes than were stored; is it a service that speaks S3?"
        )
    return exposed and f"{path}.public: {exposed}"


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
