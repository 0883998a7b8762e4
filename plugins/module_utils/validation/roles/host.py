# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of their hosts."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import (
    FOLDER,
    FOLDER_HINT,
    PACKAGE_NAME,
    IpAddress,
    Network,
    Plain,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Choice,
    Field,
    Int,
    List,
    Object,
    Problems,
    Str,
)

USER = r"[a-z_][a-z0-9_.-]{0,31}"
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
ANY = "any"


class Port(Plain):
    """A port, or a range of ports."""

    kind = "port or range of ports"
    wanted = "must be a port or a range of ports"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, (str, int)) and not isinstance(value, bool)

    def objection(self, value: str) -> str:
        found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", value)
        if found and 1 <= int(found[1]) <= int(found[2] or found[1]) <= 65535:
            return ""
        return "must be a port from 1 to 65535, or a range such as 6000-6010"


class Source(Network):
    """An address or a network, as nftables takes it: without a netmask such as 255.255.255.0."""

    def objection(self, value: str) -> str:
        return super().objection(value) or (
            ""
            if re.fullmatch("[0-9]*", value.partition("/")[2])
            else "must end in the length of its prefix: /24"
        )


class RuleSource(Source):
    """The same, or everybody."""

    def objection(self, value: str) -> str:
        return "" if value == ANY else super().objection(value)


class TimeServer(Str):
    """The name or the address of a time server."""

    def objection(self, value: str) -> str:
        label = "[A-Za-z0-9-]{1,63}"
        if re.fullmatch(rf"(?!-){label}(\.{label})*", value) or (value and not IpAddress().objection(value)):
            return ""
        return "must be the name or the address of a time server"


def _rule_rule(rule: dict[str, Any], path: str, problems: Problems) -> None:
    sources = rule.get("sources", [])
    if ANY in sources and len(sources) > 1:
        problems.add(f"{path}.sources", "has any, which is everybody, beside others; leave these or it out")


FIREWALL_RULE = Object(
    {
        "port": List(Port(), "number, a range such as 6000-6010, or a list of them", least=1, required=True),
        "protocol": Choice(["tcp", "udp"], default="tcp"),
        "sources": List(
            RuleSource(),
            "addresses and networks that get in; everybody where it is left out",
            strict=True,
            least=1,
            default=[ANY],
        ),
        "comment": Str(
            pattern=r"[A-Za-z0-9_ .,:()+-]{0,100}",
            hint="may have letters (a to z), digits, spaces and .,:()+- only, 100 of them",
            default="",
        ),
    },
    rule=_rule_rule,
)

INPUTS: dict[str, Field] = {
    "host_packages": List(
        Str(pattern=rf"{PACKAGE_NAME}(\|{PACKAGE_NAME})*", hint="must be the name of a Debian package")
    ),
    "host_timezone": Str(
        pattern=r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*",
        hint="must be the name of a time zone, such as Europe/Vienna",
    ),
    "host_locale": Str(pattern=r"[A-Za-z0-9_@.-]+", hint="must be the name of a locale, such as en_US.UTF-8"),
    "host_users": List(
        Object(
            {
                "name": Str(
                    pattern=USER, hint="must be lower-case letters, digits, '_', '.' or '-'", required=True
                ),
                "authorized_keys": List(Str(), default=[]),
                "groups": List(Str(pattern=USER, hint="must be the name of a group"), default=[]),
                "shell": Str(pattern=FOLDER, hint=FOLDER_HINT, default="/bin/bash"),
                "sudo": Bool(default=False),
                "state": Choice(["present", "absent"], default="present"),
            },
            others=True,
        )
    ),
    "host_firewall_rules": List(FIREWALL_RULE, strict=True),
    "host_ssh_root_login": Choice(["auto", "no", "prohibit-password", "yes"]),
    "host_fail2ban_ignored": List(Source(), strict=True),
    "host_updates_at": Str(
        pattern=r"([01][0-9]|2[0-3]):[0-5][0-9]", hint="must be a time of day in quotes, such as '04:00'"
    ),
    "host_updates_spread": Int(high=720),
    "host_updates_days": List(Choice(DAYS), strict=True),
    "host_updates_except": List(
        Str(pattern=r"[a-zA-Z0-9.+*^$\[\]()|\\-]+", hint="must be a regular expression of names of packages"),
        strict=True,
    ),
    "host_time_servers": List(TimeServer(), strict=True),
    "host_swap": Int(high=1 << 20, words=("auto",)),
    "host_journal_mb": Int(high=1 << 20),
    "host_log_mb": Int(high=1 << 20),
}
