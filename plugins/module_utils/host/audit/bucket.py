# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The bucket that keeps the uploads of an app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.addresses import proxies_of
from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exports
from ansible_collections.homeport.django.plugins.module_utils.host.bucket import versioning
from ansible_collections.homeport.django.plugins.module_utils.host.layout import Layout


def bucket(spec: dict[str, Any]) -> dict[str, str] | None:
    """The bucket of the live release and its versioning; nothing without a release or a bucket."""
    release = Layout(spec).current
    known = exports(f"{release}/config/env") if release else {}
    used = bucket_of(known)
    return {"name": used["bucket"], **versioning(used)} if used else None


def bucket_of(known: Mapping[str, str]) -> dict[str, Any]:
    """A bucket by the variables of an app; empty where these name none."""
    names = ("AWS_STORAGE_BUCKET_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_REGION_NAME")
    if not all(known.get(name) for name in names):
        return {}
    name, access, secret, region = (known[name] for name in names)
    endpoint = known.get("AWS_S3_ENDPOINT_URL") or f"https://s3.{region}.amazonaws.com"
    scheme, _colon, host = endpoint.partition("://")
    by_path = known.get("AWS_S3_ADDRESSING_STYLE") == "path"
    base = f"{endpoint}/{name}" if by_path else f"{scheme}://{name}.{host}"
    return {
        "bucket": name,
        "base": base,
        "region": region,
        "prefix": known.get("AWS_LOCATION", ""),
        "s3_access_key": access,
        "s3_secret_key": secret,
        "proxies": proxies_of(known, base),
    }
