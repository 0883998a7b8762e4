"""The program that keeps the certificates, with a certbot and an authority that are made up."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import stat
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.modules.certificates import problems, warnings

PROGRAM = Path(__file__).parents[2] / "roles/certificates/files/usr/local/lib/homeport/certificates"


def load() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("homeport_certificates", str(PROGRAM))
    spec = importlib.util.spec_from_loader("homeport_certificates", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


program = load()

# What certbot 4 and 5 print.
FAILED = """
Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:
  {word}: away.example.org
  Type:   connection
  Detail: 192.0.2.1: Fetching http://away.example.org/.well-known/acme-challenge/x: Timeout

Hint: The Certificate Authority failed to download the temporary challenge files created by Certbot.
"""
# Of a wildcard, in the words of certbot 5.
FAILED_WILDCARD = FAILED.replace("{word}", "Identifier").replace("away.example.org", "wild.example.org")
REFUSED = """
An unexpected error occurred:
Error creating new order :: Cannot issue for "x.lan": Domain name does not end with a valid public suffix (TLD)
Ask for help or search for solutions at https://community.letsencrypt.org.
"""


@pytest.mark.parametrize("word", ["Domain", "Identifier"])
def test_what_the_authority_says(word: str) -> None:
    found = program.parse_problems(FAILED.replace("{word}", word), ["a.example.org", "away.example.org"])
    assert list(found) == ["away.example.org"]
    assert found["away.example.org"].endswith("Timeout (connection)")
    both = ["wild.example.org", "*.wild.example.org"]
    assert list(program.parse_problems(FAILED_WILDCARD, both)) == both
    assert list(program.parse_problems(FAILED_WILDCARD, both[1:])) == both[1:]
    assert list(program.parse_problems(REFUSED, ["a.x.lan", "x.lan"])) == ["x.lan"]
    assert program.parse_problems("Connection refused", ["a.example.org"]) == {}


class Authority:
    """In place of certbot: signs for the names that it believes."""

    def __init__(self, folder: Path, server: str = "https://one/dir") -> None:
        self.folder = folder
        self.server = server
        self.believes = lambda name: True
        self.asked: list[list[str]] = []
        self.says = ""

    def request(self, _site: Any, site: str, _options: Any, names: list[str], force: bool) -> tuple[int, str]:
        self.asked.append(names)
        if self.says:
            return 1, self.says
        wrong = {name.removeprefix("*.") for name in names if not self.believes(name)}
        if wrong:
            return 1, "".join(f"\n  Domain: {name}\n  Type: dns\n  Detail: no\n" for name in wrong)
        live = self.folder / "etc/homeport/acme/live" / site
        live.mkdir(parents=True, exist_ok=True)
        found = program.read_certificate(str(live / "fullchain.pem"))
        if force or not found or found["names"] != names:
            program.make_self_signed(names, str(live))
        renewal = self.folder / "etc/homeport/acme/renewal"
        renewal.mkdir(exist_ok=True)
        (renewal / f"{site}.conf").write_text(f"server = {self.server}\n")
        return 0, ""


class Host:
    """A host below a folder, with its sites."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.paths = program.Paths(str(folder))
        self.authority = Authority(folder)
        self.dns = lambda name: [] if name.startswith("soon") else ["192.0.2.1"]
        monkeypatch.setattr(
            program.Certbot, "request", lambda certbot, *words: self.authority.request(certbot, *words)
        )
        monkeypatch.setattr(program.Certbot, "delete", lambda certbot, site: certbot.forget(site))
        monkeypatch.setattr(program, "resolve", lambda names: {name: self.dns(name) for name in names})
        self.reloads = folder / "reloads"

    def declare(self, settings: dict[str, Any] | None = None, **sites: Any) -> None:
        config = {
            "email": "a@example.org", "authority": self.authority.server, "authority_ca": False, "profile": "",
            "dns_server": "192.0.2.53", "dns_propagation_seconds": 60, "dns_auth_hook": "", "dns_cleanup_hook": "",
            "reload": ["sh", "-c", f"echo x >>{self.reloads}"], "sites": sites, **(settings or {}),
        }  # fmt: skip
        os.makedirs(os.path.dirname(self.paths.config), exist_ok=True)
        Path(self.paths.config).write_text(json.dumps(config))

    def apply(self, renew: bool = False, now: float = 0) -> dict[str, Any]:
        keeper = program.Keeper(self.paths)
        keeper.now = now or keeper.now
        keeper.apply(renew)
        found: dict[str, Any] = keeper.report()
        return found

    def plan(self) -> list[str]:
        found: list[str] = program.Keeper(self.paths).plan()
        return found

    @property
    def count(self) -> int:
        return len(self.reloads.read_text().splitlines()) if self.reloads.exists() else 0


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def site(*domains: str, kind: str = "acme", challenge: str = "http-01") -> dict[str, Any]:
    return {"kind": kind, "domains": list(domains), "challenge": challenge}


def test_something_to_serve_before_anybody_is_asked(host: Host) -> None:
    host.declare(blog=site("a.example.org"))
    assert host.plan() == ["blog"]
    keeper = program.Keeper(host.paths)
    keeper.prepare()
    live = Path(keeper.live("blog"))
    assert program.read_certificate(f"{live}/fullchain.pem")["names"] == ["a.example.org"]
    assert stat.S_IMODE((live / "privkey.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(live.parent.stat().st_mode) == 0o700
    assert (host.authority.asked, host.count) == ([], 0)


def test_names_are_asked_for_once_they_can_be_had(host: Host) -> None:
    host.declare(blog=site("a.example.org", "soon.example.org", "*.example.org"))
    found = host.apply()["sites"]["blog"]
    assert found["names"] == ["a.example.org"]
    assert found["missing"] == {
        "soon.example.org": "has no address in the DNS yet",
        "*.example.org": "a wildcard needs the challenge dns-01, or a certificate of your own",
    }
    assert host.count == 1
    # nothing to do, nobody asked
    assert host.apply()["changed"] == host.plan() == []
    assert (len(host.authority.asked), host.count) == (1, 1)
    host.dns = lambda name: ["192.0.2.1"]
    assert host.plan() == ["blog"]
    assert host.apply()["sites"]["blog"]["names"] == ["a.example.org", "soon.example.org"]
    # one is taken out
    host.declare(blog=site("soon.example.org"))
    assert host.apply()["sites"]["blog"]["names"] == ["soon.example.org"]
    assert host.count == 3


def test_a_wildcard_by_the_dns(host: Host) -> None:
    host.declare(blog=site("soon.example.org", "*.example.org", challenge="dns-01"))
    assert host.apply()["sites"]["blog"]["names"] == ["soon.example.org", "*.example.org"]


def test_a_wildcard_that_is_not_believed(host: Host) -> None:
    wild = {"blog": site("soon.example.org", "*.soon.example.org", challenge="dns-01")}
    host.declare(**wild)
    host.authority.believes = lambda name: False
    found = host.apply()["sites"]["blog"]
    assert (found["error"], found["self_signed"]) == ("", True)
    assert found["missing"] == {"soon.example.org": "no (dns)", "*.soon.example.org": "no (dns)"}
    asked = len(host.authority.asked)
    found = host.apply()["sites"]["blog"]["missing"]["*.soon.example.org"]
    assert "asked for again in 15 min, or when certificates_dns_... change" in found
    assert len(host.authority.asked) == asked
    # another server, or another way of proving it, may be the cure
    Path(host.paths.dns).write_text("dns_rfc2136_server = 192.0.2.54\n")
    assert host.plan() == ["blog"]
    host.apply()
    assert host.plan() == []
    host.authority.believes = lambda name: True
    host.declare({"dns_propagation_seconds": 120}, **wild)
    assert host.plan() == ["blog"]
    assert host.apply()["sites"]["blog"]["names"] == ["soon.example.org", "*.soon.example.org"]


@pytest.mark.parametrize(
    ("settings", "challenge", "words"),
    [
        ({}, "http-01", "--webroot --webroot-path {root}/var/lib/homeport-acme --preferred-challenges http"),
        (
            {}, "dns-01",
            "--authenticator dns-rfc2136 --dns-rfc2136-credentials {root}/etc/homeport/dns.ini "
            "--dns-rfc2136-propagation-seconds 60",
        ),
        (
            {"dns_server": "", "dns_auth_hook": "set"}, "dns-01",
            "--manual --preferred-challenges dns --manual-auth-hook set",
        ),
        (
            {"dns_server": "", "dns_auth_hook": "set", "dns_cleanup_hook": "unset"}, "dns-01",
            "--manual --preferred-challenges dns --manual-auth-hook set --manual-cleanup-hook unset",
        ),
    ],
)  # fmt: skip
def test_how_the_authority_is_shown_whose_name_it_is(
    host: Host, settings: dict[str, Any], challenge: str, words: str
) -> None:
    host.declare(settings)
    found = program.Keeper(host.paths).certbot.challenge(challenge)
    assert " ".join(found) == words.replace("{root}", str(host.folder))


def test_a_name_that_is_not_believed_costs_the_others_nothing(host: Host) -> None:
    host.declare(blog=site("a.example.org", "bad.example.org"), wiki=site("w.example.org"))
    host.authority.believes = lambda name: not name.startswith("bad")
    found = host.apply()
    assert found["sites"]["blog"]["names"] == ["a.example.org"]
    assert found["sites"]["wiki"]["names"] == ["w.example.org"]
    assert found["sites"]["blog"]["missing"] == {"bad.example.org": "no (dns)"}
    asked = len(host.authority.asked)
    # not at once again, but after a while, or when the address is another; the certificate is not made anew
    serial = host.apply()["sites"]["blog"]
    assert "asked for again in 15 min" in serial["missing"]["bad.example.org"]
    assert len(host.authority.asked) == asked
    assert host.apply(now=time.time() + 1000)["changed"] == []
    assert len(host.authority.asked) == asked + 1
    host.dns = lambda name: ["192.0.2.9"]
    host.authority.believes = lambda name: True
    assert host.apply()["sites"]["blog"]["names"] == ["a.example.org", "bad.example.org"]


def test_a_renewal_that_fails_keeps_what_is_good(host: Host) -> None:
    host.declare(blog=site("a.example.org", "b.example.org"))
    host.apply()
    host.authority.believes = lambda name: not name.startswith("b")
    days = program.SELF_SIGNED_DAYS
    found = host.apply(renew=True, now=time.time() + days * 0.7 * 86400)
    assert found["sites"]["blog"]["names"] == ["a.example.org", "b.example.org"]
    # before it ends, it goes on without the name
    found = host.apply(renew=True, now=time.time() + days * 0.9 * 86400)
    assert found["sites"]["blog"]["names"] == ["a.example.org"]


def test_an_authority_that_is_away(host: Host) -> None:
    host.declare(blog=site("a.example.org"), plain=site("p.example.org", kind="selfsigned"))
    host.authority.says = "Requesting one/dir: Connection refused"
    found = host.apply()
    assert found["sites"]["blog"]["error"] == "https://one/dir: Requesting one/dir: Connection refused"
    assert found["sites"]["blog"]["self_signed"]
    assert found["sites"]["plain"]["names"] == ["p.example.org"]
    assert problems(found) == [f"blog: {found['sites']['blog']['error']}"]
    assert "self-signed" in warnings(found["sites"])[-1]


DNS_REFUSED = """
Requesting a certificate for wild.example.org
Encountered exception during recovery: certbot.errors.PluginError: Encountered error deleting TXT record: {reason}
{problem}{reason}
Ask for help or search for solutions at https://community.letsencrypt.org.
"""


@pytest.mark.parametrize(
    ("problem", "reason", "hint"),
    [
        ("Encountered error adding TXT record: ", "The peer didn't like the signature we sent", "is not its key"),
        ("Encountered error adding TXT record: ", "The peer didn't know the key we used", "key_algorithm"),
        ("Encountered error when making query: ", "The DNS operation timed out.", ""),
        ("Received response from server: ", "REFUSED", "set this record"),
        ("Unable to determine base domain for ", "_acme-challenge.wild using names: [].", "no zone for this name"),
    ],
)  # fmt: skip
def test_what_the_dns_server_says(host: Host, problem: str, reason: str, hint: str) -> None:
    text = DNS_REFUSED.replace("{problem}", problem).replace("{reason}", reason)
    host.declare(
        blog=site("*.example.org", challenge="dns-01"), plain=site("p.example.org", kind="selfsigned")
    )
    host.authority.says = text
    found = host.apply()["sites"]
    assert found["blog"]["error"].startswith(f"the DNS server 192.0.2.53: {problem}{reason}")
    assert found["blog"]["error"].endswith(f"{hint})" if hint else reason)
    assert (found["blog"]["self_signed"], found["plain"]["error"]) == (True, "")


def test_a_dns_server_that_does_not_answer_is_asked_once(host: Host) -> None:
    host.declare(
        blog=site("*.example.org", challenge="dns-01"),
        shop=site("*.example.net", challenge="dns-01"),
        wiki=site("w.example.org"),
    )
    problem = "Encountered error when making query: "
    host.authority.says = DNS_REFUSED.format(problem=problem, reason="The DNS operation timed out.")
    found = host.apply()["sites"]
    assert host.authority.asked == [["*.example.org"], ["w.example.org"]]
    assert found["shop"]["error"] == found["blog"]["error"]
    assert found["shop"]["self_signed"]


def test_another_authority(host: Host) -> None:
    host.declare(blog=site("a.example.org"))
    before = host.apply()["sites"]["blog"]
    host.authority.server = "https://two/dir"
    host.declare(blog=site("a.example.org"))
    assert host.plan() == ["blog"]
    assert host.apply()["changed"] == ["blog"]
    assert host.plan() == []
    assert before["names"] == ["a.example.org"]


def test_an_own_one_and_its_key(host: Host) -> None:
    os.makedirs(host.paths.own)
    host.declare(blog=site("a.example.org", kind="own"))
    for name in ("blog", "other"):
        made = host.folder / name
        made.mkdir()
        program.make_self_signed(["a.example.org"], str(made))
    own = Path(host.paths.own)
    (own / "blog.crt").write_text((host.folder / "blog/fullchain.pem").read_text())
    (own / "blog.key").write_text((host.folder / "other/privkey.pem").read_text())
    assert "private key is not that of the certificate" in host.apply()["sites"]["blog"]["error"]
    (own / "blog.key").write_text((host.folder / "blog/privkey.pem").read_text())
    assert host.apply()["changed"] == ["blog"]
    assert host.apply()["changed"] == []


def test_what_is_not_declared_any_more_goes(host: Host) -> None:
    host.declare(blog=site("a.example.org"), wiki=site("w.example.org"))
    host.apply()
    wiki = os.readlink(f"{host.paths.sites}/wiki/live")
    host.declare(wiki=site("w.example.org"))
    assert host.plan() == ["blog"]
    host.apply()
    assert os.listdir(host.paths.sites) == ["wiki"]
    assert os.listdir(f"{host.paths.acme}/renewal") == ["wiki.conf"]
    assert os.readlink(f"{host.paths.sites}/wiki/live") == wiki


def test_a_reload_that_was_interrupted_is_made_up_for(host: Host) -> None:
    host.declare(blog=site("a.example.org", kind="selfsigned"))
    program.Keeper(host.paths).prepare()
    assert host.plan() == ["blog"]
    assert (host.apply()["changed"], host.count) == (["blog"], 1)
    assert (host.apply()["changed"], host.count) == ([], 1)


def test_a_self_signed_one_is_made_anew_in_time(host: Host) -> None:
    host.declare(blog=site("a.example.org", kind="selfsigned"))
    first = host.apply()["sites"]["blog"]["until"]
    assert host.apply(now=time.time() + 200 * 86400)["changed"] == []
    assert host.apply(now=time.time() + 300 * 86400)["changed"] == ["blog"]
    assert first


@pytest.mark.parametrize("text", ["", "notBefore=x"])
def test_what_is_no_certificate(text: str) -> None:
    assert program.parse_certificate(text) is None


def test_help() -> None:
    assert program.main("") == 2


def test_certbots_own_environment_goes_with_the_pins_of_the_role(host: Host) -> None:
    """After an upgrade of the system, the distribution's certbot is new enough, and the environment has no Python."""
    base = host.folder / "opt/homeport/certbot"
    (base / "venv/bin").mkdir(parents=True)
    for name in ("certbot", "python"):
        (base / "venv/bin" / name).touch()
    (base / "requirements.txt").touch()
    host.declare()
    assert program.Keeper(host.paths).certbot.program == f"{base}/venv/bin/certbot"
    (base / "requirements.txt").unlink()
    keeper = program.Keeper(host.paths)
    keeper.prepare()
    assert keeper.certbot.program == "/usr/bin/certbot"
    assert not base.exists()
