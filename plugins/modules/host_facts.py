#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The few facts about a host that the roles decide by."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_facts
short_description: Find out what a host is and what is installed on it
description:
  - Returns the fact C(homeport). It costs a quarter of M(ansible.builtin.setup), and is what the roles
    decide by; versions are discovered, never guessed from the name of the distribution.
options:
  run:
    description: What tells this run of ansible-playbook from others. Set by the action plugin.
    type: str
    default: ""
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Find out about the host
  homeport.django.host_facts:
"""

RETURN = r"""
ansible_facts:
  description: The fact C(homeport).
  returned: always
  type: dict
  contains:
    homeport:
      description: C(distribution), C(version), C(architecture), C(systemd), C(ipv6), C(setup)
        (the setup playbook that was run, or an empty string),
        C(set_up_by) (the version of Homeport that it was of, or an empty string), C(collection) (C(version) of this
        Homeport, and C(newer), that of the host where it is newer), C(site) (C(own), the commit of this clone of the
        site, C(recorded), the one that the host was given last, and whether this clone C(lacks) that one,
        C(overwrites) what another operator has not committed, or C(differs)), C(set_up_cores) (the cores that it had
        then, or 0),
        C(sets) (the sets of M(homeport.django.service_config) that were put on the host),
        C(login) (the user who logged in, before becoming root), C(ssh_ports) (where sshd listens),
        C(pending_changes) (settings of the firewall or of sshd that the host reverts unless a new login confirms
        them),
        C(container) (whether the kernel, with its clock and its swap, is somebody else's),
        C(time_daemon) (the systemd unit that keeps the clock right, or an empty string),
        C(swap) (C(own_mb) of Homeport's swap file, C(other_mb) of other swap, and the C(filesystem) of /var/lib),
        C(certificates) (what the role P(homeport.django.certificates#role) was given for each site that has one),
        C(tls) (certificates of the site's authority, and of its servers that run here, in PEM),
        C(logins) (how the live release of each app logs in to its services), C(databases) (C(host) and C(name) of the
        PostgreSQL database that it uses), C(postgres_move) (the phase of a move of PostgreSQL to this host or from it,
        which has not been finished, or an empty string), C(buckets) (digests of the bucket and keys
        that it uses), C(domains) (by which it is served),
        C(served) (the names of each site of nginx),
        C(others) (what the host has that is not Homeport's, of users, folders in /srv, and before the services are set
        up who listens where, changed files of nginx, databases and rules of PostgreSQL),
        C(revisions) (of each app's code that is live), C(sources) (where that was fetched from), C(backup) and
        C(archive) (where they are; all with fingerprints in the place of passwords),
        C(given) (digests of what the components of the host were given last, of those that nothing has been touched of
        since), C(parts) (digests of what components were given for which app, by component, app and field),
        C(undeclared) (what there is of apps and their services, declared or not),
        C(packages) (all that are installed, and what they provide), C(run) (the run of ansible-playbook that has found
        this out), C(cores), C(memory_mb), C(free_mb) (of /srv or its parent),
        C(nginx), C(postgres), C(redis) and C(valkey) (each the version that is installed, or an empty string),
        C(nginx_brotli) (whether nginx can serve brotli files), C(postgres_cluster) (PostgreSQL's cluster;
        of several, the one that the apps use),
        C(postgres_unserved) (the cluster on the apps' port whose server is not installed),
        C(postgres_connections) (max_connections as the cluster was started with, or 0) and
        C(postgres_extensions) (names of the extensions that it could create).
      type: dict
"""

import contextlib
import glob
import json
import os
import pwd
import re
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import parse_database_url
from ansible_collections.homeport.django.plugins.module_utils.common.authority import CERTIFICATES
from ansible_collections.homeport.django.plugins.module_utils.common.derive import fingerprint
from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exports
from ansible_collections.homeport.django.plugins.module_utils.common.paths import MOVE
from ansible_collections.homeport.django.plugins.module_utils.common.rotation import (
    bucket_digest,
    used_logins,
)
from ansible_collections.homeport.django.plugins.module_utils.host.given import (
    LOOKS,
    PACKAGES,
    answer,
    given_parts,
    installed,
    read,
    recorded_sets,
    untouched,
)
from ansible_collections.homeport.django.plugins.module_utils.host.given_cluster import cluster_state
from ansible_collections.homeport.django.plugins.module_utils.host.module import HostModule
from ansible_collections.homeport.django.plugins.module_utils.host.others import others
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import (
    max_connections,
    unserved,
    used_cluster,
)
from ansible_collections.homeport.django.plugins.module_utils.host.site_record import recorded_site
from ansible_collections.homeport.django.plugins.module_utils.host.sites import names_served
from ansible_collections.homeport.django.plugins.module_utils.host.size import memory_mb
from ansible_collections.homeport.django.plugins.module_utils.host.sshd_ports import SOCKET, sshd_ports
from ansible_collections.homeport.django.plugins.module_utils.host.undeclared import found_here

SWAP_FILE = "/var/lib/homeport/swapfile"
TIME_DAEMONS = ("chrony.service", "ntpsec.service", "openntpd.service", "systemd-timesyncd.service")


def os_release() -> dict[str, str]:
    # Debian's testing release has no number yet: it is newer than those that have one.
    found = {"VERSION_ID": "99"}
    with open("/etc/os-release", encoding="utf-8") as stream:
        for line in stream:
            key, _sign, value = line.strip().partition("=")
            found[key] = value.strip("\"'")
    return found


def recorded(name: str) -> str:
    """What the role host has written down, or nothing."""
    try:
        with open(f"/var/lib/homeport/{name}", encoding="utf-8") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def certificate_sites() -> dict[str, Any]:
    """The sites that the role certificates has put on the host, with the domains of each."""
    try:
        with open("/etc/homeport/certificates.json", encoding="utf-8") as stream:
            return dict(json.load(stream)["sites"])
    except (OSError, ValueError, KeyError):
        return {}


def tls_certificates() -> str:
    """What the host has of the site's authority, in PEM."""
    found = []
    for path in sorted({path for pattern in CERTIFICATES for path in glob.glob(pattern)}):
        with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="ascii") as stream:
            found.append(stream.read())
    return "".join(found)


def login_user() -> str:
    """Who logged in, before becoming root."""
    named = os.environ.get("SUDO_USER") or os.environ.get("DOAS_USER")
    if named:
        return named
    try:  # su says nothing, but the session knows
        with open("/proc/self/loginuid", encoding="utf-8") as stream:
            return pwd.getpwuid(int(stream.read())).pw_name
    except (OSError, ValueError, KeyError, OverflowError):
        return pwd.getpwuid(os.getuid()).pw_name


def ssh_ports(module: AnsibleModule) -> list[int]:
    if not os.path.exists("/usr/sbin/sshd"):
        return []
    _code, settings, _err = module.run_command(["/usr/sbin/sshd", "-T"])
    _code, socket, _err = module.run_command(SOCKET)
    return sshd_ports(settings, socket)


def pending_changes() -> list[str]:
    found = glob.glob("/var/lib/homeport/trials/*/pending")
    return sorted(os.path.basename(os.path.dirname(path)) for path in found)


def is_container(module: AnsibleModule) -> bool:
    code, _out, _err = module.run_command(["systemd-detect-virt", "--quiet", "--container"])
    return bool(code == 0)


def time_daemon() -> str:
    """Distributions let only one of them be installed at a time."""
    return next((unit for unit in TIME_DAEMONS if os.path.exists(f"/usr/lib/systemd/system/{unit}")), "")


def filesystem_of(path: str) -> str:
    """Kind of the file system that a path is on."""
    with open("/proc/mounts", encoding="utf-8") as stream:
        mounts = [line.split()[1:3] for line in stream]
    fitting = [(len(where), kind) for where, kind in mounts if f"{path}/".startswith(f"{where.rstrip('/')}/")]
    return max(fitting, key=lambda found: found[0])[1] if fitting else ""


def swap() -> dict[str, Any]:
    with open("/proc/swaps", encoding="utf-8") as stream:
        rows = [line.split() for line in stream][1:]
    size = {row[0]: int(row[2]) >> 10 for row in rows}
    # whole MiB: the kernel leaves out the first page
    own = os.path.getsize(SWAP_FILE) >> 20 if os.path.exists(SWAP_FILE) else 0
    other = sum(found for path, found in size.items() if path != SWAP_FILE)
    return {"own_mb": own, "other_mb": other, "filesystem": filesystem_of("/var/lib")}


def live_logins(homes: str = "/srv") -> dict[str, dict[str, Any]]:
    """How the live releases log in to their services, by app."""
    found = {}
    for path in sorted(glob.glob(f"{homes}/*/current/config/env")):
        logins = used_logins(exports(path))
        if logins:
            found[path[len(homes) :].split("/")[1]] = logins
    return found


def live_databases(homes: str = "/srv") -> dict[str, dict[str, str]]:
    """Where the live releases have their PostgreSQL databases, by app."""
    found = {}
    for path in sorted(glob.glob(f"{homes}/*/current/config/env")):
        with contextlib.suppress(ValueError):
            known = parse_database_url(exports(path).get("DATABASE_URL", ""))
            if known["engine"] == "postgres":
                found[path[len(homes) :].split("/")[1]] = {"host": known["host"], "name": known["name"]}
    return found


def live_buckets(homes: str = "/srv") -> dict[str, str]:
    """Digests of the buckets that the live releases use, by app."""
    found = {
        path[len(homes) :].split("/")[1]: bucket_digest(exports(path))
        for path in sorted(glob.glob(f"{homes}/*/current/config/env"))
    }
    return {name: digest for name, digest in found.items() if digest}


def live_domains(homes: str = "/srv") -> dict[str, list[str]]:
    """The names that the live releases are served by, by app."""
    found = {}
    for path in sorted(glob.glob(f"{homes}/*/current/config/env")):
        known = exports(path)
        names = {known.get("SITE_URL", "").rpartition("/")[2], *known.get("ALLOWED_HOSTS", "").split(",")}
        found[path[len(homes) :].split("/")[1]] = sorted(names - {""})
    return found


def live_records(key: str, homes: str = "/srv") -> dict[str, str]:
    """A key of the records of the live releases, by app."""
    found = {}
    for path in sorted(glob.glob(f"{homes}/*/current/release.json")):
        with contextlib.suppress(OSError, ValueError, AttributeError), open(path, encoding="utf-8") as stream:
            found[path[len(homes) :].split("/")[1]] = str(json.load(stream).get(key, ""))
    return found


def encrypted(config: str, secret: str, before: str) -> dict[str, str]:
    """Where something encrypted is kept, and the fingerprint of its password: what follows ``before`` on its line."""
    try:
        with open(config, encoding="utf-8") as stream:
            place = json.load(stream).get("repository", "")
        with open(secret, encoding="utf-8") as stream:
            passwords = [line[len(before) :].strip() for line in stream if line.startswith(before)]
    except (OSError, ValueError):
        return {}
    return {"repository": place, "password": fingerprint(passwords[0])} if passwords else {}


def version_of(module: AnsibleModule, program: str, option: str, pattern: str) -> str:
    """What a program says of its version, or an empty string where it is not installed."""
    path = shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if not path:
        return ""
    _code, out, err = module.run_command([path, option])
    found = re.search(pattern, out + err)
    return found[1] if found else ""


def postgres_extensions(version: str, share: str = "/usr/share/postgresql") -> list[str]:
    """The extensions that the server could create."""
    found = glob.glob(f"{share}/{version}/extension/*.control") if version else []
    return sorted(os.path.basename(path).removesuffix(".control") for path in found)


def main() -> None:
    module = HostModule(
        argument_spec={"run": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    release = os_release()
    postgres, cluster = used_cluster()
    facts = {
        "distribution": release.get("ID", ""),
        "version": release.get("VERSION_ID", ""),
        "architecture": os.uname().machine,
        "systemd": os.path.isdir("/run/systemd/system"),
        "setup": recorded("setup"),
        "set_up_by": recorded("version"),
        "site": recorded_site(),
        "set_up_cores": int((re.findall(r"^cores=(\d+)$", recorded("size"), re.MULTILINE) or [0])[0]),
        "sets": recorded_sets(),
        "login": login_user(),
        "ssh_ports": ssh_ports(module),
        "pending_changes": pending_changes(),
        "container": is_container(module),
        "time_daemon": time_daemon(),
        "swap": swap(),
        "certificates": certificate_sites(),
        "logins": live_logins(),
        "databases": live_databases(),
        "postgres_move": read(MOVE).get("phase", ""),
        "buckets": live_buckets(),
        "tls": tls_certificates(),
        "revisions": live_records("revision"),
        "sources": live_records("source"),
        "domains": live_domains(),
        "served": names_served(),
        "others": others(recorded_sets()),
        "backup": encrypted("/etc/homeport/backup/config.json", "/etc/homeport/backup/password", ""),
        "archive": encrypted(
            "/etc/homeport/archive.json", "/etc/pgbackrest/pgbackrest.conf", "repo1-cipher-pass="
        ),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": memory_mb(),
        "free_mb": shutil.disk_usage("/srv" if os.path.isdir("/srv") else "/").free >> 20,
        "ipv6": os.path.exists("/proc/net/if_inet6"),
        "nginx": version_of(module, "nginx", "-v", r"nginx/([\d.]+)"),
        "redis": version_of(module, "redis-server", "--version", r"\bv=([\d.]+)"),
        "valkey": version_of(module, "valkey-server", "--version", r"\bv=([\d.]+)"),
        "nginx_brotli": bool(glob.glob("/etc/nginx/modules-enabled/*brotli-static*")),
        "postgres": postgres,
        "postgres_cluster": cluster,
        "postgres_unserved": unserved(),
        "postgres_connections": max_connections(postgres, cluster),
        "postgres_extensions": postgres_extensions(postgres),
        "given": untouched(looks={**LOOKS, "cluster": cluster_state}),
        "parts": given_parts(),
        "undeclared": found_here(),
        "packages": sorted(installed(answer(PACKAGES))),
        "run": module.params["run"],
    }
    module.exit_json(changed=False, ansible_facts={"homeport": facts})


if __name__ == "__main__":
    main()
