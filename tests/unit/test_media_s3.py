"""Uploads in object storage: what a definition may say, and what the app gets of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.homeport.django.plugins.filter.parts import untried_buckets
from ansible_collections.homeport.django.plugins.module_utils.app.check import check, parse
from ansible_collections.homeport.django.plugins.module_utils.common.rotation import bucket_digest
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import app_files
from ansible_collections.homeport.django.plugins.module_utils.wiring.inventory import topology
from ansible_collections.homeport.django.plugins.module_utils.wiring.local import local_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.nginx import nginx_sites
from ansible_collections.homeport.django.plugins.modules.host_facts import live_buckets

from tests.unit.releases import write
from tests.unit.support import CANARY, SECRET, app, problems, resolved

ROOT = Path(__file__).parents[2]
VAULT = {"s3_access_key": "AKIAEXAMPLE", "s3_secret_key": CANARY}
OWN = {"bucket": "uploads", "endpoint": "https://s3.example.org", "prefix": "blog/media"}


def test_what_is_wrong() -> None:
    path = "django_apps.blog.media"
    for media, told in (
        ({"kind": "s3"}, f"{path}.s3: is required with kind: s3: the bucket, such as {{bucket: uploads}}"),
        ({"kind": "none", "s3": OWN}, f"{path}.kind: must be s3, or left out, where media.s3 names a bucket"),
        ({"s3": OWN, "shared": True}, f"{path}.shared: goes with local media; all app servers use the bucket"),
        ({"s3": {**OWN, "bucket": "Up"}}, f"{path}.s3.bucket: must be the name of a bucket: "),
        ({"s3": {**OWN, "endpoint": "http://s3.example.org"}}, f"{path}.s3.endpoint: must begin with https://; "),
        ({"s3": {**OWN, "endpoint": "http://8.8.8.8"}}, f"{path}.s3.endpoint: must begin with https://; "),
        ({"s3": {**OWN, "endpoint": "https://s3.example.org/x"}}, f"{path}.s3.endpoint: must be an address "),
        ({"s3": {**OWN, "endpoint": "https://h:x"}}, f"{path}.s3.endpoint: must be an address without a path"),
        ({"s3": {**OWN, "prefix": "a/../b"}}, f"{path}.s3.prefix: must be a path of letters"),
        ({"s3": {**OWN, "prefix": "/a"}}, f"{path}.s3.prefix: must be a path of letters"),
        ({"s3": {**OWN, "prefix": "a/"}}, f"{path}.s3.prefix: must be a path of letters"),
        ({"s3": OWN, "url": "/uploads/"}, f"{path}.url: goes with local media; "),
    ):  # fmt: skip
        (found,) = problems(app(media=media), VAULT)
        assert found.startswith(told), found
    for endpoint in (
        "http://10.0.0.3:8333",
        "http://127.0.0.1",
        "http://[fd00::1]:8333",
        "http://localhost:80",
    ):
        assert problems(app(media={"s3": {**OWN, "endpoint": endpoint}}), VAULT) == []
    for name in VAULT:
        others = {key: value for key, value in VAULT.items() if key != name}
        assert problems(app(media={"s3": "uploads"}), others) == [
            f"vault_django_apps.blog.{name}: is required with {path}.s3: one of the bucket's keys"
        ]
        assert problems(app(), {name: VAULT[name]}) == [
            f"vault_django_apps.blog.{name}: goes with {path}.s3 only"
        ]
    (found,) = problems(app(media={"s3": OWN}, overlay=True, env={"AWS_STORAGE_BUCKET_NAME": None}), VAULT)
    assert found.startswith("django_apps.blog.env.AWS_STORAGE_BUCKET_NAME: is what the overlay takes")


def test_two_apps_share_no_place() -> None:
    apps = {
        name: {**app(media={"s3": {**OWN, "prefix": prefix}}), "domains": [f"{name}.example.org"]}
        for name, prefix in (("blog", ""), ("wiki", "wiki"), ("shop", ""))
    }
    (found,) = check(apps, dict.fromkeys(apps, VAULT), SECRET, "site")
    assert found.startswith("django_apps.shop.media.s3: is where the app blog has its uploads")


def environment(**s3: Any) -> dict[str, str]:
    found: dict[str, str] = resolved(VAULT, media={"s3": {**OWN, **s3}})["environment"]
    return found


def test_the_names_that_projects_know() -> None:
    found = environment()
    assert found["AWS_ACCESS_KEY_ID"] == found["DJANGO_AWS_ACCESS_KEY_ID"] == "AKIAEXAMPLE"
    assert found["AWS_SECRET_ACCESS_KEY"] == found["DJANGO_AWS_SECRET_ACCESS_KEY"] == CANARY
    assert found["AWS_STORAGE_BUCKET_NAME"] == found["DJANGO_AWS_STORAGE_BUCKET_NAME"] == "uploads"
    assert found["AWS_S3_ENDPOINT_URL"] == "https://s3.example.org"
    assert found["AWS_S3_REGION_NAME"] == found["AWS_DEFAULT_REGION"] == "us-east-1"
    assert (found["AWS_LOCATION"], found["AWS_S3_ADDRESSING_STYLE"]) == ("blog/media", "path")
    assert (found["AWS_QUERYSTRING_AUTH"], found["AWS_S3_SIGNATURE_VERSION"]) == ("1", "s3v4")
    assert found["MEDIA_URL"] == "https://s3.example.org/uploads/blog/media/"
    assert "MEDIA_ROOT" not in found
    assert "AWS_S3_CUSTOM_DOMAIN" not in found
    cdn = environment(domain="cdn.example.org", prefix="")
    assert cdn["AWS_S3_CUSTOM_DOMAIN"] == cdn["DJANGO_AWS_S3_CUSTOM_DOMAIN"] == "cdn.example.org"
    assert (cdn["MEDIA_URL"], cdn["AWS_QUERYSTRING_AUTH"]) == ("https://cdn.example.org/", "0")
    assert environment(public=True)["AWS_QUERYSTRING_AUTH"] == "0"
    amazon = resolved(VAULT, media={"s3": {"bucket": "uploads", "region": "eu-west-1"}})["environment"]
    assert amazon["MEDIA_URL"] == "https://uploads.s3.eu-west-1.amazonaws.com/"
    assert amazon["AWS_S3_ADDRESSING_STYLE"] == "virtual"
    assert not {"AWS_S3_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_REQUEST_CHECKSUM_CALCULATION"} & {*amazon}
    dotted = resolved(VAULT, media={"s3": {"bucket": "up.loads"}})["environment"]
    assert dotted["MEDIA_URL"] == "https://s3.us-east-1.amazonaws.com/up.loads/"
    assert not any("AWS" in name for name in resolved()["environment"])


def test_no_folder_and_no_location_for_them() -> None:
    found = {"blog": resolved(VAULT, media={"s3": OWN}, overlay=True)}
    paths = {entry["path"] for entry in app_files(found)}
    assert "/srv/blog/shared/media" not in paths
    assert "/srv/blog/config/overlay.d/20_s3.py" in paths
    assert nginx_sites(found)["blog"]["media"] == {}
    assert "django-storages[s3]" in found["blog"]["server_packages"]
    own = resolved(VAULT, media={"s3": OWN})
    assert "django-storages[s3]" not in own["server_packages"]
    assert not [entry for entry in app_files({"blog": own}) if "overlay.d" in entry["path"]]


def test_nothing_goes_there_from_the_operators_machine() -> None:
    (local,) = local_apps({"blog": resolved(VAULT, media={"s3": OWN})}, "/here")
    assert not any("AWS" in name for name in local["environment"])
    assert CANARY not in str(local)
    assert local["environment"]["MEDIA_URL"] == "/media/"


def test_only_buckets_that_no_live_release_uses_are_tried(tmp_path: Path) -> None:
    apps = {
        "blog": resolved(VAULT, media={"s3": OWN}, env={"HTTPS_PROXY": "http://p:3128"}),
        "shop": resolved(name="shop"),
    }
    found = untried_buckets(apps, {"buckets": {}})
    assert list(found) == ["blog"]
    assert found["blog"]["base"] == "https://s3.example.org/uploads"
    assert found["blog"]["proxies"] == {"https": "http://p:3128"}
    assert untried_buckets(apps, {"buckets": {}}, ["shop"]) == {}
    env = {"HTTPS_PROXY": "http://p:3128", "no_proxy": "localhost,example.org"}
    direct = {"blog": resolved(VAULT, media={"s3": OWN}, env=env)}
    assert untried_buckets(direct, {"buckets": {}})["blog"]["proxies"] == {}
    environment = apps["blog"]["environment"]
    lines = "".join(f"export {name}='{value}'\n" for name, value in environment.items())
    write(tmp_path / "blog/current/config/env", lines)
    write(tmp_path / "shop/current/config/env", "export A='1'\n")
    facts = {"buckets": live_buckets(str(tmp_path))}
    assert list(facts["buckets"]) == ["blog"]
    assert CANARY not in str(facts)
    assert untried_buckets(apps, facts) == {}
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_STORAGE_BUCKET_NAME", "AWS_QUERYSTRING_AUTH"):
        assert bucket_digest({**environment, name: "other"}) != facts["buckets"]["blog"]


OVERLAY = """
import json, django
django.setup()
from django.conf import settings
from django.core.files.storage import storages
bucket = storages["default"]
print(json.dumps([type(bucket).__module__, settings.MEDIA_URL, bucket.url("a b.jpg"), bucket.file_overwrite]))
"""


def test_the_overlay_hands_uploads_to_the_bucket(tmp_path: Path) -> None:
    """With the library that a release gets."""
    python = f"{tmp_path}/venv/bin/python"
    files = [f"{ROOT}/examples/memories/requirements{name}.txt" for name in ("", "-s3")]
    words = [word for name in files for word in ("-r", name)]
    subprocess.run(["uv", "venv", "--quiet", "--no-project", f"{tmp_path}/venv"], check=True)
    subprocess.run(
        ["uv", "pip", "install", "--quiet", "--python", python, *words],
        check=True,
        env={**os.environ, "UV_SYSTEM_CERTS": "1"},
    )
    shutil.copytree(ROOT / "roles/django_app/files/config", tmp_path / "config")
    subprocess.run([python, "-m", "django", "startproject", "site1", str(tmp_path)], check=True)
    given = resolved(VAULT, media={"s3": OWN}, overlay=True)
    call = {
        **given["environment"],
        "STATIC_ROOT": f"{tmp_path}/static",
        "DATABASE_URL": "sqlite:////nowhere",
        "DJANGO_SETTINGS_MODULE": "homeport_settings",
        "HOMEPORT_BASE_SETTINGS": "site1.settings",
        "PYTHONPATH": f"{tmp_path}/config:{tmp_path}",
    }

    def run(script: str = OVERLAY) -> subprocess.CompletedProcess[str]:
        return subprocess.run([python, "-c", script], env=call, capture_output=True, text=True, check=False)

    done = run()
    assert done.returncode == 0, done.stderr
    module, media_url, url, overwrites = json.loads(done.stdout)
    assert module == "storages.backends.s3"
    assert media_url == "https://s3.example.org/uploads/blog/media/"
    assert url.startswith(f"{media_url}a%20b.jpg?")
    assert parse_qs(urlsplit(url).query)["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert overwrites is False
    settings = tmp_path / "site1/settings.py"
    own = "STORAGES = {'default': {'BACKEND': 'own.Storage'}, 'staticfiles': {'BACKEND': 'x'}}\n"
    settings.write_text(settings.read_text() + own)
    done = run("import homeport_settings as s; print(s.STORAGES['default'])")
    assert done.stdout.strip() == "{'BACKEND': 'own.Storage'}", done.stderr


def test_the_overlay_of_a_django_without_storages() -> None:
    text = (ROOT / "roles/django_app/files/config/overlay.d/20_s3.py").read_text()
    with pytest.raises(RuntimeError, match=r"needs Django 4\.2 or newer"):
        exec(text, {"_django": (3, 2)})
    exec(text, {"_django": (3, 2), "DEFAULT_FILE_STORAGE": "own.Storage"})


def test_several_app_servers_may_have_them() -> None:
    groups = {"app_servers": ["a", "b"], "database_servers": ["a"]}
    parsed = parse({"blog": app(media={"s3": OWN})}, {"blog": VAULT}, SECRET, "site")
    assert [found for found in topology(parsed, groups, "site") if "media" in found] == []
