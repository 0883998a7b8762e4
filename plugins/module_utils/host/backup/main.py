# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the timers of a host start: ``backup`` and ``drill``, what the role runs when the password has changed:
``password``, and for root there ``list``."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import BACKUP
from ansible_collections.homeport.django.plugins.module_utils.common.plain import plain
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import read_all
from ansible_collections.homeport.django.plugins.module_utils.host.backup import keys as backup_keys
from ansible_collections.homeport.django.plugins.module_utils.host.backup import state as backup_state
from ansible_collections.homeport.django.plugins.module_utils.host.backup.drill import drill
from ansible_collections.homeport.django.plugins.module_utils.host.backup.fetch import line_of
from ansible_collections.homeport.django.plugins.module_utils.host.backup.leftovers import sweep
from ansible_collections.homeport.django.plugins.module_utils.host.backup.store import Store
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import App, clear, take
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError

SHORTEST, LONGEST = 3600, 12 * 3600  # seconds that a backup or drill of one app may take at most
CLEARING = 60  # seconds in which one that has to end removes what it has left
PARTS = 30  # of the repository, of which each night reads one


def configured(folder: str = BACKUP) -> dict[str, Any]:
    try:
        with open(f"{folder}/config.json", encoding="utf-8") as stream:
            found: dict[str, Any] = json.load(stream)
    except FileNotFoundError:
        raise DeployError(
            "This host has no backups: set backup_repository, and run the setup playbook first"
        ) from None
    return found


@contextlib.contextmanager
def alone(timeout: float = 3 * 3600) -> Iterator[None]:
    """One backup, drill or restore at a time."""
    with open(f"{backup_state.STATE}/lock", "w", encoding="utf-8") as stream:
        until = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise DeployError(
                        "Another backup, drill or restore is still running on this host"
                    ) from None
                time.sleep(1)
        yield


def apart(work: Callable[[], dict[str, Any]], seconds: float) -> dict[str, Any]:
    """What ``work`` returns, done in a process of its own, which ends with the commands that it has started.

    What root reads of an app may be made longer while it is read, and never come to its end.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        report(work, writing)
    os.close(writing)
    try:
        text = read_all(reading, time.monotonic() + seconds)
        if text is None:
            os.kill(child, signal.SIGTERM)
            read_all(reading, time.monotonic() + CLEARING)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if text is None:
        raise DeployError(f"Did not end within {seconds / 3600:.1f} h")
    found: dict[str, Any] = json.loads(text or b'{"error": "The process was ended"}')
    if "error" in found:
        raise DeployError(str(found["error"]))
    return found


def report(work: Callable[[], dict[str, Any]], writing: int) -> None:
    """The child's part of ``apart``; it never returns."""

    def stop(_number: int, _frame: object) -> None:
        raise DeployError("Did not end")

    try:
        os.setsid()
        signal.signal(signal.SIGTERM, stop)
        answer = work()
    except BaseException as error:
        text = str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        answer = {"error": text or "it failed"}
    try:
        with os.fdopen(writing, "wb") as stream:
            stream.write(json.dumps(answer).encode())
    finally:
        os._exit(0)


def bound(app: str, kind: str) -> float:
    """Seconds that an app may take: four times as long as last time, however that ended."""
    last = (backup_state.read(app).get(kind) or {}).get("last") or {}
    return min(LONGEST, max(SHORTEST, 4 * last.get("seconds", LONGEST)))


def quickest(apps: list[App], kind: str) -> list[App]:
    """What took long last time comes last, and keeps nobody waiting."""

    def took(app: App) -> float:
        last = (backup_state.read(app.name).get(kind) or {}).get("last") or {}
        return float(last.get("seconds", 0))

    return sorted(apps, key=took)


def attempted(name: str, kind: str, work: Callable[[], dict[str, Any]]) -> bool:
    """Does it, and writes down what came of it, whatever that is."""
    started = time.monotonic()
    try:
        outcome = {"ok": True, "message": "", **work()}
    except Exception as error:  # whatever an app brings about concerns no other app
        text = str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        outcome = {"ok": False, "message": plain(text), "seconds": round(time.monotonic() - started, 2)}
    backup_state.write(name, kind, outcome)
    if outcome["ok"]:
        print(f"{kind} of {name}: {outcome['seconds']} s, {summed(outcome)}", flush=True)
    else:
        print(f"{kind} of {name} FAILED: {outcome['message']}", file=sys.stderr, flush=True)
    return bool(outcome["ok"])


def summed(outcome: dict[str, Any]) -> str:
    parts = [f"{outcome[key]} {key}" for key in ("tables", "rows", "files", "bytes") if key in outcome]
    return ", ".join(parts) or "good"


def back_up(apps: list[App], store: Store) -> bool:
    """Every app for itself, then the repository; whether all of it went well."""

    def one(app: App) -> dict[str, Any]:
        try:
            result = take(app, store, "scheduled")
        finally:
            clear(app)
        store.forget(app.name)
        return result

    def whole() -> dict[str, Any]:
        started = time.monotonic()
        store.prune()
        store.check(f"{int(time.time() // 86400) % PARTS + 1}/{PARTS}")
        return {"seconds": round(time.monotonic() - started, 2)}

    try:
        store.open(create=True)
    except DeployError as error:
        return refused(apps, "backup", error)

    def guarded(app: App) -> dict[str, Any]:
        return apart(lambda: one(app), bound(app.name, "backup"))

    good = [
        attempted(app.name, "backup", lambda app=app: guarded(app))  # type: ignore[misc]
        for app in quickest(apps, "backup")
    ]
    return all([*good, attempted(backup_state.ALL, "backup", whole)])


def rehearse(apps: list[App], store: Store, percent: int) -> bool:
    try:
        store.open(create=False)
    except DeployError as error:
        return refused(apps, "drill", error)

    def whole() -> dict[str, Any]:
        started = time.monotonic()
        store.check(f"{percent}%")
        return {"seconds": round(time.monotonic() - started, 2)}

    def guarded(app: App) -> dict[str, Any]:
        return apart(lambda: drill(app, store), bound(app.name, "drill"))

    good = [
        attempted(app.name, "drill", lambda app=app: guarded(app))  # type: ignore[misc]
        for app in quickest(apps, "drill")
    ]
    return all([*good, attempted(backup_state.ALL, "drill", whole)])


def cleared(apps: list[App]) -> bool:
    try:
        sweep(apps)
    except (DeployError, OSError) as error:  # which keeps no backup from being made
        print(f"What an interrupted run has left was not removed: {error}", file=sys.stderr, flush=True)
        return False
    return True


def refused(apps: list[App], kind: str, error: DeployError) -> bool:
    def fail() -> dict[str, Any]:
        raise error

    for app in apps:
        attempted(app.name, kind, fail)
    return False


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="homeport-backup", description=__doc__)
    parser.add_argument("verb", choices=["backup", "drill", "list", "password"])
    parser.add_argument("app", nargs="*", help="one of the host's apps; all of them where none is named")
    asked = parser.parse_args(argv)
    os.umask(0o077)
    try:
        config = configured()
        known = {spec["name"]: spec for spec in config["apps"]}
        unknown = [name for name in asked.app if name not in known]
        if unknown:
            raise DeployError(
                f"There is no app {', '.join(unknown)} on this host; there are {', '.join(known) or 'none'}"
            )
        apps = [App(known[name]) for name in asked.app or known]
        store = Store(config, gently=True)
        if asked.verb == "list":
            for app in apps:
                print(
                    "".join(f"{app.name}  {line_of(found)}\n" for found in store.snapshots(app.name)), end=""
                )
            return 0
        if asked.verb == "password":
            with alone(60):
                backup_keys.renew(store)
            return 0
        with alone():
            swept = cleared([App(spec) for spec in known.values()])
            percent = config["drill_percent"]
            good = back_up(apps, store) if asked.verb == "backup" else rehearse(apps, store, percent)
            return 0 if good and swept else 1
    except DeployError as error:
        print(error, file=sys.stderr)
        return 1
