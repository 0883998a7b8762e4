# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Values that apps and roles have in common: names of hosts, addresses, sizes, paths, passwords."""

from __future__ import annotations

import ipaddress
import stringprep
import unicodedata
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.calendar_events import HINT, is_calendar
from ansible_collections.homeport.django.plugins.module_utils.common.timestamps import timestamp
from ansible_collections.homeport.django.plugins.module_utils.validation.nginx_directives import misshapen
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Str,
)

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
HOST_NAME = rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*"
HOST_NAME_HINT = "must be a host name in lower case without scheme, port or path (such as www.example.org)"
# nginx tidies a path up before it compares it; what follows the question mark stays
_TIDY = r"(?![^?]*//)(?![^?]*/\.{1,2}(/|$|\?))"
URL_PATH = rf"{_TIDY}/([A-Za-z0-9._~-]+/)+"
URL_PATH_HINT = (
    "must start and end with a slash, be more than one, and have only letters, digits, and ._~- between"
)
SIZE = r"[0-9]{1,6}[kmg]?"
WEB_ADDRESS = r"https?://[!-~]+"
WEB_ADDRESS_HINT = "must be an http or https address, without spaces and in ASCII"


class Address(Str):
    """An IP address or a network."""

    def objection(self, value: str) -> str:
        try:
            ipaddress.ip_network("" if "%" in value else value)
        except ValueError as error:
            if "has host bits set" in str(error):
                return "is neither an address nor the first address of a network: leave out what follows the slash"
            return "must be an address or a network, such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32"
        return ""


class Calendar(Str):
    """When, as a calendar expression of systemd."""

    def objection(self, value: str) -> str:
        return "" if is_calendar(value) else HINT


class Timestamp(Str):
    """A point in time in UTC; empty for none."""

    def objection(self, value: str) -> str:
        try:
            timestamp(value or "2026-01-31T14:30:00")
        except ValueError as error:
            return f"is an invalid timestamp: {error}"
        return ""


class DatabasePassword(Str):
    """A password that PostgreSQL and its clients understand alike."""

    def objection(self, value: str) -> str:
        return (
            "has characters of which PostgreSQL's clients make others; use those of ASCII"
            if tidied(value)
            else ""
        )


class Directives(Str):
    """Directives of nginx. What each means nginx itself judges on the host; here they only have to end."""

    def __init__(self, doc: str = "", **options: Any) -> None:
        super().__init__(doc, multiline=True, **options)

    def objection(self, value: str) -> str:
        found = misshapen(value)
        return f"is not complete in itself: {found}" if found else ""


def tidied(password: str) -> bool:
    """Whether PostgreSQL's clients make another text of a password before they use it (SASLprep)."""
    return unicodedata.normalize("NFKC", password) != password or any(
        stringprep.in_table_b1(char) or (char != " " and unicodedata.category(char) == "Zs")
        for char in password
    )
