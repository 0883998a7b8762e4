# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What there is on a host that an audit judges, read from the host itself. Nothing here changes anything.

No value that may be secret is part of it: of files it tells mode and owner, of checks and roles the names.
"""

from __future__ import annotations

import contextlib
import glob
import ipaddress
import json
import os
import pwd
import re
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS
from ansible_collections.homeport.django.plugins.module_utils.host.apt_lists import lists_age
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    Runner,
)
from ansible_collections.homeport.django.plugins.module_utils.host.management import in_release
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.sshd_ports import SOCKET, sshd_ports
from ansible_collections.homeport.django.plugins.module_utils.host.status import backups as status_backups
from ansible_collections.homeport.django.plugins.module_utils.host.status.collect import (
    Places,
    Run,
    certificate,
    host,
    read,
)

FIREWALL = "/etc/homeport/firewall.nft"
UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
CHECK_SECONDS = 90  # that an app's own checks may take
ALL_PORTS = (0, 65535)
LISTEN, UNCONNECTED = "0A", "07"  # states in /proc/net
# What caches and brokers are asked, by the accounts that packages make for them.
STORES = {facts.account: facts.probe for facts in FACTS.values() if facts.probe}
Entry = dict[str, str]


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
    """What a part has found; one that cannot be read does not keep the others from being told."""
    try:
        return {"found": part(*arguments), "error": ""}
    except (OSError, ValueError, KeyError, IndexError, subprocess.SubprocessError) as error:
        # the message of an OSError names a file; others may quote what they have read
        text = str(error) if isinstance(error, OSError) else type(error).__name__
        return {"found": None, "error": text}


# The network


def sockets(proc: str = "/proc") -> list[dict[str, Any]]:
    """What listens, and who is behind it: C(protocol), C(address), C(port), C(user), C(program)."""
    found = {}
    for name in ("tcp", "tcp6", "udp", "udp6"):
        protocol, state = name[:3], LISTEN if name.startswith("tcp") else UNCONNECTED
        for line in read_all(f"{proc}/net/{name}").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == state:
                address, port = endpoint(fields[1])
                found[protocol, address, port] = (int(fields[7]), fields[9])
    programs = holders({inode for _uid, inode in found.values()}, proc)
    return [
        {
            "protocol": protocol,
            "address": address,
            "port": port,
            "user": user_name(uid),
            # root in a container does not see what others hold
            "program": programs.get(inode, ""),
        }
        for (protocol, address, port), (uid, inode) in sorted(
            found.items(), key=lambda row: (row[0][2], row[0])
        )
    ]


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def endpoint(text: str) -> tuple[str, int]:
    """Address and port as /proc/net writes them: each word of the address in the machine's own order."""
    raw, _colon, port = text.partition(":")
    words = [raw[start : start + 8] for start in range(0, len(raw), 8)]
    packed = b"".join(struct.pack("=I", int(word, 16)) for word in words)
    address = ipaddress.ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), int(port, 16)


def holders(inodes: set[str], proc: str) -> dict[str, str]:
    """The programs that hold some sockets."""
    found: dict[str, str] = {}
    for pid in sorted((name for name in os.listdir(proc) if name.isdigit()), key=int):
        with contextlib.suppress(OSError):
            for descriptor in os.scandir(f"{proc}/{pid}/fd"):
                with contextlib.suppress(OSError):
                    match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor.path))
                    if match and match[1] in inodes:
                        found.setdefault(match[1], read(f"{proc}/{pid}/comm").strip())
    return found


def client(proc: str = "/proc") -> str:
    """The address of whoever has logged in here, or nothing; sudo leaves it to the processes above it."""
    pid = str(os.getpid())
    while pid not in ("0", ""):
        found = re.search(r"(?:^|\0)SSH_CONNECTION=(\S+)", read(f"{proc}/{pid}/environ"))
        if found:
            return found[1]
        parent = re.search(r"^PPid:\s*(\d+)", read(f"{proc}/{pid}/status"), re.MULTILINE)
        pid = parent[1] if parent else ""
    return ""


def stores(listening: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Caches and brokers that speak TCP, and whether they answer somebody who names no password.

    C(open) is nothing where one does not answer at all.
    """
    found: dict[int, dict[str, Any]] = {}
    for entry in listening:
        greeting = STORES.get(entry["user"])
        known = found.get(entry["port"], {}).get("open")
        # one instance listens on several addresses, and several on one port of different ones: one that is open tells
        if greeting and entry["protocol"] == "tcp" and not known:
            name, is_open = entry["program"] or entry["user"], known
            with contextlib.suppress(OSError):
                is_open = answers(entry["address"], entry["port"], greeting)
            found[entry["port"]] = {"program": name, "port": entry["port"], "open": is_open}
    return list(found.values())


def answers(address: str, port: int, greeting: bytes) -> bool:
    """Whether a store does what it is asked by anybody."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    with socket.create_connection((everywhere.get(address, address), port), timeout=3) as connection:
        connection.sendall(greeting)
        return connection.recv(64).startswith((b"+PONG", b"VERSION"))


def firewall(run: Run) -> dict[str, Any]:
    """Which firewalls drop what comes in and is not allowed, and what Homeport's lets in."""
    status, out = run(["nft", "-j", "list", "ruleset"])
    # where neither program is, nothing has made any tables
    none = status == 127 and not shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin")
    return {
        "declared": os.path.exists(FIREWALL),
        "known": status == 0 or none,
        "dropping": dropping(out) + legacy(run),
        "accepted": accepted(out),
    }


def ruleset(text: str) -> list[dict[str, Any]]:
    """What nft prints as JSON."""
    try:
        items: list[dict[str, Any]] = json.loads(text)["nftables"] if text.strip() else []
    except (ValueError, KeyError):
        return []
    return items


def dropping(text: str) -> list[str]:
    """Families and tables whose chain for what comes in drops by default, from what nft prints as JSON."""
    chains = [item["chain"] for item in ruleset(text) if "chain" in item]
    return [
        f"{chain['family']} {chain['table']}"
        for chain in chains
        if chain.get("hook") == "input" and chain.get("policy") == "drop"
    ]


def legacy(run: Run, proc: str = "/proc") -> list[str]:
    """The same of the older tables that nft does not show. To ask for them would make them where there are none."""
    return [
        f"{family} filter ({program})"
        for family, program in (("ip", "iptables-legacy"), ("ip6", "ip6tables-legacy"))
        if "filter" in read(f"{proc}/net/{family}_tables_names").split()
        and run([program, "-S", "INPUT"])[1].startswith("-P INPUT DROP")
    ]


def accepted(text: str) -> list[dict[str, Any]]:
    """What Homeport's table lets in at this moment: C(protocol), the C(first) and the C(last) port.

    C(some) tells whether that is for some only, be it by address, interface or anything else.
    """
    found: list[dict[str, Any]] = []
    own = [
        (kind, item[kind])
        for item in ruleset(text)
        for kind in ("set", "rule")
        if kind in item and (item[kind].get("family"), item[kind].get("table")) == ("inet", "homeport")
    ]
    sets = {f"@{entry['name']}": entry.get("elem", []) for kind, entry in own if kind == "set"}
    for kind, entry in own:
        if kind == "rule":
            found += [new for new in let_in(entry["expr"], sets) if new not in found]
    return found


def let_in(statements: list[dict[str, Any]], sets: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The ports that one rule accepts: all of them where it names none."""
    if not any("accept" in statement for statement in statements):
        return []
    protocols, spans, some = {"tcp", "udp"}, [ALL_PORTS], False
    for match in (statement["match"] for statement in statements if "match" in statement):
        what, field = subject(match["left"])
        values, equal = values_of(match["right"], sets), match["op"] in ("==", "in")
        if what in ("tcp", "udp"):
            protocols &= {what}
        if field == "dport":
            spans = [span(value) for value in values] if equal else spans
            some = some or (equal and ALL_PORTS in spans)  # no port that can be read here
        elif not equal:
            some = True
        elif what in ("icmp", "icmpv6") or (field in ("iif", "iifname") and values == ["lo"]):
            return []
        elif (what, field) in (("meta", "l4proto"), ("ip", "protocol"), ("ip6", "nexthdr")):
            protocols = {protocol for protocol in protocols if protocol in values}
        elif (what, field) == ("ct", "state") and "new" not in values:
            return []  # answers to what the host itself has asked
        elif (what, field) != ("ct", "state"):
            some = True
    return [
        {"protocol": protocol, "first": first, "last": last, "some": some}
        for protocol in sorted(protocols)
        for first, last in spans
    ]


def subject(left: dict[str, Any]) -> tuple[str, str]:
    """What a rule looks at: a protocol or a kind of knowledge, and its field."""
    for kind in ("payload", "meta", "ct"):
        if kind in left:
            return left[kind].get("protocol", kind), left[kind].get("field", left[kind].get("key", ""))
    return "", ""


def values_of(right: Any, sets: dict[str, list[Any]]) -> list[Any]:
    if isinstance(right, str):
        return sets.get(right, [right])
    found = right.get("set", [right]) if isinstance(right, dict) else right
    return found if isinstance(found, list) else [found]


def span(value: Any) -> tuple[int, int]:
    if isinstance(value, dict) and "elem" in value:
        value = value["elem"]["val"]
    if isinstance(value, dict) and "range" in value:
        return value["range"][0], value["range"][1]
    return (value, value) if isinstance(value, int) else ALL_PORTS


# Who gets in

SSHD = (
    "passwordauthentication",
    "kbdinteractiveauthentication",
    "permitrootlogin",
    "permitemptypasswords",
)
STRANGER = "homeport-nobody"  # no such account


def sshd(run: Run, who: dict[str, list[str]]) -> dict[str, Any] | None:
    """The settings of sshd that count for somebody from outside; nothing where there is none.

    They are those for a name that no Match is about, and under C(accounts) those for root and whoever has a password.
    """
    if not os.path.exists("/usr/sbin/sshd"):
        return None

    def told(user: str, ports: Iterable[int]) -> str:
        text = ""
        for port in ports:
            who = f"user={user},host=outside.invalid,addr=192.0.2.1,laddr=192.0.2.2,lport={port}"
            status, out = run(["/usr/sbin/sshd", "-T", "-C", who])
            if status:
                raise OSError(f"sshd -T ended with status {status}")
            text += out
        return text

    _status, unit = run(SOCKET)
    ports = sshd_ports(told(STRANGER, [22]), unit)
    users = dict.fromkeys(["root", *who["password"], *who["empty"]])
    return {
        **sshd_settings(told(STRANGER, ports)),
        "ports": ports,
        "accounts": {user: sshd_settings(told(user, ports)) for user in users},
    }


def sshd_settings(text: str) -> dict[str, list[str]]:
    """Each with its values, of which there are several where sshd was asked about several of its ports."""
    found: dict[str, list[str]] = {name: [] for name in SSHD}
    for line in text.splitlines():
        name, _space, value = line.strip().lower().partition(" ")
        name = name.replace("challengeresponse", "kbdinteractive")
        if name in found and value not in found[name]:
            found[name].append(value)
    return found


def accounts(passwd: str, shadow: str) -> dict[str, list[str]]:
    """Who has a password to log in with, who needs none, and who else is root."""
    shells, roots = {}, []
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) == 7:
            shells[fields[0]] = fields[6]
            if fields[2] == "0" and fields[0] != "root":
                roots.append(fields[0])
    words = dict(line.split(":")[:2] for line in shadow.splitlines() if ":" in line)
    able = [name for name, shell in shells.items() if not shell.endswith(("/nologin", "/false"))]
    return {
        "password": [name for name in able if words.get(name, "!")[:1] not in ("", "!", "*")],
        "empty": [name for name in able if words.get(name, "!") == ""],
        "roots": roots,
    }


# Files with secrets

# What Homeport or a package wrote: the bits of the mode that may not be there.
HOST_FILES = (
    ("/etc/shadow", 0o007),
    ("/etc/ssh/ssh_host_*_key", 0o077),
    ("/etc/ssl/private/*.key", 0o007),
    *(secret for facts in FACTS.values() for secret in facts.secrets),
    ("/etc/pgbackrest*/*", 0o007),
    ("/var/lib/homeport/backups", 0o077),
    ("/var/backups/homeport/*", 0o077),
)
HOMEPORT_SECRET = r"privkey.*\.pem|.*\.key|private_key\.json|password|ssh_key|credentials\.json|dns\.ini"
# What somebody put somewhere: wrong where everybody can come to it.
LEFT_BEHIND = (
    r"\.env(\..+)?|\.?vault.*|.*\.vault|id_(rsa|dsa|ecdsa|ed25519)|.*\.key|\.pgpass|\.netrc|\.my\.cnf"
)
# Folders, each with how many below each other are looked into: what one account or app keeps hides nothing of others.
LEFT_IN = (("/root", 3), ("/home/*", 3), ("/srv", 0), ("/srv/*", 2))
MOST = 20000  # entries that are looked at below each
# Many files, and none that somebody left there by hand.
BULK = r".*/shared/media|.*/(static|venv|\.venv|node_modules|__pycache__|\.git|\.cache)"
APP_FILES = ("env", "release.env", "*.py", "files/*", "overlay.d/*", "processes/*")
APP_FOLDERS = (("home", 0o077), ("shared/data", 0o007), ("shared/media", 0o007), ("dumps", 0o007))


def host_files(base: str = "") -> dict[str, Any]:
    """Files with the host's secrets: how many there are, and those that too many can read."""
    paths = [
        (path, mask, False) for pattern, mask in HOST_FILES for path in sorted(glob.glob(f"{base}{pattern}"))
    ]
    own, _cut = named(f"{base}/etc/homeport", HOMEPORT_SECRET, 9)
    paths += [(path, 0o077, True) for path in own]
    found = [entry for path, mask, owned in paths if (entry := too_open(path, mask, owned))]
    unseen = []
    for pattern, depth in LEFT_IN:
        for folder in sorted(glob.glob(f"{base}{pattern}")):
            if uninteresting(folder):
                continue
            left, cut = named(folder, LEFT_BEHIND, depth, uninteresting)
            unseen += [folder] if cut else []
            for path in left:
                entry = too_open(path, 0o004, False)
                if entry and reachable(path, base) and not encrypted(path):
                    found.append(entry)
    return {"count": len(paths), "open": found, "unseen": unseen}


def app_files(spec: dict[str, Any]) -> dict[str, Any]:
    """The same of an app: its configuration is root's, and what it keeps is its own."""
    home = spec["home"]
    paths = [
        (path, 0o027, True)
        for folder in (f"{home}/config", *sorted(glob.glob(f"{home}/releases/*/config")))
        for pattern in APP_FILES
        for path in sorted(glob.glob(f"{glob.escape(folder)}/{pattern}"))
    ]
    paths += [(f"{home}/{name}", mask, False) for name, mask in APP_FOLDERS]
    paths += [(spec["logs"], 0o007, False)] if spec.get("logs") else []
    paths = [entry for entry in paths if os.path.lexists(entry[0])]
    found = [entry for path, mask, owned in paths if (entry := too_open(path, mask, owned))]
    return {"count": len(paths), "open": found}


def too_open(path: str, mask: int, owned: bool) -> Entry | None:
    """Path, mode and owner of a file that has a bit of ``mask``, or that is to be root's and is not."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    if os.path.islink(path) or not (found.st_mode & mask or (owned and found.st_uid != os.geteuid())):
        return None
    return {
        "path": path,
        "mode": f"{found.st_mode & 0o7777:04o}",
        "good": f"{found.st_mode & 0o7777 & ~mask:04o}",
        "owner": user_name(found.st_uid),
    }


def named(
    folder: str, pattern: str, depth: int, passed: Callable[[str], bool] = lambda _path: False
) -> tuple[list[str], bool]:
    """Files below a folder by their names, and whether there is more than is looked at.

    Links are not followed, and folders that are to be C(passed) by are not looked into.
    """
    found: list[str] = []
    seen = 0
    for path, folders, files in os.walk(folder):
        if seen > MOST:
            return found, True
        found += [f"{path}/{name}" for name in sorted(files) if re.fullmatch(pattern, name)]
        deeper = path[len(folder) :].count("/") < depth
        folders[:] = sorted(name for name in folders if deeper and not passed(f"{path}/{name}"))
        seen += len(folders) + len(files)
    return found, False


def uninteresting(folder: str) -> bool:
    """Whether nobody left anything in a folder that everybody can read: one with bulk, or closed to others."""
    try:
        return re.fullmatch(BULK, folder) is not None or not os.stat(folder).st_mode & 0o001
    except OSError:
        return True


def encrypted(path: str) -> bool:
    """Whether a file is what ansible-vault has made: of no use to whoever reads it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.read(descriptor, 14) == b"$ANSIBLE_VAULT"
    except OSError:  # a pipe in which nothing is
        return False
    finally:
        os.close(descriptor)


def reachable(path: str, base: str = "") -> bool:
    """Whether everybody may pass all folders above a file."""
    folder = os.path.dirname(path)
    while len(folder) > len(base or "/"):
        with contextlib.suppress(OSError):  # it may just have been removed
            if not os.stat(folder).st_mode & 0o001:
                return False
        folder = os.path.dirname(folder)
    return True


# What has to be kept up to date


def updates(run: Run) -> dict[str, Any]:
    """Packages that apt would upgrade, by what it knows; nothing is fetched."""
    status, out = run(["apt-get", "-s", "-q", "-o", "Debug::NoLocking=1", "dist-upgrade"])
    if status:
        raise OSError(f"apt-get -s dist-upgrade ended with status {status}")
    names = ("ENABLE", "APT::Periodic::Enable", "UPGRADE", "APT::Periodic::Unattended-Upgrade")
    _status, periodic = run(["apt-config", "shell", *names])
    settings = dict(re.findall(r"^(\w+)='(.*)'$", periodic, re.MULTILINE))
    idle, _out = run(["systemctl", "is-active", "--quiet", "apt-daily-upgrade.timer"])
    age = lists_age()
    return {
        **pending(out),
        "age": None if age == float("inf") else int(age),
        "automatic": os.path.exists("/usr/bin/unattended-upgrade")
        and not idle
        and settings.get("ENABLE", "1") != "0"
        and settings.get("UPGRADE", "") not in ("", "0"),
    }


def pending(text: str) -> dict[str, list[str]]:
    """All packages and those with a security fix, from what apt prints of a simulation."""
    found: dict[str, list[str]] = {"packages": [], "security": []}
    for name, origins in re.findall(r"^Inst (\S+) \[[^\]]*\] \(\S+ ([^)]*)\)", text, re.MULTILINE):
        found["packages"].append(name)
        if "security" in origins.lower():
            found["security"].append(name)
    return found


def kernel(base: str = "", running: str = "") -> dict[str, Any]:
    """Whether a package has asked for a reboot, and a kernel of the same kind that is newer than the running one."""
    running = running or os.uname().release
    kinds = {}
    for path in glob.glob(f"{base}/boot/vmlinuz-*"):
        version = os.path.basename(path)[len("vmlinuz-") :]
        if re.sub(r"\d+", "", version) == re.sub(r"\d+", "", running):
            kinds[tuple(int(number) for number in re.findall(r"\d+", version))] = version
    newest = kinds[max(kinds)] if kinds else running
    flag = f"{base}/run/reboot-required"
    return {
        "asked": os.path.exists(flag),
        "packages": sorted(set(read(f"{flag}.pkgs").split())),
        "running": running,
        "newer": newest if newest != running else "",
    }


def stale(proc: str = "/proc") -> list[str]:
    """Units with processes that use programs or libraries which an upgrade has replaced."""
    found = set()
    for pid in os.listdir(proc):
        if pid.isdigit() and replaced(read_all(f"{proc}/{pid}/maps")):
            found.add(unit_of(read(f"{proc}/{pid}/cgroup")) or read(f"{proc}/{pid}/comm").strip())
    return sorted(found - {""})


def replaced(maps: str) -> bool:
    return re.search(r" (/usr|/lib\w*|/bin|/sbin)/\S.* \(deleted\)$", maps, re.MULTILINE) is not None


def unit_of(cgroup: str) -> str:
    """The unit that a process belongs to."""
    found = re.search(r"/([^/\n]+\.service)(/|$)", cgroup, re.MULTILINE)
    return found[1] if found else ""


def failed_units(run: Run) -> list[str]:
    _status, out = run(["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"])
    return [line.split()[0] for line in out.splitlines() if line.split()]


def clock(run: Run) -> dict[str, Any]:
    """Whether the clock is kept right; that of a container is its machine's."""
    status, _out = run(["systemd-detect-virt", "--container", "--quiet"])
    _status, out = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    return {"container": status == 0, "synchronized": out.strip() == "yes"}


# Services


def inet_interfaces(config: str = "/etc/supervisor/supervisord.conf") -> dict[str, Any] | None:
    """The files in which supervisord is told to be reached over TCP; nothing where there is none."""
    text = read(config)
    if not text:
        return None
    folder = os.path.dirname(config)
    names = re.findall(r"^\s*files\s*=\s*(.+)$", text, re.MULTILINE)
    included = [
        path
        for pattern in " ".join(names).split()
        for path in sorted(glob.glob(os.path.join(folder, pattern)))
    ]
    return {
        "files": [
            path
            for path in (config, *included)
            if re.search(r"^\[inet_http_server\]", read(path), re.MULTILINE)
        ]
    }


# of roles: those that log in and may do more than use their own databases
POSTGRES = """
SELECT json_build_object(
  'databases', (SELECT coalesce(json_agg(json_build_object(
      'name', datname, 'owner', pg_get_userbyid(datdba),
      'public', (SELECT coalesce(string_agg(privilege_type, ', '), '')
                 FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0))), '[]')
    FROM pg_database WHERE NOT datistemplate),
  'roles', (SELECT coalesce(json_agg(json_build_object(
      'name', rolname, 'md5', coalesce(rolpassword LIKE 'md5%', false),
      'powers', array_to_string(ARRAY[
        CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
        CASE WHEN rolbypassrls THEN 'BYPASSRLS' END], ', '))), '[]')
    FROM pg_authid WHERE rolcanlogin),
  'rules', (SELECT coalesce(json_agg(json_build_object(
      'line', line_number, 'type', type, 'address', coalesce(address, ''), 'method', auth_method)), '[]')
    FROM pg_hba_file_rules WHERE error IS NULL))
"""


def postgres() -> dict[str, Any] | None:
    """Who may do what in the local cluster; nothing where there is none."""
    if not glob.glob("/etc/postgresql/*/*/postgresql.conf"):
        return None
    try:
        found: dict[str, Any] = json.loads(Cluster().ask(POSTGRES, seconds=10))
    except DeployError as error:
        raise OSError("PostgreSQL does not answer its superuser") from error
    return found


# Apps


def deploy_check(spec: dict[str, Any]) -> dict[str, Any] | None:
    """What ``check --deploy`` says of the live release: the issues' ids by level; nothing without a release."""
    layout = Layout(spec)
    release = layout.current
    if not release:
        return None
    command = ["manage.py", "check", "--deploy", "--no-color"]
    ended = in_release(
        Runner(layout), release, command, {"PYTHONDONTWRITEBYTECODE": "1"}, seconds=CHECK_SECONDS
    )
    found = issues(f"{ended.stdout}\n{ended.stderr}")
    if ended.stopped:
        return {"issues": found, "failed": f"did not end within {CHECK_SECONDS} s"}
    # what it printed may hold a value of the settings
    failed = f"ended with exit status {ended.status}" if ended.status and not any(found.values()) else ""
    return {"issues": found, "failed": failed}


def issues(text: str) -> dict[str, list[str]]:
    """The ids of the issues that Django lists, by level. Its words, and those of an app's own checks, stay there."""
    found: dict[str, list[str]] = {"CRITICAL": [], "ERROR": [], "WARNING": []}
    level = ""
    for line in text.splitlines():
        heading = re.fullmatch(r"(CRITICAL|ERROR|WARNING|INFO|DEBUG)S:", line)
        if heading:
            level = heading[1]
        elif line.startswith("System check identified") or not line.strip():
            level = level if not line.strip() else ""
        elif level in found and not line[0].isspace():
            match = re.match(r".+?: \(([\w.-]+)\) ", line)
            if match:
                found[level].append(match[1])
    return found


def read_all(path: str) -> str:
    """The whole text of a file of the kernel's, or nothing."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
