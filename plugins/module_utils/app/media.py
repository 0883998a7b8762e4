# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Uploads in object storage: the bucket, its keys, and the variables in which projects look for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Problems

Values = Mapping[str, Any]

KEYS = ("s3_access_key", "s3_secret_key")
# Projects made with cookiecutter-django look for these under names of their own.
DJANGO_NAMES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_STORAGE_BUCKET_NAME",
    "AWS_S3_REGION_NAME",
    "AWS_S3_CUSTOM_DOMAIN",
)


def check_bucket(path: str, name: str, app: Values, secrets: Values, problems: Problems) -> None:
    """The keys of a bucket, which are in the vault, and go with one."""
    media = app.get("media", {})
    for key in KEYS:
        place = f"vault_django_apps.{name}.{key}"
        if "s3" in media and key not in secrets:
            problems.add(place, f"is required with {path}.media.s3: one of the bucket's keys")
        elif key in secrets and "s3" not in media and media.get("kind") in ("local", "none"):
            problems.add(place, f"goes with {path}.media.s3 only")


def place_of(app: Values) -> tuple[str, str, str] | None:
    """Where an app keeps its uploads in object storage, which no other app may share."""
    bucket = app.get("media", {}).get("s3")
    if not isinstance(bucket, Mapping) or "bucket" not in bucket:
        return None
    endpoint, name, prefix = (str(bucket.get(key, "")) for key in ("endpoint", "bucket", "prefix"))
    return endpoint, name, prefix


def bucket_of(app: Values, secrets: Values) -> dict[str, Any]:
    """The bucket of an app with its keys; empty without one."""
    given = app["media"].get("s3")
    if not given:
        return {}
    keys = {key: secrets[key] for key in KEYS}
    by_path = "endpoint" in given or "." in given["bucket"]  # no certificate covers a name with a further dot
    endpoint = given.get("endpoint") or f"https://s3.{given['region']}.amazonaws.com"
    scheme, _colon, host = endpoint.partition("://")
    base = f"{endpoint}/{given['bucket']}" if by_path else f"{scheme}://{given['bucket']}.{host}"
    return {**given, **keys, "by_path": by_path, "base": base}


def media_environment(bucket: Values) -> dict[str, str]:
    """The names that django-storages documents, those of boto3, and cookiecutter-django's."""
    if not bucket:
        return {}
    base = f"https://{bucket['domain']}" if "domain" in bucket else bucket["base"]
    found = {
        "AWS_ACCESS_KEY_ID": bucket["s3_access_key"],
        "AWS_SECRET_ACCESS_KEY": bucket["s3_secret_key"],
        "AWS_STORAGE_BUCKET_NAME": bucket["bucket"],
        "AWS_S3_REGION_NAME": bucket["region"],
        "AWS_DEFAULT_REGION": bucket["region"],
        "AWS_LOCATION": bucket["prefix"],
        # a CDN has no use for the bucket's signatures
        "AWS_QUERYSTRING_AUTH": "0" if bucket["public"] or "domain" in bucket else "1",
        "AWS_S3_SIGNATURE_VERSION": "s3v4",
        "AWS_S3_ADDRESSING_STYLE": "path" if bucket["by_path"] else "virtual",
        "MEDIA_URL": f"{base}/{bucket['prefix']}/" if bucket["prefix"] else f"{base}/",
    }
    if "endpoint" in bucket:
        found["AWS_S3_ENDPOINT_URL"] = bucket["endpoint"]
        # the system's authorities, where botocore has a list of its own
        found["AWS_CA_BUNDLE"] = "/etc/ssl/certs/ca-certificates.crt"
        # boto3's newer checksums, which some services refuse
        found["AWS_REQUEST_CHECKSUM_CALCULATION"] = found["AWS_RESPONSE_CHECKSUM_VALIDATION"] = (
            "when_required"
        )
    if "domain" in bucket:
        found["AWS_S3_CUSTOM_DOMAIN"] = bucket["domain"]
    return {**found, **{f"DJANGO_{name}": found[name] for name in DJANGO_NAMES if name in found}}
