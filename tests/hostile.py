# ruff: noqa: E501  (a table reads best with one case a line)
"""Values as nobody should write them, drawn from the schemas themselves: the same ones for the same seed."""

from __future__ import annotations

import datetime
import functools
import random
from collections.abc import Iterator
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.fields.app import APP
from ansible_collections.homeport.django.plugins.module_utils.app.fields.env import EnvValue
from ansible_collections.homeport.django.plugins.module_utils.app.fields.secrets import SECRETS
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Choice,
    Field,
    Int,
    List,
    Map,
    Object,
    Problems,
    Scalar,
    Str,
)

# In every text, so that a message which quotes a value is found out.
MARK = "c4n4ry"

# What a text may be made of. Each of these means something to a shell, a parser, a path or a terminal.
NASTY = [
    "'", '"', "`", "$", "$HOME", "$(id)", "${IFS}", "\\", "\\n", "%", "%s", "%(here)s", "%%", "%h", "{{ 7*7 }}", "{% raw %}",
    "{}", "{x", "}", "{HOME}", "{release}", "#", " # ", ";", " ; ", "&", "|", "<", ">", "*", "?", "[", "]", "(", ")", "!", "~", "^",
    "=", ":", ",", "@", "/", "//", "..", "../", "./", "-", "--", "--upload-pack=x", " ", "  ", "\t", "\n", "\r", "\r\n", "\n\n", "\0",
    "\x01", "\x1b[31m", "\x7f", "\x85", "\xa0", "\xad", "\u2028", "\u202e", "\ufeff", "é", "e\u0301", "ß", "ｆｕｌｌ", "日本語", "\U0001f600", "\ud800",
    "%00", "%0a", "%2e%2e", "%ff", "&amp;", "<script>", "';DROP TABLE x;--", "0", "007", "1e3", "True", "None", "null", "yes", "~root",
]  # fmt: skip
LONG = [300, 5000, 40_000, 200_000]

# What YAML may make of a field.
WRONG: list[Any] = [
    None, True, False, 0, -1, 1, 65536, 10**30, 1.5, 1e400, float("nan"), "", " ", [], [[]], [None], [{}], [[[]]], {}, {"": ""}, {1: 2}, {None: None},
    {"a": {"b": {}}}, {"x y\n": MARK}, [MARK, 1], [True], {"url": []}, {"command": {}}, {"kind": []}, {"engine": {}}, {"name": []}, b"bytes", ("a",),
    datetime.date(2026, 1, 1),
]  # fmt: skip

# What some field takes, and others do not: each is given to every field whose pattern lets it through.
ODD = [
    "a", "a-b", "a_b", "A.b", "x1", "main", "release/1.x", "v1.0+b-c", "../up", "a b/c d", "a'b\"c", "$x/%y", "-x", "a/../b", "a/./b", "a/",
    ".", "./", "..", ".hidden", "a//b", "a" * 300, "a/" * 200 + "a", "x/{{ 7 * 7 }}/#;&|", "dir/日本", "git@h:a/b.git", "https://h/a%20b.git",
    "https://user@h/x", "ext::sh -c id", "/local/path with spaces", "file:///x", "--upload-pack=id", "3.12", "3.9", "f" * 64, "20m", "0", "999999g",
    "/", "/s/", "/a~b/c.d/", "/%/", "/health/?x=1&y='\"$z", "/é/", "//x/", "/a#b", "/%ff", "/%00", "/%0a", "/{a};/", "/x" * 450, "/x" * 900, "/\x7f",
    "/%C3%A9/(x)[y]*", "/../s/", "/s/../", "mod.sub:app", "mod", "mod:é", "mod.class", "www.example.org", "*.example.org", "localhost", "a.b.c.d", "xn--p1ai",
    "-a.b", "10.0.0.1", "::1", "10.0.0.0/8", "10.0.0.1/8", "fe80::1%eth0", "https://h/p?q='\"$x", "http://é/x", "http://h/\x7f", "redis://h:1/0", "redis://[::1",
    "redis://h:port/0", "postgres://u:p@h:port/x", "postgres://u@h/n?host=/x", "unix:///x.sock", "amqp://[::1]:x/", "://", "http://",
    "manage.py x", "manage.py x --name 'a b' \"c$d\" 50% #5", "manage.py x --name 'a b #' \"c d\" 50%", "sh -c 'a && b'", "a && b", "a;b", "'open",
    "python -m x", "backend/manage.py", "my dir/manage.py", "'my dir/manage.py' --x", "manage.py", "A=b c", "daily", "*-*-* 06:30", "Mon..Fri *-*-* 06:30:00",
    "Mon,Tue 8:00 Europe/Vienna", "never", "*:0/0", "32:00", "04:00", "daily\nOnBootSec=1", "-", "1", "'a'", "{'a': 1,}", "1 +", "(yield)", "await x", "f'{__name__}'", "1 # c",
    "(" * 300 + ")" * 300, "-" * 20_000 + "1", "(1,\n 2)", "'''a\n  b\n'''", "'é'", "\x0c1", "1\\", "(1,\n# coding: latin-1\n'é')", "lambda: 1",
    "location /x { return 200 \"a  b\nc;}\"; }", "}", "server {", "return 200", "# c }\n", "set $x 'a;b';", "add_header X \"a\\\"b\";", "if ($uri ~ \"a{1,2}\") { return 404; }",
    "gettext", "g++", "libc6:i386", "nano-", "a.b", "Django~=5.2", "x[a,b] >=1, <2 ; python_version > '3'", "x @ https://h/x.whl", "x --index-url http://h", "./lib", "-e .",
    "x" * 16, "x" * 50, "pass w%rd'\"", "pä" * 10, "ｆｕｌｌ-width", "soft\xadhyphen-x", "tcp", "TERM", "default", "high.prio:1", "--all", "_", ".example.org",
    "~^www\\d+$", "~^a$ b", "unix:/run/x.sock", "127.0.0.1:8000", "[::1]:8000", "h;x", "/srv/x", "/srv/x y", "/srv/../etc", "%(process_num)d", "100%", "a ;b", "a #b",
    "https://s3.example.org", "http://10.0.0.3:8333", "http://h:x", "a/../b",
    "Europe/Vienna", "../../etc/passwd", "en_US.UTF-8", "admin@example.org", "ann", "root ALL=(ALL) ALL\nx",
    "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n",
    "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
    "/mnt/disk/site", "sftp:me@vault.example:2222:/b/site", "s3:https://h:9000/bucket/site", "vault.example ssh-ed25519 AAAA", "2026-01-31T14:30:05Z",
]  # fmt: skip

KEYS = [
    "a", "A", "key", "PATH", "HOME", "release", "IFS", "OPTIND", "PWD", "_", "command", "status", "main", "HOMEPORT_APP", "LISTEN_FDS", "DEBUG", "SECRET_KEY",
    "STATIC_ROOT", "PYTHONPATH", "class", "bind", "os", "workers", "proc_name", "web", "queue", "a b", "a/b.txt", "../x", "/etc/passwd", "a/b", "é/ü.txt", "-x", ".",
    "x/", "conf d/it's $x.ini", "WITH_É", "1A", "", "x" * 300, "DATABASES", "a\nb", "__class__", "log_line_prefix", "vm_memory.x", "environment", "a.b", "daily", "DJANGO_SETTINGS_MODULE",
]  # fmt: skip


def text(rng: random.Random) -> str:
    parts = [MARK, *(rng.choice(NASTY) for _ in range(rng.randint(1, 5)))]
    rng.shuffle(parts)
    if rng.random() < 0.03:
        parts.append(rng.choice("xé ") * rng.choice(LONG))
    return "".join(parts)


def takes(field: Field, value: Any) -> bool:
    problems = Problems()
    field.check(value, "", problems)
    return not problems


@functools.cache
def words(field: Field) -> list[str]:
    """What of ``ODD`` a field takes."""
    return [word for word in ODD if takes(field, word)]


class Author:
    """Writes values for fields; ``carelessness`` is how often one is nothing that its field takes."""

    def __init__(self, seed: int, carelessness: float) -> None:
        self.rng = random.Random(seed)
        self.carelessness = carelessness

    def value(self, field: Field) -> Any:
        rng = self.rng
        if rng.random() < self.carelessness:
            return rng.choice([rng.choice(WRONG), text(rng)])
        if isinstance(field, EnvValue) and rng.random() < 0.2:
            return rng.choice(
                [
                    {"from": "SITE_URL"},
                    {"format": "{RELEASE}" + text(rng)},
                    {"format": text(rng)},
                    {"from": "NOPE"},
                ]
            )
        if isinstance(field, Scalar):
            return rng.choice([text(rng), text(rng), rng.choice(ODD), True, 7, 0.5])
        if isinstance(field, Int):
            return rng.choice(
                [field.low, field.high, rng.randint(field.low, min(field.high, field.low + 500))]
            )
        if isinstance(field, Bool):
            return rng.random() < 0.5
        if isinstance(field, Choice):
            return rng.choice(field.choices)
        if isinstance(field, List):
            return [self.value(field.item) for _ in range(rng.randint(field.least, field.least + 2))]
        if isinstance(field, Map):
            keys = [key for key in KEYS if field.key.fullmatch(key)]
            return {rng.choice(keys): self.value(field.value) for _ in range(rng.randint(0, 4))}
        if isinstance(field, Object):
            if field.short and rng.random() < 0.3:
                return self.value(field.fields[field.short])
            return {
                name: self.value(part)
                for name, part in field.fields.items()
                if part.required or rng.random() < 0.35
            }
        assert isinstance(field, Str), f"{field} is of a kind that nobody here knows"
        fitting = words(field)
        return (
            rng.choice(fitting)
            if fitting and rng.random() < 0.8
            else rng.choice([rng.choice(ODD), text(rng)])
        )

    def definition(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """An app and its secrets: what is required, and some fields more."""
        rng = self.rng
        app: dict[str, Any] = {
            "domains": [f"{name}.example.org"],
            "source": {"git": "https://git.example.org/x.git"},
        }
        for field in rng.sample(list(APP.fields), rng.randint(1, 6)):
            app[field] = self.value(APP.fields[field])
        secrets = {
            field: self.value(SECRETS.fields[field])
            for field in rng.sample(list(SECRETS.fields), rng.choice([0, 0, 1, 2]))
        }
        return app, secrets


def leaves(field: Field, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Field]]:
    """Every field in which a value can stand, with what leads to it: names of fields, 0 for an item, a key."""
    yield path, field
    if isinstance(field, List):
        yield from leaves(field.item, (*path, 0))
    elif isinstance(field, Map):
        key = next(key for key in KEYS if field.key.fullmatch(key) and key not in ("PATH", "HOME"))
        yield from leaves(field.value, (*path, key))
    elif isinstance(field, Object):
        for name, part in field.fields.items():
            yield from leaves(part, (*path, name))


def place(value: Any, path: tuple[Any, ...]) -> Any:
    """``value`` where ``path`` leads to, in dictionaries and lists that hold nothing else."""
    for step in reversed(path):
        value = [value] if step == 0 else {step: value}
    return value


def texts(value: Any) -> Iterator[str]:
    """All texts in a value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)
