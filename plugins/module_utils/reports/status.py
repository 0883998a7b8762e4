# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""One report of what the module status found on all hosts: a document of plain data, and what is wrong in it.

The keys of the document are described in docs/operating.md; they are only ever added to.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.parts import sentence
from ansible_collections.homeport.django.plugins.module_utils.reports import backups
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import (
    LEVELS,
    failure,
    warning,
    worst,
)

VERSION = 1
UNWANTED = ("failed", "held", "rolled back")  # outcomes of a deploy
LITTLE_DISK, NO_DISK = 0.10, 0.02  # shares of a disk that are free
LITTLE_MEMORY = 0.05
SERVED = {"cache": "cache_servers", "broker": "broker_servers"}  # what apps use, and the group that runs it
RESTARTED = 15  # seconds for which a process that keeps ending runs at most
LONG_DEPLOY = 3600  # seconds after which a deploy that still runs is worth a look

Document = dict[str, Any]


def report(
    results: Mapping[str, Mapping[str, Any]],
    specs: list[dict[str, Any]],
    groups: Mapping[str, list[str]],
    setup: str,
    only: str = "",
    now: int | None = None,
) -> Document:
    """The document: ``results`` holds what the module returned, or how it failed, by host."""
    chosen = {spec["name"]: spec for spec in specs if only in ("", spec["name"])}
    app_hosts = groups.get("app_servers", [])
    hosts, apps = {}, {}
    for name, result in results.items():
        member_of = groups_of(name, groups)
        hosts[name] = one_host(name, result, needed_services(specs, member_of), setup, member_of)
    for app in sorted({*chosen, *(app for result in results.values() for app in found_apps(result))}):
        spec = chosen.get(app)
        on = {
            name: one_app(
                found_apps(result).get(app),
                spec if name in app_hosts else None,
                result,
                {
                    service: used(spec if name in app_hosts else None, service, name, results, groups)
                    for service in SERVED
                },
            )
            for name, result in results.items()
            if app in found_apps(result) or (spec and name in app_hosts)
        }
        if on:  # else its hosts were left out with --limit
            apps[app] = whole_app(app, spec, on, results, groups)
    problems = [
        {"host": name, "app": "", **problem} for name, host in hosts.items() for problem in host["problems"]
    ]
    for app, found in apps.items():
        problems += [{"host": "", "app": app, **problem} for problem in found["problems"]]
        for name, here in found["hosts"].items():
            problems += [{"host": name, "app": app, **problem} for problem in here["problems"]]
    problems.sort(key=lambda problem: -LEVELS.index(problem["level"]))
    return {
        "version": VERSION,
        "time": iso(int(time.time()) if now is None else now),
        "level": worst(
            [*(entry["level"] for entry in (*hosts.values(), *apps.values()))],
        ),
        "problems": problems,
        "hosts": hosts,
        "apps": apps,
    }


def iso(moment: int | None) -> str | None:
    return None if moment is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def epoch(text: str | None) -> int | None:
    """Seconds of a time in ISO 8601, whatever it says about fractions; always in UTC."""
    try:
        return calendar.timegm(time.strptime((text or "")[:19].replace(" ", "T"), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


def found_apps(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return result.get("status", {}).get("apps", {})


def groups_of(name: str, groups: Mapping[str, list[str]]) -> list[str]:
    return sorted(group for group, hosts in groups.items() if name in hosts and group != "all")


# Hosts


def needed_services(specs: list[dict[str, Any]], member_of: Iterable[str]) -> list[str]:
    """The services without which a host does not do what it is there for."""
    runs_apps, runs_databases = "app_servers" in member_of, "database_servers" in member_of
    needed = [
        spec[service]["unit"]
        for service, group in SERVED.items()
        for spec in specs
        if group in member_of and spec[service]["managed"]
    ]
    if runs_apps and any(spec["proxied"] for spec in specs):
        needed.append("nginx")
    if runs_databases and any(
        spec["database"]["engine"] == "postgres" and spec["database"]["managed"] for spec in specs
    ):
        needed.append("postgresql")
    if runs_apps and specs:
        needed.append("supervisor")
    return list(dict.fromkeys(needed))


def one_host(
    name: str, result: Mapping[str, Any], needed: list[str], setup: str, member_of: list[str]
) -> dict[str, Any]:
    status = result.get("status")
    entry: dict[str, Any] = {
        "reachable": not result.get("unreachable"),
        "groups": member_of,
        "name": "",
        "system": "",
        "setup": "",
        "uptime_seconds": None,
        "load": [],
        "cores": None,
        "memory": None,
        "disks": [],
        "services": {},
        "archive": None,
    }
    if not status:
        message = " ".join(str(result.get("msg") or "it gave no answer").split()).removeprefix(
            "Task failed: "
        )
        what = "cannot be reached" if result.get("unreachable") else "could not be looked at"
        return {**entry, "level": "failure", "problems": [failure(f"{what}: {message}")]}
    host = status["host"]
    entry.update({key: host[key] for key in ("name", "system", "setup", "load", "cores", "memory", "disks")})
    entry["uptime_seconds"] = host["uptime"]
    services = {**dict.fromkeys(needed, "missing"), **status["services"]}
    entry["services"] = dict(sorted(services.items()))
    entry["archive"], problems = backups.of_host(status)
    problems = [
        *host_problems(entry, status["supervisor"]["error"], needed, setup),
        *differences(name, status, setup),
        *problems,
    ]
    return {**entry, "level": worst(problem["level"] for problem in problems), "problems": problems}


def host_problems(
    entry: dict[str, Any], supervisor_error: str, needed: list[str], setup: str
) -> list[dict[str, str]]:
    problems = []
    for name, state in entry["services"].items():
        if name in needed and state != "active":
            problems.append(failure(f"{name} is {there(state)}"))
        elif state == "failed":
            problems.append(warning(f"{name} has failed"))
    if "supervisor" in needed and entry["services"]["supervisor"] == "active" and supervisor_error:
        problems.append(failure(supervisor_error))
    if entry["setup"] and entry["setup"] != setup:
        problems.append(
            failure(
                f"was set up with the playbook {entry['setup']}, but homeport_setup is {setup} in the inventory"
            )
        )
    for disk in entry["disks"]:
        share = disk["free"] / disk["total"] if disk["total"] else 1
        if share < LITTLE_DISK:
            text = f"the disk of {disk['path']} has {size(disk['free'])} of {size(disk['total'])} left"
            problems.append(failure(text) if share < NO_DISK else warning(text))
    memory = entry["memory"]
    if memory["total"] and memory["available"] / memory["total"] < LITTLE_MEMORY:
        problems.append(warning(f"{size(memory['available'])} of {size(memory['total'])} memory are left"))
    return problems


def differences(name: str, status: Mapping[str, Any], setup: str) -> list[dict[str, str]]:
    """What the host was given, compared with what is declared, and with what is there now."""
    problems = [
        warning(f"{sentence(app, component, fields, name)}; run the playbook {setup}")
        for app, components in sorted(status["differing"].items())
        for component, fields in sorted(components.items())
    ]
    problems += [warning(text) for text in status["undeclared"]]
    problems += [{"level": level, "text": text} for level, text in status["firewall"]]
    if status["touched"]:
        first = ", ".join(status["touched"][:5]) + (" and others" if len(status["touched"]) > 5 else "")
        problems.append(warning(f"not as the last run left it: {first}; the playbook {setup} puts it right"))
    problems += [
        warning(
            f"{one['service']} needs a restart for {', '.join(one['why'])}, which interrupts all apps: run the "
            f"playbook {setup} with -e restart=now when it suits"
        )
        for one in status["restarts"]
    ]
    return problems


# Apps


def whole_app(
    name: str,
    spec: dict[str, Any] | None,
    on: dict[str, dict[str, Any]],
    results: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, list[str]],
) -> dict[str, Any]:
    """An app with all hosts that it is on."""
    database_hosts = groups.get("database_servers", [])
    backup, problems = backups.of_app(name, spec, on, results, groups)
    revisions = {name: here["release"]["revision"] for name, here in on.items() if here["release"]}
    if len(set(revisions.values())) > 1:
        which = ", ".join(f"{name} has {short(revision)}" for name, revision in revisions.items())
        problems.append(warning(f"its hosts run different code: {which}"))
    database = None
    if spec and spec["database"]["engine"] not in ("", "none"):
        database = {key: spec["database"][key] for key in ("engine", "name", "managed")}
        database["hosts"], database["bytes"] = [], None
        if spec["database"]["engine"] == "postgres" and spec["database"]["managed"]:
            database["hosts"] = list(database_hosts)
            for host in database_hosts:
                sizes = results.get(host, {}).get("status", {}).get("databases", {})
                database["bytes"] = sizes.get(spec["database"]["name"], database["bytes"])
        elif spec["database"]["engine"] == "sqlite":
            found = [here["disk"]["database"] for here in on.values() if here["disk"]]
            database["bytes"] = sum(size for size in found if size) if any(found) else None
        elif spec["database"]["host"]:
            database["hosts"] = [spec["database"]["host"]]
    return {
        "declared": bool(spec),
        "level": worst(
            [*(problem["level"] for problem in problems), *(here["level"] for here in on.values())]
        ),
        "url": spec["site_url"] if spec else "",
        "domains": spec["domains"] if spec else [],
        "proxied": bool(spec and spec["proxied"]),
        "database": database,
        "backup": backup,
        "problems": problems,
        "hosts": on,
    }


def one_app(
    found: Mapping[str, Any] | None,
    spec: dict[str, Any] | None,
    result: Mapping[str, Any],
    services: Mapping[str, dict[str, Any] | None],
) -> dict[str, Any]:
    """An app on one host; ``found`` is missing where the host could not be looked at."""
    if found is None:
        return {
            "level": "failure",
            "state": "unknown",
            "try": "",
            "problems": [],  # the host's own says why
            **dict.fromkeys(
                (
                    "release",
                    "previous",
                    "health",
                    "visit",
                    "memory",
                    "disk",
                    "lock",
                    "maintenance",
                    "certificate",
                )
            ),
            **{key: [] for key in ("processes", "schedules", "deploys")},
            **services,
        }
    now = result["status"]["time"]
    found = without_dead_lock(found, result["status"]["host"]["booted"])
    problems = app_problems(found, spec, result["status"])
    if spec:
        problems += service_problems(services)
    level = worst(problem["level"] for problem in problems)
    release, certificate = found["release"], found.get("certificate")
    return {
        "level": level,
        "try": found.get("try", ""),
        "state": state(found, spec, level),
        "problems": problems,
        "release": release
        and {
            "id": release["id"],
            "revision": release["revision"],
            "version": spec["version"] if spec else "",
            "built": release["built"],
            "live_since": iso(release["since"]),
            "live_seconds": max(0, now - release["since"]) if release["since"] else None,
            "django": release["django"],
            "python": release["python"],
        },
        "previous": found["previous"],
        "health": found["health"],
        "visit": found["visit"],
        "processes": found["processes"] or [],
        "schedules": [
            {**schedule, **{key: iso(schedule[key]) for key in ("last", "ended", "next")}}
            for schedule in found["schedules"]
        ],
        "memory": found["memory"],
        "disk": found["disk"],
        "lock": found["lock"],
        "maintenance": iso(found["maintenance"]),
        **services,
        "deploys": found["deploys"],
        "certificate": certificate
        and {
            "names": certificate["names"],
            "until": iso(certificate["until"]),
            "self_signed": certificate["self_signed"],
        },
    }


def without_dead_lock(found: Mapping[str, Any], booted: int) -> Mapping[str, Any]:
    """A deploy that was running when the host went down runs no more."""
    lock = found["lock"]
    since = epoch(lock["since"]) if lock else None
    return {**found, "lock": None, "cut_off": lock} if since is not None and since < booted else found


def used(
    spec: dict[str, Any] | None,
    service: str,
    name: str,
    results: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, list[str]],
) -> dict[str, Any] | None:
    """The cache or the broker that an app on a host has: its own host's where that runs one, else the first."""
    if not spec or spec[service]["engine"] == "none":
        return None
    found = {**spec[service], "state": None, "memory": None}
    if not found["managed"]:
        return found
    servers = groups.get(SERVED[service], [])
    found["host"] = name if name in servers else next(iter(servers), "")
    status = results.get(found["host"], {}).get("status")
    if status:
        found["state"] = status["services"].get(found["unit"], "missing")
        found["memory"] = status["stores"].get(found["unit"])
    return found


def service_problems(services: Mapping[str, dict[str, Any] | None]) -> list[dict[str, str]]:
    """Caches and brokers that are known not to run."""
    return [
        failure(f"its {service} does not run: {found['unit']} on {found['host']} is {there(found['state'])}")
        for service, found in services.items()
        if found and found["state"] not in (None, "active")
    ]


def there(state: str) -> str:
    return "not installed" if state == "missing" else state


def state(found: Mapping[str, Any], spec: dict[str, Any] | None, level: str) -> str:
    """The one word that stands beside the app's name."""
    if not spec:
        return "not declared"
    if not found["release"]:
        return "deploying" if found["lock"] else "not deployed"
    if level == "failure":
        return "unhealthy"
    if found["lock"]:
        return "deploying"
    if found["maintenance"] is not None:
        return "maintenance"
    return "healthy" if level == "ok" else "warning"


def app_problems(
    found: Mapping[str, Any], spec: dict[str, Any] | None, status: Mapping[str, Any]
) -> list[dict[str, str]]:
    if not spec:
        return [warning(found.get("undeclared") or "is on this host, but django_apps does not put it here")]
    lock, release, now = found["lock"], found["release"], status["time"]
    front = status["services"].get("nginx", "not installed")
    problems = []
    if not release and not lock:
        problems.append(failure("has not been deployed yet"))
    if found["health"] and not found["health"]["ok"]:
        problems.append(failure(f"{found['health']['path']} {found['health']['error']}"))
    if release and spec["proxied"] and front != "active":
        problems.append(failure(f"visitors do not reach it: nginx is {front}"))
    elif found["visit"]:
        problems.append(failure(found["visit"]))
    if release and release["interpreter_gone"]:
        problems.append(
            failure(
                f"the Python of its release is gone ({release['interpreter']}): it will not start again; run the setup "
                "playbook, which builds a new release"
            )
        )
    elif release and (
        release["interpreter_orphaned"]
        or (release["interpreter"] not in ("", status["host"]["python"]) and not spec["python"])
    ):
        problems.append(
            warning(
                f"its release is built for {release['interpreter']}, and the host's own is {status['host']['python']}; "
                "run the setup playbook, which builds a new one"
            )
        )
    if release:
        # while a deploy runs, processes on two releases are to be expected
        found_here = process_problems(found["processes"] or [], release["id"])
        if not lock and found["processes"]:
            found_here += restarts(
                found["processes"], now - (release["since"] or now), status["host"]["uptime"]
            )
        problems += [{**problem, "level": "warning"} if lock else problem for problem in found_here]
        problems += [problem for schedule in found["schedules"] for problem in schedule_problems(schedule)]
    problems += certificate_problems(found.get("certificate"), spec, now)
    if left := found.get("cut_off"):
        problems.append(
            warning(f"the host was restarted during a deploy by {left['holder'] or 'somebody'}; deploy again")
        )
    problems += served_problems(found.get("certificate"), spec)
    if lock:
        since = epoch(lock["since"])
        if since is not None and now - since > LONG_DEPLOY:
            problems.append(
                warning(f"a deploy by {lock['holder'] or 'somebody'} has been running for {ago(now - since)}")
            )
    elif found["deploys"] and found["deploys"][0]["outcome"] in UNWANTED:
        last = found["deploys"][0]
        message = f": {brief(last['message'])}" if last["message"] else ""
        problems.append(
            warning(
                f"the last {last['verb'] or 'deploy'} ({last['time']}, {last['by']}): {last['outcome']}{message}"
            )
        )
    if found["maintenance"] is not None:
        problems.append(warning(f"is in maintenance mode for {ago(max(0, now - found['maintenance']))}"))
    return problems


def certificate_problems(
    found: Mapping[str, Any] | None, spec: Mapping[str, Any], now: int
) -> list[dict[str, str]]:
    """A certificate that is not there, not trusted, or at its end: two weeks, or a sixth of a short one's time."""
    if not found:
        return []
    if found["until"] is None:
        return [failure("there is no certificate for nginx to serve it with")]
    left = found["until"] - now
    if left < 0:
        return [failure(f"its certificate is over for {ago(-left)}")]
    if found["self_signed"] and spec["certificate"] == "acme":
        return [
            failure("no authority has signed its certificate yet; run the setup playbook, which says why")
        ]
    problems = []
    if left < min(14 * 86400, (found["until"] - found["from"]) // 6):
        problems.append(failure(f"its certificate is over in {ago(left)}"))
    missing = without_certificate(found, spec)
    if missing and spec["certificate"] == "acme":
        problems.append(warning(f"its certificate does not have {', '.join(missing)}"))
    return problems


def served_problems(found: Mapping[str, Any] | None, spec: Mapping[str, Any]) -> list[dict[str, str]]:
    """What an audit finds out by itself, from outside."""
    if not found or found["until"] is None:
        return []
    problems = []
    if not found["served"]:
        problems.append(failure("nginx serves another certificate than the one that the host has for it"))
    missing = without_certificate(found, spec)
    if missing and spec["certificate"] == "own":
        problems.append(failure(f"its own certificate (tls.chain) does not have {', '.join(missing)}"))
    return problems


def without_certificate(found: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    """Domains that a certificate is not for."""
    names = found["names"]
    return [
        name for name in spec["domains"] if name not in names and f"*.{name.partition('.')[2]}" not in names
    ]


def process_problems(groups: list[dict[str, Any]], live: str) -> list[dict[str, str]]:
    problems = []
    for group in groups:
        name = group["name"]
        if group["declared"] is None:
            problems.append(warning(f"{name} is among its processes, but not declared"))
        elif name == "web":
            problems += slot_problems(group)
        elif group["running"] < group["declared"]:
            problems.append(failure(f"{name}: {group['running']} of {group['declared']} run{why(group)}"))
        elif group["running"] > group["declared"]:
            problems.append(warning(f"{name}: {group['running']} run, and {group['declared']} are declared"))
        stale = sorted({one["release"] for one in group["instances"]} - {"", live})
        if stale:
            problems.append(
                failure(f"{name} runs {', '.join(stale)}, which is not the live release; deploy again")
            )
    return problems


def restarts(groups: list[dict[str, Any]], live: int, uptime: int) -> list[dict[str, str]]:
    """Workers that have only just been started, long after their release went live."""
    young = {
        group["name"]: one["seconds"]
        for group in groups
        for one in group["instances"]
        if group["name"] != "web" and group["declared"] and one["seconds"] is not None
        if one["seconds"] < RESTARTED and min(live, uptime) > 10 * RESTARTED
    }
    return [
        warning(
            f"{name}: was started {ago(seconds)} ago, and its release is live for {ago(live)}: its log says whether "
            "it keeps ending"
        )
        for name, seconds in young.items()
    ]


def slot_problems(web: dict[str, Any]) -> list[dict[str, str]]:
    """One slot serves and the other sleeps, so that the socket stays open; else something is wrong."""
    if web["running"] == 0:
        return [failure(f"web: no slot serves{why(web)}")]
    if web["running"] > 1:
        return [failure("web: both slots serve; a deploy was cut off, deploy again")]
    if any(one["state"] != "running" for one in web["instances"]):
        return [warning(f"web: the slot that should sleep does not run{why(web)}")]
    return []


def why(group: dict[str, Any]) -> str:
    """What is known of the processes that do not run."""
    reasons = [
        ": ".join(filter(None, [one["state"], one["detail"]]))
        for one in group["instances"]
        if one["state"] != "running"
    ]
    if group["name"] != "web" and any(
        one["state"] == "running" and not one["release"] and (one["seconds"] or 0) >= RESTARTED
        for one in group["instances"]
    ):
        reasons.append("the live release does not have it yet; deploy again")
    return f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""


def schedule_problems(schedule: Mapping[str, Any]) -> list[dict[str, str]]:
    name = schedule["name"]
    problems = []
    if not schedule["calendar"]:
        problems.append(warning(f"{name} is among its schedules, but not declared"))
    elif not schedule["active"]:
        problems.append(warning(f"{name}: its timer is not active"))
    if schedule["result"] not in ("", "success", "running"):
        when = f" ({at(schedule['ended'])})" if schedule["ended"] else ""
        problems.append(warning(f"{name}: the last run ended with {outcome(schedule)}{when}"))
    return problems


# Words that the renderings share


def outcome(schedule: Mapping[str, Any]) -> str:
    """How the last run of a schedule ended."""
    if schedule["result"] == "exit-code":
        return f"exit status {schedule['status']}"
    if schedule["result"] in ("signal", "core-dump"):
        return f"signal {schedule['status']}"
    return str(schedule["result"] or "unknown")


def at(moment: int) -> str:
    """A time as it stands in a sentence."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def brief(text: str) -> str:
    """What went wrong in one line: the first, and the last where the first only announces it."""
    lines = text.strip().splitlines() or [""]
    return f"{lines[0]} {lines[-1].strip()}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]


def short(revision: str) -> str:
    """A commit or a digest as one says it; other revisions as they are."""
    text = revision.removeprefix("sha256:")
    return text[:9] if len(text) >= 40 and all(digit in "0123456789abcdef" for digit in text) else text


def size(count: float | None) -> str:
    """Bytes in the unit that reads best."""
    if count is None:
        return "-"
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB" if count < 1024 else f"{count / 1024:.1f} TiB"


def ago(seconds: int | None) -> str:
    """A span of time in its two largest units."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{max(0, seconds)} s"
    units = (("d", 86400), ("h", 3600), ("min", 60))
    for index, (unit, length) in enumerate(units):
        if seconds >= length:
            parts = [f"{seconds // length} {unit}"]
            if index + 1 < len(units) and seconds < 100 * length:
                smaller, rest = units[index + 1][0], seconds % length // units[index + 1][1]
                if rest:
                    parts.append(f"{rest} {smaller}")
            return " ".join(parts)
    return "-"


def summary(document: Document) -> str:
    """The verdict in one sentence."""
    apps = document["apps"]
    failed = [problem for problem in document["problems"] if problem["level"] == "failure"]
    warned = len(document["problems"]) - len(failed)
    unwell = [name for name, app in apps.items() if app["level"] == "failure"]
    count = f"{len(apps)} app" if len(apps) == 1 else f"{len(apps)} apps"
    if unwell:
        verdict = f"{len(unwell)} of {count} {'is' if len(unwell) == 1 else 'are'} unhealthy"
    elif failed:
        verdict = f"{count} healthy, but not all hosts"
    elif not apps:
        verdict = "no app was looked at"
    else:
        verdict = "the app is healthy" if len(apps) == 1 else f"{count} are healthy"
    if warned:
        verdict += f", {warned} warning{'' if warned == 1 else 's'}"
    return verdict
