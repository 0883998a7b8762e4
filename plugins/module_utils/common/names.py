# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Names that users give, and how they are read."""

from __future__ import annotations

import re

APP_NAME = r"[a-z][a-z0-9_-]{0,30}"
APP_NAME_HINT = "start with a lower-case letter, then up to 30 lower-case letters, digits, '_' or '-'"
# Users, groups and databases that exist on a server already: an app of that name would take them over.
# fmt: off
RESERVED_NAMES = frozenset((
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy",
    "www-data", "backup", "list", "irc", "gnats", "nobody", "postgres", "template0", "template1",
    "redis", "memcache", "rabbitmq", "nginx", "sshd", "messagebus", "systemd-network",
    "systemd-resolve", "systemd-timesync", "uuidd", "syslog", "admin", "sudo", "adm", "homeport",
    "supervisor", "supervisord", "all", "tty", "disk", "kmem", "dialout", "fax", "voice", "cdrom", "floppy", "tape",
    "audio", "dip", "operator", "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff", "users", "nogroup",
    "crontab", "ssh", "input", "sgx", "kvm", "render", "netdev", "ssl-cert", "docker", "wheel",
))
# fmt: on

ENV_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
SERVICES = ("cache", "broker")
# Environment variable with the address of the PostgreSQL itself, behind the pooler that DATABASE_URL leads to; for a
# further database it begins with the alias.
DIRECT = "DATABASE_DIRECT_URL"
FURTHER = "_DATABASE_URL"  # end of the environment variables with the addresses of further databases
PROGRAMS = "/etc/supervisor/conf.d/"


def nginx_name(name: str) -> str:
    """A site's name as part of the name of a variable of nginx; no two sites have the same."""
    return re.sub("[^a-z0-9]", lambda found: "__" if found[0] == "_" else f"_{ord(found[0]):x}_", name)
