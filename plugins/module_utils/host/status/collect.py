# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a host and the apps on it are doing, read from the host itself. Nothing here changes anything.

Each part stands on its own: what cannot be read is left out or says why, and the rest is still told.
"""

from __future__ import annotations

import calendar
import contextlib
import glob
import http.client
import itertools
import json
import os
import re
import shutil
import socket
import ssl
import stat
import time
import xmlrpc.client
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    entries,
    interpreter,
    is_gone,
    is_orphaned,
)
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import used_cluster
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.release.health import (
    ask,
    healthy,
    refuses_on_purpose,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.serving import release_of
from ansible_collections.homeport.django.plugins.module_utils.host.status import backups as status_backups
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import (
    SOCKET,
    Supervisor,
)
from ansible_collections.homeport.django.plugins.module_utils.host.undeclared import present
from ansible_collections.homeport.django.plugins.module_utils.host.visit import problem_of

Run = Callable[[list[str]], tuple[int, str]]  # exit status and standard output of a command

# What a package of a cache starts by itself is masked where Homeport runs instances of its own.
SERVICES = ("nginx", "supervisor", "redis-server", "valkey-server", "memcached", "rabbitmq-server")
INSTANCES = ("redis", "memcached")  # the records of the roles that run instances
STORES = r"(redis-server|valkey-server|memcached)(@.+)?|rabbitmq-server"
CLUSTERS = "postgresql@*.service"  # the unit "postgresql" itself is active whatever its clusters do
UNIT = (
    "Id LoadState ActiveState Result MainPID LastTriggerUSec NextElapseUSecRealtime ExecMainStartTimestamp "
    "ExecMainExitTimestamp ExecMainStatus"
)
SIZES = """
SELECT coalesce(json_object_agg(datname, pg_database_size(oid)), '{}') FROM pg_database WHERE NOT datistemplate;
"""
WALK = 4.0  # seconds that all apps of a host may take to have their folders measured
TAIL = 1 << 16  # bytes of a record of deploys that are looked at


@dataclass(frozen=True)
class Places:
    """Where things are on a host."""

    apps: str = "/srv"
    deploys: str = "/var/lib/homeport/deploys"
    setup: str = "/var/lib/homeport/setup"
    records: str = "/var/lib/homeport"
    units: str = "/etc/systemd/system"
    proc: str = "/proc"
    supervisor: str = SOCKET
    certificates: str = "/etc/homeport/certificates"
    own_certificates: str = "/etc/homeport/own"
    backups: str = status_backups.BACKUPS
    archive: str = status_backups.ARCHIVE


def collect(
    specs: list[dict[str, Any]],
    run: Run,
    timeout: float = 5,
    history: int = 10,
    only: str = "",
    places: Places | None = None,
) -> dict[str, Any]:
    """Everything about the host, its services and its apps; also of apps that nobody declares any more."""
    places = places or Places()
    declared = {spec["name"]: spec for spec in specs}
    names = [only] if only else sorted({*declared, *present(places.apps)})
    chosen = {name: declared.get(name) or bare(name, places) for name in names}
    schedules = [unit for name in names for unit in timers(name, declared.get(name), places)]
    units = show_units(run, [*instances(places), *schedules])
    supervisor = supervised(places)
    table = process_table(places.proc)
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = {
            name: pool.submit(health, spec, timeout)
            for name, spec in chosen.items()
            if name in declared and Layout(spec).current and asked_for(spec)
        }
        visits = {
            name: pool.submit(problem_of, chosen[name]["visit"], chosen[name]["home"], timeout)
            for name in answers
            if chosen[name]["visit"]
        }
        end = time.monotonic() + WALK
        apps = {}
        for name, spec in chosen.items():
            try:
                found = describe(
                    spec, name in declared, supervisor["processes"], units, table, places, history
                )
                found["disk"] = sizes(spec, end)
                found["certificate"] = certificate(spec, run, places)
                apps[name] = found
                if name in answers:
                    found["health"] = answers[name].result()
                if name in visits:
                    found["visit"] = visits[name].result()
            except Exception as error:  # whatever an app brings about concerns no other app
                apps[name] = unknown(spec, name in declared, f"{type(error).__name__}: {error}")
    return {
        "time": int(time.time()),
        "host": host(places),
        "services": services(units),
        "stores": stores(units, table, places.proc),
        "supervisor": {"error": supervisor["error"]},
        "databases": databases(units),
        "backups": status_backups.backups(run, names, places.backups),
        "archive": status_backups.archive(run, places.archive),
        "apps": apps,
    }


def asked_for(spec: dict[str, Any]) -> bool:
    """Whether an app may be asked for pages: not the first release of one that its first visitor sets up."""
    return bool(spec["health"].get("first", True) or Layout(spec).has_followed())


def bare(name: str, places: Places) -> dict[str, Any]:
    """As much as is known of an app that is not declared."""
    home = f"{places.apps}/{name}"
    return {
        "name": name,
        "user": name,
        "home": home,
        "processes": {},
        "schedules": {},
        "media": f"{home}/shared/media",
        "database": {"engine": "none", "name": ""},
    }


# The host


def host(places: Places) -> dict[str, Any]:
    system = {}
    with contextlib.suppress(OSError), open("/etc/os-release", encoding="utf-8") as stream:
        system = dict(line.rstrip().partition("=")[::2] for line in stream)
    memory = {
        name: int(value) << 10
        for name, value in re.findall(r"(\w+):\s+(\d+) kB", read(f"{places.proc}/meminfo"))
    }
    disks: dict[int, dict[str, Any]] = {}
    for path in ("/", "/srv", "/var/lib/postgresql", "/var/log"):
        if os.path.isdir(path):
            usage = shutil.disk_usage(path)
            disks.setdefault(os.stat(path).st_dev, {"path": path, "total": usage.total, "free": usage.free})
    return {
        "name": socket.gethostname(),
        "system": system.get("PRETTY_NAME", "").strip("\"'"),
        "setup": read(places.setup).strip(),
        "uptime": int(float((read(f"{places.proc}/uptime") or "0").split()[0])),
        "booted": booted(places.proc),
        "load": [round(value, 2) for value in os.getloadavg()],
        "cores": len(os.sched_getaffinity(0)),
        "python": interpreter(""),
        "memory": {"total": memory.get("MemTotal", 0), "available": memory.get("MemAvailable", 0)},
        "disks": list(disks.values()),
    }


def booted(proc: str) -> int:
    """When the host's first process was started; of a container, when that was."""
    boot = re.search(r"^btime (\d+)", read(f"{proc}/stat"), re.MULTILINE)
    fields = read(f"{proc}/1/stat").rpartition(")")[2].split()
    return int(boot[1]) + int(fields[19]) // os.sysconf("SC_CLK_TCK") if boot and len(fields) > 19 else 0


def show_units(run: Run, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """What systemd knows of the services and of some more units, in one call."""
    units = [*(f"{name}.service" for name in SERVICES), CLUSTERS, *names]
    properties = ",".join(UNIT.split())
    status, out = run(["env", "TZ=UTC", "LC_ALL=C", "systemctl", "show", f"--property={properties}", *units])
    return parse_units(out) if status == 0 else {}


def parse_units(text: str) -> dict[str, dict[str, str]]:
    """Units and their properties from the blocks that ``systemctl show`` prints."""
    found = {}
    for block in text.split("\n\n"):
        unit = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        if unit.get("Id") and unit.get("LoadState") != "not-found":
            found[unit["Id"]] = unit
    return found


def instances(places: Places) -> list[str]:
    """The units of caches and brokers that the roles run here, also such as do not run now."""
    found: list[str] = []
    for name in INSTANCES:
        with contextlib.suppress(ValueError):
            found += json.loads(read(f"{places.records}/{name}.json")).get("units", [])
    return found


def services(units: dict[str, dict[str, str]]) -> dict[str, str]:
    """The state of each service that the host has; a masked one is there for nobody."""
    found = {
        name[: -len(".service")]: unit["ActiveState"]
        for name, unit in units.items()
        if name[: -len(".service")] in SERVICES or re.fullmatch(rf"({STORES})\.service", name)
        if unit.get("LoadState") != "masked"
    }
    version, cluster = used_cluster()
    if version:
        unit = units.get(f"postgresql@{version}-{cluster}.service", {})
        found["postgresql"] = unit.get("ActiveState", "inactive")
    return found


def stores(
    units: dict[str, dict[str, str]], table: dict[int, Process], proc: str = "/proc"
) -> dict[str, int]:
    """Bytes of memory of each cache and broker that runs on this host."""
    return {
        name[: -len(".service")]: memory(descendants(int(unit["MainPID"]), table), table, proc)["bytes"]
        for name, unit in units.items()
        if re.fullmatch(rf"({STORES})\.service", name) and unit.get("MainPID", "0").strip("0")
    }


def databases(units: dict[str, dict[str, str]]) -> dict[str, int]:
    """Bytes of each database of this host."""
    if services(units).get("postgresql") != "active":
        return {}
    try:
        found: dict[str, int] = json.loads(Cluster().ask(SIZES, seconds=5))
    except DeployError:
        return {}
    return found


# Processes


def supervised(places: Places) -> dict[str, Any]:
    """All processes of supervisord, or why there is no telling."""
    try:
        return {"processes": Supervisor(places.supervisor).processes(""), "error": ""}
    except FileNotFoundError:
        return {"processes": None, "error": "supervisord does not run"}
    except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
        return {"processes": None, "error": f"supervisord does not answer: {error}"}


@dataclass(frozen=True)
class Process:
    parent: int
    uid: int
    resident: int  # bytes, shared ones counted in full


def process_table(proc: str = "/proc") -> dict[int, Process]:
    """Every process of the host."""
    found = {}
    for name in os.listdir(proc):
        if name.isdigit():
            fields = dict(
                re.findall(r"^(PPid|Uid|VmRSS):\s+(\d+)", read(f"{proc}/{name}/status"), re.MULTILINE)
            )
            if {"PPid", "Uid"} <= fields.keys():
                found[int(name)] = Process(
                    int(fields["PPid"]), int(fields["Uid"]), int(fields.get("VmRSS", 0)) << 10
                )
    return found


def descendants(pid: int, table: dict[int, Process]) -> set[int]:
    """A process and all that come from it."""
    found = {pid}
    more = True
    while more:
        children = {child for child, entry in table.items() if entry.parent in found} - found
        found |= children
        more = bool(children)
    return found


def memory(pids: Iterable[int], table: dict[int, Process], proc: str = "/proc") -> dict[str, Any]:
    """Bytes of some processes: their proportional share (pss), else all that is resident (rss)."""
    pids = [pid for pid in pids if pid in table]
    shares = []
    for pid in pids:
        found = re.search(r"^Pss:\s+(\d+) kB", read(f"{proc}/{pid}/smaps_rollup"), re.MULTILINE)
        if found:
            shares.append(int(found[1]) << 10)
        elif table[pid].resident and os.path.exists(f"{proc}/{pid}"):
            return {"bytes": sum(table[pid].resident for pid in pids), "kind": "rss"}
    return {"bytes": sum(shares), "kind": "pss"}


def processes(
    spec: dict[str, Any],
    known: dict[str, dict[str, Any]],
    table: dict[int, Process],
    proc: str = "/proc",
) -> list[dict[str, Any]]:
    """The web slots and the workers of an app, each with the release that it runs."""
    prefix = f"{spec['name']}."
    groups: dict[str, list[dict[str, Any]]] = {}
    for info in known.values():
        if info["group"].startswith(prefix):
            groups.setdefault(info["group"][len(prefix) :], []).append(info)
    wanted = {"web": 1, **spec["processes"]} if "socket" in spec else {}
    result = []
    for name in [*wanted, *sorted(set(groups) - set(wanted))]:
        instances = [instance(info, table, proc) for info in sorted(groups.get(name, []), key=number)]
        serving = [one for one in instances if one["state"] == "running" and one["release"]]
        result.append(
            {
                "name": name,
                "kind": spec.get("kinds", {}).get(name, ""),
                "declared": wanted.get(name),
                "running": len(serving),
                "instances": instances,
            }
        )
    return result


def number(info: dict[str, Any]) -> tuple[int, str]:
    return (int(info["name"]) if info["name"].isdigit() else 0, info["name"])


def instance(info: dict[str, Any], table: dict[int, Process], proc: str) -> dict[str, Any]:
    """One process. ``release`` is empty where it sleeps: a slot that is not in use, or nothing to run yet."""
    state = info["statename"].lower()
    alive = state in ("running", "starting", "stopping") and info["pid"] in table
    tree = descendants(info["pid"], table) if alive else set()
    return {
        "name": info["name"],
        "state": state,
        "detail": "" if alive else str(info.get("spawnerr") or info.get("description") or ""),
        "seconds": max(0, info["now"] - info["start"]) if alive else None,
        "release": release_of(info["pid"]) if alive else "",
        "workers": sum(1 for pid in tree if table[pid].parent == info["pid"]),
        "memory": memory(tree, table, proc)["bytes"],
    }


# Apps


def describe(
    spec: dict[str, Any],
    declared: bool,
    supervised_processes: dict[str, dict[str, Any]] | None,
    units: dict[str, dict[str, str]],
    table: dict[int, Process],
    places: Places,
    history: int,
) -> dict[str, Any]:
    """All that can be told of an app without asking it."""
    layout = Layout(spec)
    mine: list[int] = []
    with contextlib.suppress(KeyError):
        uid = layout.ids()[0]
        mine = [pid for pid, entry in table.items() if entry.uid == uid]
    return {
        "declared": declared,
        "try": spec.get("try", ""),
        "release": release(layout),
        "previous": os.path.basename(layout.resolve_link(f"{layout.home}/previous") or ""),
        "health": None,
        "visit": "",
        "processes": processes(spec, supervised_processes, table, places.proc)
        if supervised_processes is not None
        else None,
        "schedules": [
            schedule(unit[len(layout.name) + 1 : -len(".timer")], unit, spec, units)
            for unit in timers(layout.name, spec, places)
            if unit.endswith(".timer")
        ],
        "memory": memory(mine, table, places.proc),
        "lock": lock(f"{layout.home}/deploy.lock"),
        "maintenance": changed(f"{layout.home}/maintenance/on"),
        "deploys": deploys(f"{places.deploys}/{layout.name}.jsonl", history),
    }


def unknown(spec: dict[str, Any], declared: bool, why: str) -> dict[str, Any]:
    """An app that cannot be looked at."""
    release = os.path.basename(Layout(spec).current or "")
    blank = {"revision": "", "built": "", "since": None, "django": "", "python": "", "interpreter": ""}
    return {
        **dict.fromkeys(("processes", "lock", "maintenance", "certificate")),
        "declared": declared,
        "try": spec.get("try", ""),
        "release": {"id": release, **blank, "interpreter_gone": False, "interpreter_orphaned": False}
        if release
        else None,
        "previous": "",
        "health": {
            "ok": False,
            "status": None,
            "milliseconds": None,
            "error": f"cannot be looked at: {why}",
            "path": "",
        },
        "visit": "",
        "schedules": [],
        "memory": {"bytes": 0, "kind": "pss"},
        "disk": {"releases": {"bytes": 0, "complete": False, "count": 0}, "media": None, "database": None},
        "deploys": [],
    }


def certificate(spec: dict[str, Any], run: Run, places: Places) -> dict[str, Any] | None:
    """What nginx serves the app with: from when until when it is good (empty where it cannot be read)."""
    if spec.get("certificate", "none") == "none":
        return None
    path = f"{places.certificates}/{spec['name']}/live/fullchain.pem"
    status, out = run(
        ["openssl", "x509", "-noout", "-dates", "-issuer", "-subject", "-ext", "subjectAltName", "-in", path]
    )
    found = dict(re.findall(r"^(\w+) ?= ?(.+)$", out, re.MULTILINE)) if status == 0 else {}
    try:
        start, end = (int(ssl.cert_time_to_seconds(found[key])) for key in ("notBefore", "notAfter"))
    except (KeyError, ValueError):
        return {"names": [], "from": None, "until": None, "self_signed": False, "served": True}
    return {
        "names": re.findall(r"DNS:([^\s,]+)", out),
        "from": start,
        "until": end,
        "self_signed": found.get("issuer") == found.get("subject"),
        "served": serves(spec, read(path)),
    }


def serves(spec: dict[str, Any], text: str) -> bool:
    """Whether nginx serves an app with the certificate of ``text``; where it does not answer, visits tell."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", spec["visit"]["port"]), timeout=5) as connection,
            context.wrap_socket(connection, server_hostname=spec["domains"][0]) as answered,
        ):
            given = answered.getpeercert(binary_form=True)
    except (OSError, KeyError):
        return True
    end = "-----END CERTIFICATE-----"
    return given == ssl.PEM_cert_to_DER_cert(text.partition(end)[0].strip() + f"\n{end}")


def given_certificates(places: Places) -> dict[str, dict[str, Any]]:
    """What the role certificates was given for each site that has one."""
    try:
        sites = dict(json.loads(read(f"{places.certificates}.json"))["sites"])
    except (ValueError, KeyError):
        return {}
    return {
        name: {**site, "chain": read(f"{places.own_certificates}/{name}.crt")}
        if site["kind"] == "own"
        else site
        for name, site in sites.items()
    }


def release(layout: Layout) -> dict[str, Any] | None:
    """The live release; since when it is live is when the link was made."""
    folder = layout.current
    if not folder:
        return None
    record = layout.record(folder)
    program = str(record.get("interpreter", ""))
    return {
        "id": os.path.basename(folder),
        "revision": printable_revision(record.get("revision", "")),
        "built": str(record.get("built", "")),
        "since": changed(f"{layout.home}/current"),
        "django": str(record.get("django", "")),
        "python": str(record.get("python", "")),
        "interpreter": program if program.startswith("/") else "",
        "interpreter_gone": is_gone(program),
        "interpreter_orphaned": os.path.exists(program)
        and program != interpreter("")
        and is_orphaned(program),
    }


def printable_revision(revision: Any) -> str:
    """A revision as it may be shown: the address of an archive can hold a password or a token."""
    text = str(revision or "")
    if not text.startswith(("http://", "https://")):
        return text
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def changed(path: str) -> int | None:
    """When a file or link was made or last written, if it is there."""
    try:
        return int(os.lstat(path).st_mtime)
    except OSError:
        return None


def lock(path: str) -> dict[str, str] | None:
    """Who is deploying, if anybody is."""
    text = read(path).strip()
    if not text:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("started"), (int, float)):
        return None  # the step died while it wrote
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found["started"]))
    return {"holder": str(found.get("holder", "")), "since": since, "run": str(found.get("run", ""))}


DEPLOY = ("time", "verb", "outcome", "release", "before", "by", "message")


def deploys(path: str, count: int) -> list[dict[str, Any]]:
    """The last deploys, newest first. A line that was torn by a crash is left out."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    found: list[dict[str, Any]] = []
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and len(found) < count:
            seconds = entry.get("seconds")
            migrations = entry.get("migrations")
            found.append(
                {
                    **{key: str(entry.get(key) or "") for key in DEPLOY},
                    "revision": printable_revision(entry.get("revision")),
                    "seconds": round(float(seconds), 1) if isinstance(seconds, (int, float)) else None,
                    "migrations": [str(name) for name in migrations] if isinstance(migrations, list) else [],
                }
            )
    return found


def timers(name: str, spec: dict[str, Any] | None, places: Places) -> list[str]:
    """The timers of an app's schedules, and what they start."""
    there = [os.path.basename(path) for path in glob.glob(f"{places.units}/{name}.*.timer")]
    declared = [f"{name}.{schedule}.timer" for schedule in (spec or {}).get("schedules", {})]
    found = list(dict.fromkeys([*declared, *sorted(there)]))
    return [unit for timer in found for unit in (timer, f"{timer[: -len('.timer')]}.service")]


def schedule(name: str, timer: str, spec: dict[str, Any], units: dict[str, dict[str, str]]) -> dict[str, Any]:
    """When a schedule ran, how that ended, and when it is next."""
    clock = units.get(timer, {})
    service = units.get(f"{timer[: -len('.timer')]}.service", {})
    started = moment(service.get("ExecMainStartTimestamp", ""))
    state = service.get("ActiveState", "")
    result = ""
    if state in ("active", "activating", "deactivating", "reloading"):
        result = "running"
    elif started or state == "failed":
        result = service.get("Result", "")
    status = service.get("ExecMainStatus", "")
    return {
        "name": name,
        "calendar": spec["schedules"].get(name, ""),
        "active": clock.get("ActiveState") == "active",
        "last": started or moment(clock.get("LastTriggerUSec", "")),
        "result": result,
        "status": int(status) if status.isdigit() else 0,
        "ended": None if result == "running" else moment(service.get("ExecMainExitTimestamp", "")),
        "next": moment(clock.get("NextElapseUSecRealtime", "")),
    }


def moment(text: str) -> int | None:
    """Seconds since the epoch of what systemctl prints in UTC."""
    try:
        return calendar.timegm(time.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC"))
    except ValueError:
        return None


# Health


def health(spec: dict[str, Any], timeout: float) -> dict[str, Any]:
    """What the app's health page answers on the app's public socket."""
    result = {"ok": False, "status": None, "milliseconds": None, "error": "", "path": spec["health"]["path"]}
    started = time.monotonic()
    try:
        status, detail = ask_health(spec, timeout)
    except (FileNotFoundError, ConnectionRefusedError):
        return {**result, "error": f"nobody listens on {spec['socket']}"}
    except BlockingIOError:
        return {**result, "error": "so many requests wait for it already that no more are let in"}
    except (OSError, http.client.HTTPException) as error:
        spent = time.monotonic() - started
        late = spent >= timeout or isinstance(error, TimeoutError)
        return {**result, "error": f"no answer within {timeout:g} s" if late else f"no answer: {error}"}
    good = healthy(status, spec["health"]["status"]) or refuses_on_purpose(status, spec["home"])
    result.update(ok=good, status=status, milliseconds=round(1000 * (time.monotonic() - started)))
    if not good:
        result["error"] = f"answers with status {status}" + (f": {detail}" if detail else "")
    return result


def ask_health(spec: dict[str, Any], timeout: float) -> tuple[int, str]:
    """Status and, where it is plain text, the beginning of the answer; in the words of the web server in front."""
    status, kind, text = ask(spec["socket"], spec["health"]["path"], spec["site_url"], timeout, 2000)
    return status, " ".join(text.split())[:200] if kind in ("text/plain", "application/json") else ""


# Disk


def sizes(spec: dict[str, Any], end: float) -> dict[str, Any]:
    """What the app keeps on the disk."""
    layout = Layout(spec)
    result: dict[str, Any] = {
        "releases": {**measure(layout.releases, end), "count": len(layout.known_releases())},
        "media": measure(spec["media"], end) if spec["media"] else None,
        "database": None,
    }
    if spec["database"]["engine"] == "sqlite":
        with contextlib.suppress(OSError):
            result["database"] = os.lstat(spec["database"]["name"]).st_size
    return result


def measure(folder: str, end: float) -> dict[str, Any]:
    """Bytes on the disk below a folder, each file once however many names it has; until the time is up."""
    total, seen = 0, set()
    with contextlib.suppress(FileNotFoundError):
        for found in itertools.islice(entries(folder, end), 1, None):
            if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1 or found.st_ino not in seen:
                total += found.st_blocks * 512
                if found.st_nlink > 1:
                    seen.add(found.st_ino)
    return {"bytes": total, "complete": time.monotonic() < end}


def read(path: str) -> str:
    """The text of a small file, or nothing."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 20)
    except OSError:
        return ""
