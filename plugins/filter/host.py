# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the role P(homeport.django.host#role) and the playbooks need to know of hosts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.homeport.django.plugins.filter.apps import SERVED
from ansible_collections.homeport.django.plugins.module_utils.common.authority import AUTHORITY, FOLDER
from ansible_collections.homeport.django.plugins.module_utils.common.restarts import messages
from ansible_collections.homeport.django.plugins.module_utils.wiring.exposure import exposure, firewall_rules
from ansible_collections.homeport.django.plugins.module_utils.wiring.host import swap_size


def restarts(groups: Any, hostvars: Any) -> list[str]:
    """What a run has to tell of the restarts that it makes, has made or leaves."""
    hosts = dict.fromkeys(host for group in SERVED for host in groups.get(group, []))
    return messages({host: hostvars[host] for host in hosts})


def site_tls(
    secrets: Any, address: Any, found: Any = "", certificate: Any = "", key: Any = ""
) -> dict[str, str]:
    """Whom the hosts of a site trust, and the certificate and key of one that serves others."""
    # only sites of several hosts need it, and it takes a while to import
    try:
        from ansible_collections.homeport.django.plugins.module_utils.wiring.authority import tls

        own = str(certificate), str(key)
        return tls([str(secret) for secret in secrets], str(address), str(found), *own)
    except (ImportError, AttributeError) as error:
        raise AnsibleFilterError(
            f"Certificates between hosts need the Python library cryptography 42 or newer beside Ansible: {error}"
        ) from error


def authority_links(certificates: Any) -> list[dict[str, str]]:
    """The names by which OpenSSL looks for authorities in a folder: hashes of their subjects."""
    # only sites of several hosts need it, and it takes a while to import
    from ansible_collections.homeport.django.plugins.module_utils.app.own_certificates import by_subject

    link = {"state": "link", "target": os.path.basename(AUTHORITY), "on_change": "none"}
    return [{"path": f"{FOLDER}/{name}", **link} for name in sorted(by_subject(str(certificates).encode()))]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "exposure": exposure,
            "firewall_rules": firewall_rules,
            "swap_size": swap_size,
            "restarts": restarts,
            "site_tls": site_tls,
            "authority_links": authority_links,
        }
