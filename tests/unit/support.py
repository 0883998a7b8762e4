"""What the tests of the app definitions start from."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.check import check
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve

# A value that no message may ever show.
CANARY = "c4n4ry-Zq7!"
# What begins as a private key does, as far as that can be told without reading it.
KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n"
SECRET = "0123456789abcdef0123456789abcdef"

Definition = dict[str, Any]


def app(**fields: Any) -> Definition:
    """The least that an app may say, and what the test adds."""
    return {"domains": ["blog.example.org"], "source": {"git": "https://git.example.org/blog.git"}, **fields}


def problems(
    app_fields: Any = None, vault: Any = None, setup: str = "typical", name: str = "blog"
) -> list[str]:
    """What is wrong with one app."""
    secrets = {name: vault} if vault is not None else {}
    return check({name: app_fields}, secrets, SECRET, setup)


def resolved(
    vault: Any = None,
    setup: str = "typical",
    host: Definition | None = None,
    name: str = "blog",
    **fields: Any,
) -> Definition:
    """One app with every default filled in."""
    secrets = {name: vault} if vault is not None else {}
    found: Definition = resolve({name: app(**fields)}, secrets, SECRET, setup, host)[name]
    return found
