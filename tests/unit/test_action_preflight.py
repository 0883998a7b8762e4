from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import context
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar
from ansible_collections.homeport.django.plugins.action.preflight import (
    ActionModule,
    unknown_apps,
    unrendered,
)
from ansible_collections.homeport.django.plugins.module_utils.app.check import Parsed, parse
from ansible_collections.homeport.django.plugins.module_utils.app.local_files import local_files
from ansible_collections.homeport.django.plugins.module_utils.wiring.inventory import (
    certificates,
    topology,
)
from ansible_collections.homeport.django.plugins.plugin_utils import origin
from ansible_collections.homeport.django.plugins.plugin_utils.origin import exposed_secrets, place

from tests.unit.releases import write
from tests.unit.rendered import TRUSTED
from tests.unit.support import CANARY, SECRET, app

BOTH = {"app_servers": ["a"], "database_servers": ["b"]}
TWO = {**BOTH, "app_servers": ["a", "c"]}
NO_MEDIA = {"media": "none"}


def parsed(apps: Any, vault: Any = None, setup: str = "site") -> Parsed:
    return parse(apps, vault, SECRET, setup)


@pytest.mark.parametrize(
    ("fields", "vault", "groups", "setup", "found"),
    [
        ({}, {}, BOTH, "typical", 0),
        ({}, {}, {"app_servers": ["a"]}, "typical", 1),
        ({}, {}, {"app_servers": ["a"], "database_servers": []}, "typical", 1),
        ({"database": "postgres"}, {}, {"app_servers": ["a"]}, "site", 1),
        ({"database": {"engine": "postgres"}}, {}, {"app_servers": ["a"]}, "typical", 1),
        ({"database": "sqlite"}, {}, {"app_servers": ["a"]}, "typical", 0),
        ({"database": {"url": "postgres://h/n"}}, {}, {"app_servers": ["a"]}, "typical", 0),
        ({}, {"blog": {"database_url": CANARY}}, {"app_servers": ["a"]}, "typical", 0),
        ({}, {"blog": None}, {"app_servers": ["a"]}, "typical", 1),
        ({}, {}, {"app_servers": ["a"]}, "simple", 0),
        ({}, {}, {}, "simple", 1),
        ({"cache": "redis"}, {}, BOTH, "site", 1),
        ({"cache": "redis", "broker": {"engine": "rabbitmq"}}, {}, BOTH, "site", 2),
        ({"cache": {"url": "redis://h"}}, {"blog": {"broker_url": "amqp://h"}}, BOTH, "site", 0),
        ({"cache": "redis"}, {}, {**BOTH, "cache_servers": ["c"]}, "site", 0),
        ({}, {}, BOTH, "cache", 1),
        ({"processes": {"q": {"kind": "celery"}}}, {}, BOTH, "site", 1),
        ({"processes": {"q": {"kind": "celery"}}}, {}, {**BOTH, "broker_servers": ["b"]}, "site", 0),
        ({"processes": {"q": {"kind": "django_q"}}}, {}, BOTH, "typical", 0),
        ({"cache": "memcached"}, {}, {**BOTH, "cache_servers": ["b"]}, "site", 1),
        ({"cache": "memcached"}, {}, {**BOTH, "cache_servers": ["a"]}, "site", 0),
        ({**NO_MEDIA, "cache": "memcached"}, {}, {**TWO, "cache_servers": ["a"]}, "site", 1),
        ({}, {}, TWO, "typical", 1),
        ({"media": {"url": "/uploads/"}}, {}, TWO, "typical", 1),
        ({"media": {"shared": True}}, {}, TWO, "typical", 0),
        ({"media": {"kind": "none"}}, {}, TWO, "typical", 0),
        (NO_MEDIA, {}, TWO, "typical", 0),
        ({**NO_MEDIA, "database": "sqlite"}, {}, TWO, "typical", 1),
        (NO_MEDIA, {}, TWO, "simple", 1),
        (NO_MEDIA, {"blog": {"database_url": f"postgres://u:{CANARY}@db.example.org/n"}}, TWO, "simple", 0),
        (NO_MEDIA, {"blog": {"database_url": f"postgres://u:{CANARY}@localhost/n"}}, TWO, "typical", 0),
        (NO_MEDIA, {"blog": {"database_url": "sqlite:////srv/blog/shared/data/x.db"}}, TWO, "typical", 1),
        ({**NO_MEDIA, "database": {"url": "sqlite:////srv/blog/shared/data/x.db"}}, {}, TWO, "typical", 1),
        ({**NO_MEDIA, "database": {"url": "postgres://x@127.0.0.1/n"}}, {}, TWO, "typical", 0),
        (
            {**NO_MEDIA, "database": {"url": "postgres://x@/n?host=/var/run/postgresql"}},
            {},
            TWO,
            "typical",
            0,
        ),
        ({**NO_MEDIA, "database": {"url": "postgres://x@/n?host=db.example.org"}}, {}, TWO, "typical", 0),
        ({**NO_MEDIA, "databases": {"stats": {"url": "sqlite:////srv/x.db"}}}, {}, TWO, "typical", 1),
        ({**NO_MEDIA, "databases": {"stats": {}}}, {}, TWO, "typical", 0),
        (
            {**NO_MEDIA, "databases": {"stats": {}}},
            {"blog": {"database_urls": {"stats": f"postgres://u:{CANARY}@[::1]/n"}}},
            TWO,
            "typical",
            0,
        ),
        ({"database": {"url": "postgres://x@localhost/n"}}, {}, BOTH, "typical", 0),
        ({"media": 3}, {}, TWO, "typical", None),
        ({"cache": ["x"], "processes": "x"}, {}, BOTH, "site", None),
        ({}, {}, {"app_servers": []}, "nonsense", 1),
        ({"database": ["x"]}, {}, {"app_servers": ["a"]}, "typical", None),
        ({"database": 3}, {}, {"app_servers": ["a"]}, "typical", None),
        ({}, [CANARY], {"app_servers": ["a"]}, "typical", None),
        ({}, CANARY, {"app_servers": ["a"]}, "typical", None),
    ],
)
def test_topology(
    fields: dict[str, Any], vault: Any, groups: dict[str, Any], setup: str, found: int | None
) -> None:
    problems = topology(parsed({"blog": app(**fields)}, vault, setup), groups, setup)
    assert found is None or len(problems) == found
    assert CANARY not in "".join(problems)


ONE, MAIL = {"app_servers": ["a"]}, "me@example.org"


@pytest.mark.parametrize(
    ("tls", "email", "proof", "groups", "setup", "found"),
    [
        ("acme", MAIL, "", ONE, "typical", ""),
        (None, MAIL, "", ONE, "typical", ""),
        (None, "", "", ONE, "typical", ""),
        ("acme", "", "", ONE, "typical", "set certificates_email"),
        (None, MAIL, "", ONE, "simple", "certificates_email: the simple setup has no nginx and no HTTPS"),
        (None, "", "", ONE, "simple", ""),
        (
            {"certificate": "acme", "challenge": "dns-01"},
            MAIL,
            "",
            ONE,
            "site",
            "dns-01 needs certificates_dns_server",
        ),
        ({"challenge": "dns-01"}, MAIL, "auth_hook", {"app_servers": ["a", "b"]}, "site", ""),
        ({"challenge": "dns-01"}, MAIL, "server", ONE, "typical", ""),
        ({"hsts": 0}, MAIL, "", {"app_servers": ["a", "b"]}, "site", "any one of the 2 app servers"),
        ("none", MAIL, "", {"app_servers": ["a", "b"]}, "site", ""),
        (["x"], MAIL, "", ONE, "typical", None),
        ({"certificate": ["x"]}, MAIL, "", {}, "nonsense", None),
    ],
)
def test_what_an_authority_needs(
    tls: Any, email: str, proof: str, groups: dict[str, Any], setup: str, found: str | None
) -> None:
    settings = {"certificates_email": email, "certificates_dns_server": "", "certificates_dns_auth_hook": ""}
    if proof:
        settings[f"certificates_dns_{proof}"] = "x"
    apps = {"blog": app(**({} if tls is None else {"tls": tls}))}
    problems = certificates(parsed(apps, setup=setup), settings, groups, setup)
    if found is not None:
        assert len(problems) == bool(found)
        assert found in "".join(problems)


def make_certificate(folder: Path, name: str, *domains: str) -> str:
    """Writes a certificate for some domains; returns its key."""
    names = ",".join(f"DNS:{domain}" for domain in domains)
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "30", "-subj", "/CN=x", "-addext", f"subjectAltName={names}"]
    subprocess.run(
        [*command, "-keyout", folder / "key", "-out", folder / name], check=True, capture_output=True
    )
    return (folder / "key").read_text()


def test_own_certificates(tmp_path: Path) -> None:
    key = make_certificate(tmp_path, "blog.pem", "blog.example.org", "*.x.example.org")
    other = make_certificate(tmp_path, "other.pem", "other.example.org")
    (tmp_path / "wrong.pem").write_text(CANARY)

    def problems(chain: Any, key: Any, *domains: str) -> list[str]:
        tls = {"certificate": "own", "chain": chain}
        apps = {"blog": app(domains=["blog.example.org", *domains], tls=tls)}
        return local_files(parsed(apps, {"blog": {"tls_key": key}}), str(tmp_path))

    assert problems("blog.pem", key, "a.x.example.org", "*.x.example.org") == []
    chain, secret = "django_apps.blog.tls.chain", "vault_django_apps.blog.tls_key"
    assert problems("blog.pem", key, "b.a.x.example.org") == [
        f"{chain}: the certificate is not for b.a.x.example.org"
    ]
    assert problems("blog.pem", other) == [f"{secret}: is not the private key of the certificate in {chain}"]
    assert problems("blog.pem", CANARY) == [f"{secret}: is not a private key in PEM, without a passphrase"]
    assert problems("wrong.pem", key) == [f"{chain}: is not a certificate in PEM"]
    assert problems("none.pem", key) == [f"{chain}: there is no file none.pem (relative to {tmp_path})"]
    assert problems(3, key) == []


def test_the_authority_of_a_database(tmp_path: Path) -> None:
    make_certificate(tmp_path, "ca.pem", "authority.example")
    (tmp_path / "wrong.pem").write_text(CANARY)

    def problems(ca: str) -> list[str]:
        apps = {"blog": app(database={"ca": ca, "url": "postgres://blog@db.example/blog"})}
        return local_files(parsed(apps), str(tmp_path))

    assert problems("ca.pem") == []
    field = "django_apps.blog.database.ca"
    assert problems("wrong.pem") == [f"{field}: is not a certificate in PEM"]
    assert problems("none.pem") == [f"{field}: there is no file none.pem (relative to {tmp_path})"]


@pytest.mark.parametrize("apps", [None, "x", [], {"blog": None}, {"blog": "x"}, {3: {}}])
def test_topology_leaves_wrong_shapes_to_the_check(apps: Any) -> None:
    topology(parsed(apps, setup="typical"), BOTH, "typical")
    topology(parsed(apps, setup="typical"), {"app_servers": ["a"]}, "typical")


def test_sources_on_the_controller(tmp_path: Path) -> None:
    write(tmp_path / "app/manage.py")
    write(tmp_path / "app.tar.gz")
    write(tmp_path / "t.j2")
    apps = {
        "a": app(source={"path": "app"}, files={"x": {"template": "t.j2"}, "y": "text"}),
        "b": app(source={"archive": "app.tar.gz"}),
        "c": app(source={"archive": "https://example.org/a.zip"}),
        "d": app(),
    }
    assert local_files(parsed(apps), str(tmp_path)) == []
    (tmp_path / "bad.j2").write_text("ok\n{% if x %}\n")
    digest = hashlib.sha256((tmp_path / "app.tar.gz").read_bytes()).hexdigest()
    apps = {
        "a": app(source={"archive": "app.tar.gz", "checksum": digest}),
        "b": app(source={"archive": "app.tar.gz", "checksum": "0" * 64}),
        "c": app(files={"x": {"template": "bad.j2"}}),
        "d": app(maintenance={"page": "bad.j2"}),
    }
    problems = local_files(parsed(apps), str(tmp_path))
    assert [problem.split(": ")[0] for problem in problems] == [
        "django_apps.b.source.checksum",
        "django_apps.c.files.x",
        "django_apps.d.maintenance.page",
    ]
    assert problems[0].endswith(f"it has {digest}")
    assert "bad.j2, line 2: " in problems[1]
    apps = {
        "a": app(source={"path": "ap"}, files={"x": {"template": "u.j2"}}),
        "b": app(source={"archive": "app.zip"}),
        "c": app(source={"path": "app.tar.gz"}),
    }
    assert [problem.split(": ")[0] for problem in local_files(parsed(apps), str(tmp_path))] == [
        "django_apps.a.source.path",
        "django_apps.a.files.x",
        "django_apps.b.source.archive",
        "django_apps.c.source.path",
    ]


def test_a_page_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path / "good.html", "<p>é")
    write(tmp_path / "empty.html", "\n")
    (tmp_path / "latin.html").write_bytes("é".encode("latin-1"))
    apps = {
        "a": app(maintenance="good.html"),
        "b": app(maintenance={"page": str(tmp_path / "good.html")}),
        "c": app(maintenance={"allow": []}),
        "d": app(maintenance="no.html"),
        "e": app(maintenance={"page": "empty.html"}),
        "f": app(maintenance={"page": "latin.html"}),
        "g": app(maintenance={"page": "."}),
        "h": app(maintenance={"page": "good.html/x"}),
        "i": app(maintenance={"page": 3}),
        "j": app(maintenance=[3]),
    }
    found = dict(problem.split(": ", 1) for problem in local_files(parsed(apps), str(tmp_path)))
    assert found == {
        "django_apps.d.maintenance.page": f"there is no file no.html (relative to {tmp_path})",
        "django_apps.e.maintenance.page": "the file empty.html is empty",
        "django_apps.f.maintenance.page": "latin.html is not text in UTF-8",
        "django_apps.g.maintenance.page": ". cannot be read: Is a directory",
        "django_apps.h.maintenance.page": f"there is no file good.html/x (relative to {tmp_path})",
    }


@pytest.mark.parametrize(
    ("chosen", "several", "found"),
    [
        (None, False, []),
        ("blog", False, []),
        ("blgo", False, ["app: there is no blgo in django_apps (did you mean 'blog'?)"]),
        ("all", False, ["app: there is no all in django_apps"]),
        (["blog"], False, ["app: there is no '['blog']' in django_apps (did you mean 'blog'?)"]),
        (None, True, []),
        ("blog", True, []),
        ("all", True, []),
        ("blog, shop", True, []),
        (["blog", "shop"], True, []),
        ("shp", True, ["app: there is no shp in django_apps (did you mean 'shop'?)"]),
        ("blog,x,y", True, ["app: there is no x in django_apps", "app: there is no y in django_apps"]),
        (["all"], True, ["app: there is no all in django_apps"]),
        ([], True, ["app: must be the name of an app, several with commas between them, or all"]),
        (3, True, ["app: must be the name of an app, several with commas between them, or all"]),
        ("", True, ["app: there is no '' in django_apps"]),
    ],
)  # fmt: skip
def test_apps_that_a_command_names(chosen: Any, several: bool, found: list[str]) -> None:
    assert unknown_apps(chosen, {"blog": app(), "shop": app()}, several) == found
    assert unknown_apps(chosen, None, several) == []


@pytest.mark.parametrize(
    "apps", [None, [], {"a": None}, {"a": {"source": "x", "files": ["x"]}}, {"a": {"source": {"path": 1}}}]
)
def test_sources_of_wrong_shapes(apps: Any) -> None:
    assert local_files(parsed(apps), "/") == []


APPS_YML = """\
---
django_apps:
  blog:
    domains:
      - good.example
      - Bad.example
    databse: postgres
    source:
      git: https://git.example.org/blog.git
    env:
      "A B": x
  shop: nonsense
homeport_secret: short
"""


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, Any]:
    path = write(tmp_path / "apps.yml", APPS_YML)
    found: dict[str, Any] = DataLoader().load_from_file(str(path), **TRUSTED)
    return found


@pytest.mark.skipif(
    vars(origin)["Origin"] is None, reason="this ansible-core does not keep where a value stands"
)
@pytest.mark.parametrize(
    ("problem", "line"),
    [
        ("django_apps.blog.domains[1]: must be", 6),
        ("django_apps.blog.domains[0]: must be", 5),
        ("django_apps.blog.databse: is not a field", 7),
        ("django_apps.blog.source: needs", 9),
        ("django_apps.blog.source.git: x", 9),
        ("django_apps.blog.requirements.files: x", 4),
        ("django_apps.shop: must be a dictionary", 12),
        ("homeport_secret: must be", 13),
    ],
)
def test_the_place_of_a_problem(problem: str, line: int, variables: dict[str, Any], tmp_path: Path) -> None:
    assert place(problem, variables) == f"\n  in {tmp_path}/apps.yml, line {line}"


VAULT_YML = f"""\
---
homeport_secret: {"x" * 40}
vault_django_apps:
  blog: {{secret_key: {"y" * 40}}}
"""


def loaded(path: Path, text: str, password: str = "") -> dict[str, Any]:
    """The variables of a file, which is encrypted where a password is given."""
    loader = DataLoader()
    if password:
        secret = VaultSecret(password.encode())
        loader.set_vault_secrets([("default", secret)])
        text = VaultLib([("default", secret)]).encrypt(text, secret).decode()
    found: dict[str, Any] = loader.load_from_file(str(write(path, text)), **TRUSTED)
    return found


@pytest.mark.skipif(
    vars(origin)["Origin"] is None, reason="this ansible-core does not keep where a value stands"
)
def test_secrets_that_git_would_take_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "vault.yml"
    plain = loaded(path, VAULT_YML)
    assert exposed_secrets(plain) == []  # no repository
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert exposed_secrets(plain) == [str(path)]
    assert exposed_secrets({**plain, "homeport_secret": "x"}) == [str(path)]
    write(tmp_path / ".gitignore", "vault.yml\n")
    assert exposed_secrets(plain) == []
    (tmp_path / ".gitignore").unlink()
    assert exposed_secrets(loaded(path, VAULT_YML, "pw")) == []
    assert exposed_secrets(loaded(path, 'homeport_secret: "{{ x }}"\nvault_django_apps: {}\n')) == []


@pytest.mark.parametrize(
    "problem", ["vault_django_apps.blog: x", "inventory: x", "", "no colon", "[[..]]: x", "a[99]: x"]
)
def test_a_place_that_is_not_known(problem: str, variables: dict[str, Any]) -> None:
    assert place(problem, variables) == ""


@pytest.mark.parametrize(
    ("hosts", "needs", "problems", "warned"),
    [
        (["web"], ["app_servers"], [], ["worker_servers (work)"]),
        (["work"], ["app_servers"], ["app_servers (web)"], []),
        (["web", "work"], ["app_servers"], [], []),
        (["web"], ["app_servers", "worker_servers"], ["worker_servers (work)"], []),
        # it concerns the first host alone
        (["web"], ["app_servers[0]"], [], []),
        (["web"], [], [], ["worker_servers (work)", "database_servers (db)"]),
    ],
)
def test_what_a_limit_leaves_undone_is_told(
    monkeypatch: pytest.MonkeyPatch,
    hosts: list[str],
    needs: list[str],
    problems: list[str],
    warned: list[str],
) -> None:
    told: list[str] = []
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict({"subset": ",".join(hosts)}))
    action = SimpleNamespace(
        _task=SimpleNamespace(args={"needs": needs}), _display=SimpleNamespace(warning=told.append)
    )
    groups = {"app_servers": ["web"], "worker_servers": ["work"], "database_servers": ["db"]}
    found = ActionModule._limited(action, {"groups": groups, "ansible_play_hosts_all": hosts})  # type: ignore[arg-type]
    assert [text.partition("leaves out ")[2].partition(",")[0] for text in found] == problems
    assert [text.partition("leaves out ")[2].partition(":")[0] for text in told] == warned


def test_each_template_that_cannot_be_rendered_is_named(tmp_path: Path) -> None:
    text = """
    blog: {domains: ["{{ there }}"], env: {A: "{{ nope }}", B: "{{ there.no_field }}", C: 3}}
    wiki: {env: {A: "{{ there | no_filter }}"}}
    """
    file = write(tmp_path / "apps.yml", text)
    loader = DataLoader()
    apps = loader.load_from_file(str(file), **TRUSTED)
    found = unrendered(apps, "django_apps", Templar(loader, variables={"there": "blog.example"}))
    assert [line.partition(":")[0] for line in found] == [
        "django_apps.blog.env.A", "django_apps.blog.env.B", "django_apps.wiki.env.A",
    ]  # fmt: skip
    assert "'nope' is undefined" in found[0]
    assert "no_filter" in found[2]
