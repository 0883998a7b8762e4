"""Static files behind a CDN."""

from __future__ import annotations

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release.probe import check_static_url
from ansible_collections.homeport.django.plugins.module_utils.wiring.local import local_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.nginx import nginx_sites

from tests.unit.support import app, problems, resolved

CDN = "https://cdn.example.org"


def test_pages_name_the_cdn_and_nginx_stays_the_origin() -> None:
    found = resolved(static={"cdn": CDN, "url": "/assets/"})
    assert found["environment"]["STATIC_URL"] == f"{CDN}/assets/"
    site = nginx_sites({"blog": found})["blog"]
    assert (site["static"]["url"], site["static"]["cross_origin"]) == ("/assets/", True)
    assert site["maintenance"]["below"] == ["/assets/"]


def test_without_a_cdn_nothing_is_for_other_origins() -> None:
    found = resolved()
    assert found["environment"]["STATIC_URL"] == "/static/"
    assert nginx_sites({"blog": found})["blog"]["static"]["cross_origin"] is False


def test_on_the_operators_machine_there_is_no_cdn() -> None:
    [spec] = local_apps({"blog": resolved(static={"cdn": CDN})}, "/tmp/blog")
    assert spec["environment"]["STATIC_URL"] == "/static/"


@pytest.mark.parametrize(
    "cdn", ["cdn.example.org", "http://cdn.example.org", f"{CDN}/", f"{CDN}/files", f"{CDN} x", "https://"]
)
def test_refused_addresses(cdn: str) -> None:
    [problem] = problems(app(static={"cdn": cdn}))
    assert problem.startswith("django_apps.blog.static.cdn: must be https:// and a host name")


def test_a_cdn_with_a_port() -> None:
    assert problems(app(static={"cdn": f"{CDN}:8443"})) == []


def test_a_cdn_without_an_origin() -> None:
    [problem] = problems(app(static={"cdn": CDN, "server": "none"}))
    assert problem.startswith("django_apps.blog.static.cdn: fetches the files from the app")


@pytest.mark.parametrize(
    ("cdn", "server", "actual", "message"),
    [
        (CDN, "nginx", f"{CDN}/static/", ""),
        (CDN, "whitenoise", f"{CDN}/static/", ""),
        (CDN, "nginx", "/static/", "static.cdn and static.url are https://cdn.example.org/static/"),
        (
            CDN,
            "whitenoise",
            "static/",
            "take it from the environment variable STATIC_URL, or set overlay: true",
        ),
        (CDN, "nginx", "https://other.example.org/static/", "static.cdn and static.url are"),
        ("", "nginx", "https://other.example.org/static/", ""),
        ("", "nginx", "static/", ""),
        ("", "nginx", "/files/", "but static.url is /static/"),
        ("", "whitenoise", "/files/", ""),
    ],
)
def test_what_the_settings_have(cdn: str, server: str, actual: str, message: str) -> None:
    static = {"url": "/static/", "server": server, **({"cdn": cdn} if cdn else {})}
    if not message:
        check_static_url(static, actual)
        return
    with pytest.raises(DeployError) as raised:
        check_static_url(static, actual)
    assert message in str(raised.value)
