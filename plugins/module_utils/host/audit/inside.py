# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What there is on a host that an audit judges, read from the host itself. Nothing here changes anything.

No value that may be secret is part of it: only modes and owners of files, and names of checks and roles.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.audit.bucket import bucket
from ansible_collections.homeport.django.plugins.module_utils.host.audit.deploy_check import deploy_check
from ansible_collections.homeport.django.plugins.module_utils.host.audit.files import (
    app_files,
    host_files,
)
from ansible_collections.homeport.django.plugins.module_utils.host.audit.firewall import firewall
from ansible_collections.homeport.django.plugins.module_utils.host.audit.logins import accounts, sshd
from ansible_collections.homeport.django.plugins.module_utils.host.audit.network import (
    client,
    sockets,
    stores,
)
from ansible_collections.homeport.django.plugins.module_utils.host.audit.services import (
    inet_interfaces,
    postgres,
)
from ansible_collections.homeport.django.plugins.module_utils.host.audit.upkeep import (
    clock,
    failed_units,
    kernel,
    stale,
    updates,
)
from ansible_collections.homeport.django.plugins.module_utils.host.status import backups as status_backups
from ansible_collections.homeport.django.plugins.module_utils.host.status.certificates import certificate
from ansible_collections.homeport.django.plugins.module_utils.host.status.host import host
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import Places, Run, read

UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def collect(specs: list[dict[str, Any]], run: Run, places: Places | None = None) -> dict[str, Any]:
    """Everything, each part with what was ``found`` or with the ``error`` that kept it from being looked at."""
    places = places or Places()
    parts: dict[str, Callable[[], Any]] = {
        "host": lambda: host(places),
        "sockets": lambda: sockets(places.proc),
        "stores": lambda: stores(sockets(places.proc)),
        "unprivileged_port": lambda: int(read(UNPRIVILEGED)),
        "firewall": lambda: firewall(run),
        "client": client,
        "sshd": lambda: sshd(run, accounts(read("/etc/passwd"), read("/etc/shadow"))),
        "accounts": lambda: accounts(read("/etc/passwd"), read("/etc/shadow")),
        "files": host_files,
        "updates": lambda: updates(run),
        "kernel": kernel,
        "stale": lambda: stale(places.proc),
        "failed": lambda: failed_units(run),
        "clock": lambda: clock(run),
        "supervisord": inet_interfaces,
        "postgres": postgres,
        # nothing where this host keeps none
        "backups": lambda: status_backups.backups(run, [spec["name"] for spec in specs]),
        "archive": lambda: status_backups.archive(run),
    }
    own: dict[str, Callable[[dict[str, Any]], Any]] = {
        "files": app_files,
        "certificate": lambda spec: certificate(spec, run, places),
        "deploy": deploy_check,
        "bucket": bucket,
    }
    # each of the apps' own checks is a whole Django: two at a time, whatever else is looked at meanwhile
    with ThreadPoolExecutor(max_workers=2) as slow, ThreadPoolExecutor(max_workers=8) as pool:
        later = {
            spec["name"]: {
                name: (slow if part is deploy_check else pool).submit(looked, part, spec)
                for name, part in own.items()
            }
            for spec in specs
        }
        found = {name: pool.submit(looked, part) for name, part in parts.items()}
        return {
            "time": int(time.time()),
            **{name: part.result() for name, part in found.items()},
            "apps": {
                app: {name: part.result() for name, part in mine.items()} for app, mine in later.items()
            },
        }


def looked(part: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """What a part has found; one that cannot be read does not stop the others."""
    try:
        return {"found": part(*arguments), "error": ""}
    except subprocess.TimeoutExpired as error:
        return {"found": None, "error": f"no answer within {error.timeout:.0f} s"}
    except (OSError, ValueError, KeyError, IndexError, subprocess.SubprocessError) as error:
        # the message of an OSError names a file; others may quote what they have read
        text = str(error) if isinstance(error, OSError) else type(error).__name__
        return {"found": None, "error": text}
