"""What is told of code that cannot be fetched, and of domains that lead elsewhere."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.action import reachability
from ansible_collections.homeport.django.plugins.filter import parts

DNS = {
    "blog.example.org": ["203.0.113.10"],
    "www.example.org": ["198.51.100.7", "2001:db8::7"],
    "web1": ["10.0.0.5"],
}


@pytest.fixture(autouse=True)
def resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(name: str, *_words: Any, **_more: Any) -> list[Any]:
        if name == "slow.example.org":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if name not in DNS and not name[0].isdigit():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in DNS.get(name, [name])]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    monkeypatch.setattr(reachability, "is_global", lambda address: not address.startswith("10."))
    monkeypatch.setattr(ActionBase, "run", lambda *_words: {})


class Action(reachability.ActionModule):
    def __init__(self, problems: dict[str, str], **arguments: Any) -> None:
        self.problems = problems
        self.unreached: dict[str, str] = arguments.pop("unreached", {})
        self.unusable: dict[str, str] = arguments.pop("unusable", {})
        self._task: Any = SimpleNamespace(args=arguments)

    def _execute_module(self, **_options: Any) -> dict[str, Any]:
        return {
            "problems": self.problems,
            "unreached": self.unreached,
            "unusable": self.unusable,
            "addresses": ["10.0.0.5"],
        }


def ran(problems: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = Action(problems or {}, **arguments).run(
        task_vars={"inventory_hostname": "web1", "django_apps": {"blog": {"domains": ["blog.example.org"]}}}
    )
    return found


def names(*domains: str, acme: bool = False) -> dict[str, Any]:
    return {"blog": {"domains": list(domains), "acme": acme}}


def test_services_that_cannot_be_reached() -> None:
    result = ran(
        unreached={"django_apps.blog.database": ["db.example:5432 does not answer: Connection refused"]}
    )
    assert result["failed"]
    assert "nothing was changed:\n- django_apps.blog.database: db.example:5432 does not" in result["msg"]


def test_a_bucket_that_cannot_be_used() -> None:
    result = ran(unusable={"blog": "vault_django_apps.blog.s3_access_key: s3.example does not know this key"})
    assert result["failed"]
    assert "nothing was changed:\n- vault_django_apps.blog.s3_access_key: s3.example does" in result["msg"]


def test_what_is_secret_of_a_bucket_goes_by_itself() -> None:
    keys = {"s3_access_key": "id", "s3_secret_key": "secret", "proxies": {"https": "http://u:p@proxy:3128"}}
    place = {"base": "https://s3.example/blog", "region": "r", "prefix": "", "public": False}
    found = reachability.divided({"blog": {**place, **keys}})
    assert found == {"buckets": {"blog": place}, "bucket_secrets": {"blog": keys}}


def test_what_cannot_be_fetched() -> None:
    result = ran({"blog": "source.version: X has no branch or tag mian"})
    assert result["failed"]
    assert "nothing was changed:\n- django_apps.blog.source.version: X has no" in result["msg"]


def test_domains_that_lead_here() -> None:
    for address in ("203.0.113.10", "blog.example.org"):
        assert ran(names=names("blog.example.org"), addresses=[address]) == {"changed": False}


def test_domains_that_lead_elsewhere() -> None:
    asked = names(
        "blog.example.org", "www.example.org", "*.example.org", "new.example.org", "shop.example", acme=True
    )
    told = ran(names=asked, addresses=["203.0.113.10"])["warnings"]
    assert told[0].startswith(
        "django_apps.blog.domains: new.example.org has no address in the DNS; web1 has 10.0.0.5, 203.0.113.10; the "
        "authority would look for its challenge there"
    )
    assert "www.example.org leads to 198.51.100.7, 2001:db8::7 in the DNS, and web1 has 10.0.0.5" in told[1]
    assert len(told) == 2
    told = ran(names=names("new.example.org"), addresses=["203.0.113.10"])["warnings"]
    assert "authority" not in told[0]


def test_what_tells_nothing() -> None:
    """A host behind a router does not know its public address, and a resolver may not answer."""
    assert ran(names=names("www.example.org"), addresses=["web1"]) == {"changed": False}
    assert ran(names=names("slow.example.org"), addresses=["203.0.113.10"]) == {"changed": False}


APP = {
    "source": {"git": "https://git.example.org/x.git", "version": "main"},
    "canonical": "blog.example.org",
    "redirects": ["www.example.org"],
    "aliases": [],
    "trusted_networks": [],
    "tls": {"certificate": "acme", "challenge": "http-01"},
}


def test_what_is_live_is_not_asked_for_again() -> None:
    facts = {"sources": {"blog": "https://git.example.org/x.git main"}}
    assert parts.unfetched({"blog": APP}, facts) == {}
    assert list(parts.unfetched({"blog": APP}, {"sources": {"blog": ""}})) == ["blog"]
    assert parts.unfetched({"blog": APP}, {"sources": {}}, ["shop"]) == {}
    local = {**APP, "source": {"path": "../blog"}}
    assert parts.unfetched({"blog": local}, {"sources": {}}) == {}


def test_what_is_served_is_not_looked_for_again() -> None:
    wanted = {"service_config.nginx": {"blog": {"domains": "a"}}}
    same = {"parts": wanted, "domains": {}}
    assert parts.unserved({"blog": APP}, wanted, same) == {}
    new = {"parts": {}, "domains": {"blog": ["blog.example.org"]}}
    found = parts.unserved({"blog": APP}, wanted, new)
    assert found == names("blog.example.org", "www.example.org", acme=True)
    assert parts.unserved({"blog": APP}, {}, new) == {}  # without nginx
    assert parts.unserved({"blog": {**APP, "trusted_networks": ["10.0.0.0/8"]}}, wanted, new) == {}
