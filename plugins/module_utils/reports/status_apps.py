# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The checks of status of an app on a host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.parts import FIREWALL
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import (
    ago,
    at,
    brief,
    epoch,
    outcome,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import Problem, failure, warning
from ansible_collections.homeport.django.plugins.module_utils.reports.status_hosts import there

UNWANTED = ("failed", "held", "rolled back")  # outcomes of a deploy
RESTARTED = 15  # seconds for which a process that keeps ending runs at most
KEEPS_ENDING = 2  # times by itself within five minutes
RESTORE = "a restore"  # what its lock says of it
LONG_DEPLOY = 3600  # seconds after which a deploy that still runs is worth a look


def without_dead_lock(found: Mapping[str, Any], booted: int) -> Mapping[str, Any]:
    """A deploy that was running when the host went down runs no more."""
    lock = found["lock"]
    since = epoch(lock["since"]) if lock else None
    return {**found, "lock": None, "interrupted": lock} if since is not None and since < booted else found


def service_problems(services: Mapping[str, dict[str, Any] | None]) -> list[Problem]:
    """Caches and brokers that are known not to run."""
    return [
        failure(f"its {service} does not run: {found['unit']} on {found['host']} is {there(found['state'])}")
        for service, found in services.items()
        if found and found["state"] not in (None, "active")
    ]


def state(found: Mapping[str, Any], spec: dict[str, Any] | None, level: str) -> str:
    """One word for how the app is."""
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


@dataclass(frozen=True)
class Seen:
    """An app that is declared, as its host has reported it."""

    found: Mapping[str, Any]
    spec: Mapping[str, Any]
    status: Mapping[str, Any]  # of the host

    @property
    def now(self) -> int:
        return int(self.status["time"])


def app_problems(
    found: Mapping[str, Any], spec: Mapping[str, Any] | None, status: Mapping[str, Any]
) -> list[Problem]:
    if not spec:
        return [warning(found.get("undeclared") or "is on this host, but django_apps does not put it here")]
    seen = Seen(found, spec, status)
    return [problem for check in CHECKS for problem in check(seen)]


def deployed(seen: Seen) -> list[Problem]:
    if seen.found["release"] or seen.found["lock"]:
        return []
    return [failure("has not been deployed yet")]


def health(seen: Seen) -> list[Problem]:
    answer = seen.found["health"]
    return [failure(f"{answer['path']} {answer['error']}")] if answer and not answer["ok"] else []


def visitors(seen: Seen) -> list[Problem]:
    front = seen.status["services"].get("nginx", "not installed")
    if seen.found["release"] and seen.spec["proxied"] and front != "active":
        return [failure(f"visitors do not reach it: nginx is {front}")]
    if FIREWALL in seen.status["differing"].get(seen.spec["name"], {}):
        return [
            failure("visitors do not reach it: its port is not open in the firewall; run the setup playbook")
        ]
    return [failure(seen.found["visit"])] if seen.found["visit"] else []


def interpreter(seen: Seen) -> list[Problem]:
    """The Python that the live release was built for is still the host's."""
    release, own = seen.found["release"], seen.status["host"]["python"]
    if not release:
        return []
    do = "run the setup playbook, which builds a new release"
    if release["interpreter_missing"]:
        text = f"the Python of its release is missing ({release['interpreter']}): it cannot start again; {do}"
        return [failure(text)]
    replaced = release["interpreter"] not in ("", own) and not seen.spec["python"]
    if release["interpreter_orphaned"] or replaced:
        return [warning(f"its release is built for {release['interpreter']}, the host has {own}; {do}")]
    return []


def processes(seen: Seen) -> list[Problem]:
    release, lock, groups = seen.found["release"], seen.found["lock"], seen.found["processes"] or []
    if not release:
        return []
    problems = process_problems(groups, release["id"])
    if lock:  # while a deploy runs, processes on two releases are to be expected
        return [{**problem, "level": "warning"} for problem in problems]
    live = seen.now - (release["since"] or seen.now)
    return problems + restarts(groups, live, seen.status["host"]["uptime"])


def schedules(seen: Seen) -> list[Problem]:
    if not seen.found["release"]:
        return []
    return [problem for schedule in seen.found["schedules"] for problem in schedule_problems(schedule)]


def certificate(seen: Seen) -> list[Problem]:
    return certificate_problems(seen.found.get("certificate"), seen.spec, seen.now)


def interrupted_deploy(seen: Seen) -> list[Problem]:
    lock = seen.found.get("interrupted")
    if not lock:
        return []
    who = lock["holder"] or "somebody"
    if lock["doing"] == RESTORE:
        return [warning(f"the host was restarted during {RESTORE} by {who}; run it again")]
    return [warning(f"the host was restarted during a deploy by {who}; deploy again")]


def served_certificate(seen: Seen) -> list[Problem]:
    """What an audit finds out by itself, from outside."""
    found = seen.found.get("certificate")
    if not found or found["until"] is None:
        return []
    problems = []
    if not found["served"]:
        problems.append(failure("nginx serves another certificate than the one that the host has for it"))
    missing = without_certificate(found, seen.spec)
    if missing and seen.spec["certificate"] == "own":
        problems.append(failure(f"its own certificate (tls.chain) is not valid for {', '.join(missing)}"))
    return problems


def last_deploy(seen: Seen) -> list[Problem]:
    lock, deploys = seen.found["lock"], seen.found["deploys"]
    if lock:
        since = epoch(lock["since"])
        if since is None or seen.now - since <= LONG_DEPLOY:
            return []
        who = lock["holder"] or "somebody"
        return [warning(f"a deploy by {who} has been running for {ago(seen.now - since)}")]
    if not deploys or deploys[0]["outcome"] not in UNWANTED:
        return []
    last = deploys[0]
    message = f": {brief(last['message'])}" if last["message"] else ""
    when = f"{last['time']}, {last['by']}"
    return [warning(f"the last {last['verb'] or 'deploy'} ({when}): {last['outcome']}{message}")]


def maintenance(seen: Seen) -> list[Problem]:
    since = seen.found["maintenance"]
    if since is None:
        return []
    command = seen.found.get("closed_by")
    age = ago(max(0, seen.now - since))
    if not command:
        return [warning(f"has been in maintenance mode for {age}")]
    text = f"visitors have got the maintenance page for {age}, until this ends: {command}"
    level = warning if (seen.found["lock"] or {}).get("doing") else failure  # a step of it runs
    return [level(f"{text}; unless it still runs, run it again")]


CHECKS: tuple[Callable[[Seen], list[Problem]], ...] = (
    deployed,
    health,
    visitors,
    interpreter,
    processes,
    schedules,
    certificate,
    interrupted_deploy,
    served_certificate,
    last_deploy,
    maintenance,
)


# Parts of the checks


def certificate_problems(found: Mapping[str, Any] | None, spec: Mapping[str, Any], now: int) -> list[Problem]:
    """Missing, untrusted, expired, or about to expire: in two weeks, or a sixth of its lifetime where that is less."""
    if not found:
        return []
    if found["until"] is None:
        return [failure("nginx has no certificate for it")]
    left = found["until"] - now
    if left < 0:
        return [failure(f"its certificate expired {ago(-left)} ago")]
    if found["self_signed"] and spec["certificate"] == "acme":
        return [
            failure("no authority has signed its certificate yet; run the setup playbook, which reports why")
        ]
    problems = []
    if left < min(14 * 86400, (found["until"] - found["from"]) // 6):
        problems.append(failure(f"its certificate expires in {ago(left)}"))
    missing = without_certificate(found, spec)
    if missing and spec["certificate"] == "acme":
        problems.append(warning(f"its certificate is not valid for {', '.join(missing)}"))
    return problems


def without_certificate(found: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    """Domains that a certificate is not for."""
    names = found["names"]
    return [
        name for name in spec["domains"] if name not in names and f"*.{name.partition('.')[2]}" not in names
    ]


def process_problems(groups: list[dict[str, Any]], live: str) -> list[Problem]:
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


def restarts(groups: list[dict[str, Any]], live: int, uptime: int) -> list[Problem]:
    """Workers that keep ending, or have only just been started long after their release went live."""
    problems = []
    for group in groups:
        name, instances = group["name"], group["instances"]
        if name == "web" or not group["declared"]:
            continue
        ended = max((one.get("ended", 0) for one in instances), default=0)
        seconds = min((one["seconds"] for one in instances if one["seconds"] is not None), default=RESTARTED)
        if ended >= KEEPS_ENDING:
            problems.append(
                failure(
                    f"{name}: has ended {ended} times in the last 5 min; its log shows why (-e process={name})"
                )
            )
        elif seconds < RESTARTED and min(live, uptime) > 10 * RESTARTED:
            problems.append(
                warning(
                    f"{name}: was started {ago(seconds)} ago, and its release is live for {ago(live)}: its log shows "
                    "whether it keeps ending"
                )
            )
    return problems


def slot_problems(web: dict[str, Any]) -> list[Problem]:
    """One slot serves and the other sleeps, so that the socket stays open; else something is wrong."""
    if web["running"] == 0:
        return [failure(f"web: no slot serves{why(web)}")]
    if web["running"] > 1:
        return [failure("web: both slots serve: a deploy was interrupted; deploy again")]
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


def schedule_problems(schedule: Mapping[str, Any]) -> list[Problem]:
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
