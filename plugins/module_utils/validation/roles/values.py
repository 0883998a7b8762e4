# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Values that several roles take."""

from __future__ import annotations

import ipaddress
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Problems,
    Scalar,
    Str,
    breaks_line,
    controls,
)

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
NAME_HINT = "use letters, digits, '_', '.' and '-', beginning with a letter or a digit"
# What can stand in a configuration without quotes, and is not made into something else there.
FOLDER = r"(?!.*//)(?!.*/\.{1,2}(/|$))(/[\w@+~.-]+)+"
FOLDER_HINT = "must be an absolute path of letters, digits and ._-@+~"
PACKAGE_NAME = r"[a-z0-9][a-z0-9+.-]*[a-z0-9+]"


class Network(Str):
    """An IP address, or a network by any address in it."""

    def objection(self, value: str) -> str:
        try:
            ipaddress.ip_interface("" if "%" in value else value)
        except ValueError:
            return "must be an IP address, or a network such as 10.0.0.0/8"
        return ""


class IpAddress(Str):
    """An IP address; empty is none."""

    def objection(self, value: str) -> str:
        try:
            # an interface (fe80::1%eth0) has no name on the host
            good = not value or ("%" not in value and bool(ipaddress.ip_address(value)))
        except ValueError:
            good = False
        return "" if good else "must be an IP address"


class Pem(Str):
    """Certificates or a private key in PEM; empty is none."""

    def __init__(self, what: str) -> None:
        super().__init__(
            pattern=r"(\s*-----BEGIN ([A-Z ]+)-----\n[A-Za-z0-9+/=\n]+-----END \2-----\s*)*",
            hint=f"must be {what} in PEM",
            multiline=True,
        )


class Plain(Scalar):
    """A value on one line, without what would be lost around it."""

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        before = len(problems)
        found = super().check(value, path, problems)
        if len(problems) == before:
            if breaks_line(found):
                problems.add(path, "must be a single line")
            elif controls(found):
                problems.add(path, "contains a control character")
            elif found != found.strip():
                problems.add(path, "begins or ends with a space, which would be lost")
            elif self.objection(found):
                problems.add(path, self.objection(found))
        return found

    def objection(self, value: str) -> str:
        return ""
