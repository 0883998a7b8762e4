# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Files that users upload: on the server, or in object storage."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Choice,
    Object,
    Problems,
    Str,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import (
    HOST_NAME,
    HOST_NAME_HINT,
    URL_PATH,
    URL_PATH_HINT,
)

DEFAULT_URL = "/media/"


class Endpoint(Str):
    """The address of an S3 service. Uploads go over the Internet encrypted only."""

    def objection(self, value: str) -> str:
        parts = urlsplit(value)
        try:
            host, _port = parts.hostname or "", parts.port
        except ValueError:
            return self.hint
        return (
            "must begin with https://; http:// is for private and loopback IP addresses only"
            if parts.scheme == "http" and not is_private(host)
            else ""
        )


def is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost"


def _s3_rule(s3: dict[str, Any], path: str, problems: Problems) -> None:
    if "bucket" not in s3:
        problems.add(f"{path}.bucket", "is required: name of the bucket, which exists already")


S3 = Object(
    {
        "bucket": Str(
            "name of the bucket, which exists already",
            pattern=r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
            hint="must be the name of a bucket: 3 to 63 lower-case letters, digits, '.' and '-'",
        ),
        "endpoint": Endpoint(
            "address of the service (default: Amazon's, in the region)",
            pattern=r"https?://[A-Za-z0-9.\[\]:-]+",
            hint="must be an address without a path, such as https://s3.example.org",
        ),
        "region": Str(
            "region of the bucket",
            pattern=r"[a-z0-9-]{1,63}",
            hint="must be the name of a region, such as eu-central-1",
            default="us-east-1",
        ),
        "prefix": Str(
            "folder of the bucket that all objects are in (default: none)",
            pattern=r"(?!\.{1,2}(/|$))(?!.*/\.{0,2}(/|$))[A-Za-z0-9._-][A-Za-z0-9._/-]*|",
            hint="must be a path of letters, digits, '.', '_' and '-', without a slash at either end",
            default="",
        ),
        "public": Bool("everybody may read the objects, without a signed URL", default=False),
        "domain": Str(
            "host name that serves the bucket, such as a CDN's; its URLs are not signed",
            pattern=HOST_NAME,
            hint=HOST_NAME_HINT,
        ),
    },
    doc="bucket of an object storage that speaks S3; its keys are in the vault",
    short="bucket",
    rule=_s3_rule,
)


def _media_rule(media: dict[str, Any], path: str, problems: Problems) -> None:
    bucket = "s3" in media
    kind = media.setdefault("kind", "s3" if bucket else "local")
    if kind == "s3" and not bucket:
        problems.add(f"{path}.s3", "is required with kind: s3: the bucket, such as {bucket: uploads}")
    elif bucket and kind != "s3":
        problems.add(f"{path}.kind", "must be s3, or left out, where media.s3 names a bucket")
    if kind != "s3":
        return
    if media["url"] != DEFAULT_URL:
        problems.add(
            f"{path}.url", "goes with local media; a bucket is served by itself or by media.s3.domain"
        )
    if media["shared"] is True:
        problems.add(f"{path}.shared", "goes with local media; all app servers use the bucket")


MEDIA = Object(
    {
        "kind": Choice(
            ["local", "s3", "none"],
            doc="local: kept on the server across releases; s3: in a bucket (default: s3 with media.s3, else local)",
        ),
        "url": Str(
            "path under which they are served", pattern=URL_PATH, hint=URL_PATH_HINT, default=DEFAULT_URL
        ),
        "shared": Bool(
            "all app servers have the folder in common, by a network file system of yours", default=False
        ),
        "s3": S3,
    },
    short="kind",
    doc="files that users upload",
    rule=_media_rule,
    default={},
)
