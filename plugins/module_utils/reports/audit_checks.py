# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The checks of an audit: each is one function, and one line of a table.

A function gets what was seen of a host, and returns a note with its problems, or nothing where nothing is to be judged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ansible_collections.homeport.django.plugins.module_utils.reports import (
    audit_network,
    audit_services,
    audit_sites,
    audit_system,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_seen import Checked, Seen


class Check(NamedTuple):
    name: str
    judge: Callable[[Seen], Checked]
    needs: tuple[str, ...] = ()  # the parts of what the host has reported that it looks at


HOST_CHECKS = (
    Check("ports", audit_network.ports, ("sockets", "firewall", "sshd")),
    Check("firewall", audit_network.firewall, ("firewall",)),
    Check("from outside", audit_network.from_outside),
    Check("unknown names", audit_network.unknown_names),
    Check("sshd", audit_system.sshd, ("sshd", "accounts")),
    Check("accounts", audit_system.accounts, ("accounts",)),
    Check("secrets", audit_system.files, ("files",)),
    Check("updates", audit_system.updates, ("updates",)),
    Check("restarts", audit_system.restarts, ("kernel", "stale", "clock")),
    Check("units", audit_system.units, ("failed",)),
    Check("clock", audit_system.clock, ("clock",)),
    Check("space", audit_system.space, ("host",)),
    Check("postgresql", audit_services.postgres, ("postgres",)),
    Check("stores", audit_services.stores, ("stores",)),
    Check("service ports", audit_services.service_ports, ("sockets", "unprivileged_port")),
    Check("supervisord", audit_services.supervisord, ("supervisord",)),
    Check("backups", audit_services.backups, ("backups", "archive")),
)
APP_CHECKS = (
    Check("secrets", audit_system.files, ("files",)),
    Check("check --deploy", audit_sites.deploy, ("deploy",)),
    Check("backup", audit_sites.backup, ("backups",)),
    Check("bucket", audit_sites.bucket, ("bucket",)),
)
SITE_CHECKS = (
    Check("certificate", audit_sites.certificate),
    Check("tls", audit_sites.tls),
    Check("https", audit_sites.https),
    Check("headers", audit_sites.headers),
    Check("hidden files", audit_sites.hidden),
)
