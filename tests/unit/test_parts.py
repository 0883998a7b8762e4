"""What the services of a host are given for each app, and what of it differs from what they were given."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.filter.parts import (
    blocked_apps,
    kept_apps,
    kept_sites,
    other_certificates,
    taken_databases,
    taken_domains,
    undelivered,
    without_new_tls,
)
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.common import parts as differences
from ansible_collections.homeport.django.plugins.module_utils.common.digests import Parts
from ansible_collections.homeport.django.plugins.module_utils.wiring import parts

from tests.unit.support import SECRET, app

SERVED = ["apps", "database", "cache", "broker"]
BLOG = {"cache": "redis"}


def wanted(**apps: dict[str, Any]) -> dict[str, Parts]:
    found = resolve(
        {name: app(**{"domains": [f"{name}.example"], **fields}) for name, fields in apps.items()},
        {},
        SECRET,
        "site",
        {},
    )
    return parts.wanted(found, found, SERVED)


def facts(given: dict[str, Parts], sets: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"parts": given, "sets": list(sets), "packages": [], "served": {}}


def test_nothing_differs_from_what_was_given() -> None:
    assert differences.differing(wanted(blog=BLOG), wanted(blog=BLOG), []) == {}


@pytest.mark.parametrize(
    ("fields", "component", "named"),
    [
        ({"domains": ["other.example"]}, differences.NGINX, ["domains"]),
        ({"domains": ["blog.example", "www.other.example"]}, differences.NGINX, ["domains"]),
        ({"proxy": {"upload_limit": "7m"}}, differences.NGINX, ["proxy.upload_limit"]),
        (
            {"proxy": {"extra": "etag off;", "timeout": 5}},
            differences.NGINX,
            ["proxy.extra", "proxy.timeout"],
        ),
        ({"tls": "selfsigned"}, differences.NGINX, ["tls"]),
        ({"database": {"extensions": ["citext"]}}, differences.POSTGRES, ["database.extensions"]),
        ({"cache": {"engine": "redis", "memory": 77}}, "service_config.redis", ["cache.memory"]),
        ({"cache": {"engine": "valkey"}}, "service_config.redis", ["cache.engine"]),
        ({"cache": "memcached"}, "service_config.memcached", []),
    ],
)
def test_a_changed_field_is_named(fields: dict[str, Any], component: str, named: list[str]) -> None:
    found = differences.differing(wanted(blog={**BLOG, **fields}), wanted(blog=BLOG), [])
    assert found["blog"][component] == named


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"database": {"extensions": ["citext"]}},
            ["blog.database.extensions differs from what PostgreSQL on web1"],
        ),
        (
            {"web": {"workers": 8, "threads": 12}},  # what they can open is the limit
            ["blog.limits.database_connections differs from what PostgreSQL on web1"],
        ),
        ({"web": {"workers": 2, "threads": 5}}, []),
        (
            {"cache": {"engine": "redis", "memory": 77}},
            ["blog.cache.memory differs from what Redis or Valkey on web1"],
        ),
        ({"domains": ["other.example"]}, []),  # which a deploy brings
    ],
)
def test_what_a_deploy_does_not_bring(fields: dict[str, Any], told: list[str]) -> None:
    found = undelivered({}, wanted(blog={**BLOG, **fields}), facts(wanted(blog=BLOG)), "web1")
    assert [line.partition(" was given")[0] for line in found] == told


def test_what_an_earlier_version_did_not_write_down_is_no_difference() -> None:
    before = wanted(blog=BLOG)
    del before[differences.POSTGRES]["blog"]["limits.database_connections"]
    assert undelivered({}, wanted(blog=BLOG), facts(before), "web1") == []
    changed = {**BLOG, "database": {"extensions": ["citext"]}}
    assert differences.differing(wanted(blog=changed), before, [])["blog"][differences.POSTGRES] == [
        "database.extensions"
    ]


def test_a_new_app_has_no_database_and_no_cache_yet() -> None:
    both, before = wanted(blog={}, wiki=BLOG), facts(wanted(blog={}))
    assert undelivered({}, both, before, "web1") == [
        "PostgreSQL on web1 has nothing for wiki yet",
        "Redis or Valkey on web1 has nothing for wiki yet",
    ]
    assert undelivered({}, both, before, "web1", ["blog"]) == []


@pytest.mark.parametrize(
    ("port", "served", "given", "told"),
    [
        (80, ["apps", "firewall"], 80, []),
        (9000, ["apps", "firewall"], 80, ["blog.web.port differs from what the firewall on web1 was given"]),
        (9000, ["apps", "firewall"], None, ["the firewall on web1 has nothing for blog yet"]),
        (9000, ["apps"], None, []),  # without a firewall
    ],
)
def test_a_deploy_opens_no_port(port: int, served: list[str], given: int | None, told: list[str]) -> None:
    def simple(port: int) -> dict[str, Parts]:
        found = resolve({"blog": app(web={"port": port})}, {}, SECRET, "simple", {})
        return parts.wanted(found, found, served)

    assert undelivered({}, simple(port), facts(simple(given) if given else {}), "web1") == told


def test_packages_that_are_not_there() -> None:
    apps = {
        "blog": {
            "system_packages": ["gettext"],
            "databases": {},
            "source": {"path": "."},
            "database": {"engine": "sqlite", "url": "", "extensions": []},
        }
    }
    known = {**facts({}), "packages": ["git"]}
    assert undelivered(apps, {}, known, "web1") == ["web1 does not have gettext for blog"]
    assert undelivered(apps, {}, {**known, "packages": ["gettext"]}, "web1") == []
    apps["blog"]["system_packages"] = ["gettext:amd64", "gettext=1.2-3", "gettext/stable"]
    assert undelivered(apps, {}, {**known, "packages": ["gettext"]}, "web1") == []
    # a host that an earlier version has prepared says nothing
    assert undelivered(apps, {}, {**known, "packages": []}, "web1") == []


def test_a_component_that_did_not_write_down_for_whom_it_is_is_no_reason_to_refuse() -> None:
    assert undelivered({}, wanted(blog={}), facts({}, ("postgres",)), "web1") == []
    assert undelivered({}, wanted(blog={}), facts({}), "web1") != []


def test_sites_that_stay_as_they_are() -> None:
    before = facts(wanted(blog={}, wiki={}))
    now = wanted(blog={"domains": ["b.example"]}, wiki={"domains": ["w.example"]})
    assert kept_apps(now, {}, before, {}) == []
    assert kept_apps(now, {}, before, {"wiki": "it failed"}) == ["wiki"]
    assert kept_apps(now, {}, before, {}, ["blog"]) == ["wiki"]
    # whose site would not change
    assert kept_apps(wanted(blog={"domains": ["b.example"]}, wiki={}), {}, before, {}, ["blog"]) == []


def named(*domains: str) -> dict[str, Any]:
    return {"canonical": domains[0], "redirects": list(domains[1:]), "aliases": []}


def test_a_domain_that_moves_between_apps_waits_for_the_site_that_has_it() -> None:
    """From blog to shop, and one from shop to wiki."""
    domains = {"blog": ["b.example"], "shop": ["news.example"], "wiki": ["w.example", "s.example"]}
    apps = {name: named(*names) for name, names in domains.items()}
    given = {"blog": ["b.example", "news.example"], "shop": ["s.example"], "wiki": ["w.example"]}
    now = wanted(**{name: {"domains": names} for name, names in domains.items()})
    before = facts(wanted(**{name: {"domains": names} for name, names in given.items()})) | {"served": given}
    assert kept_apps(now, apps, before, {}) == []
    assert blocked_apps(now, apps, before, {}) == {}
    assert kept_apps(now, apps, before, {"wiki": "it failed"}) == ["wiki"]
    failed = {"blog": "it failed"}
    assert kept_apps(now, apps, before, failed) == ["blog", "shop", "wiki"]
    told = blocked_apps(now, apps, before, failed)
    assert told["shop"].startswith("news.example is still served by blog, whose site stays as it is.")
    assert told["wiki"].startswith("s.example is still served by shop")
    assert list(told) == ["shop", "wiki"]
    # a run about shop alone is refused before
    [line] = taken_domains(apps, {**before, "domains": {}}, "web1", ["shop"])
    assert line == (
        "django_apps.shop.domains: news.example is still served by the app blog on web1, and this run does not change "
        "the site of blog. Deploy all apps (without -e app=shop), or blog first (-e app=blog)"
    )
    assert taken_domains(apps, {**before, "domains": {}}, "web1", ["blog"]) == []
    assert taken_domains(apps, {**before, "domains": {}}, "web1") == []


def test_other_certificates() -> None:
    wanted_kinds = {"blog": {"kind": "acme"}, "wiki": {"kind": "own"}, "shop": {"kind": "acme"}}
    given = {
        "blog": {"kind": "selfsigned"},
        "wiki": {"kind": "own", "domains": ["w"]},
        "old": {"kind": "acme"},
    }
    assert other_certificates(wanted_kinds, given) == ["blog", "old", "shop"]


@pytest.mark.parametrize(
    "words", ["nginx, database:blog,database:shop", ["nginx", "database:blog", "database:shop"]]
)
def test_databases_that_may_be_taken(words: Any) -> None:
    assert taken_databases(words) == ["blog", "shop"]
    assert taken_databases("") == []


def test_certificates_of_sites_that_stay() -> None:
    new = {"blog": {"domains": ["b.example"]}, "wiki": {"domains": ["w.example"]}}
    old = {"blog": {"domains": ["a.example"]}}
    assert kept_sites(new, ["blog", "wiki"], old) == old
    assert kept_sites(new, ["blog"], old) == {"wiki": new["wiki"], "blog": old["blog"]}
    sites = {"blog": {"tls": {"folder": "/b"}}, "wiki": {"tls": {"folder": "/w"}}}
    assert without_new_tls(sites, ["blog", "wiki"], old) == {
        "blog": {"tls": {"folder": "/b"}},
        "wiki": {"tls": {}},
    }


def test_a_domain_that_an_app_still_has_is_not_taken() -> None:
    apps = {"jotter": {"canonical": "notes.example", "redirects": [], "aliases": ["www.notes.example"]}}
    told = taken_domains(apps, {"domains": {"notes": ["notes.example"]}, "served": {}}, "web1")
    assert len(told) == 1
    assert told[0].startswith(
        "django_apps.jotter.domains: notes.example is still served by the app notes on web1, which is not declared"
    )
    both = {**apps, "notes": {"canonical": "other.example", "redirects": [], "aliases": []}}
    assert taken_domains(both, {"domains": {"notes": ["notes.example"]}, "served": {}}, "web1") == []
    assert (
        taken_domains(
            apps, {"domains": {"jotter": ["notes.example"], "old": ["old.example"]}, "served": {}}, "web1"
        )
        == []
    )


def test_certificates_that_differ_from_what_was_given() -> None:
    given = {"blog": {"kind": "acme", "domains": ["a.org"], "challenge": "http-01"}}
    assert differences.differing_certificates(given, given) == {}
    assert differences.differing_certificates(given, {}) == {"blog": []}
    assert differences.differing_certificates({}, given) == {}
    wanted = {"blog": {"kind": "own", "domains": ["a.org", "b.org"], "challenge": "http-01", "chain": "PEM"}}
    assert differences.differing_certificates(wanted, given) == {"blog": ["tls", "domains", "tls.chain"]}
    assert differences.sentence("blog", differences.CERTIFICATES, ["tls"], "web1") == (
        "blog.tls differs from what the certificate renewal on web1 was given"
    )
