# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Restarts and kills the workers of task queues under load, and counts what is lost, done twice, or left behind.

    make bench-workers                           all queues
    bench/run workers --only django-q2-orm --restarts 100

A restart is a change of the live release and back (`rollback.yml`), as a deploy does it; with --quick it is one of
supervisord's, in a third of the time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.measure import HOSTS, ROOT, Server, call

RUN = "runuser -u queues -- /usr/local/lib/homeport/run"
# How each queue is worked off, with the settings that docs/workers.md recommends.
QUEUES: dict[str, dict[str, Any]] = {
    "django-q2-orm": {"queue": "django-q2", "command": "manage.py qcluster", "env": {"Q_BROKER": "orm"}},
    "django-q2-redis": {"queue": "django-q2", "command": "manage.py qcluster", "env": {"Q_BROKER": "redis"}},
    "celery": {"queue": "celery", "command": "celery -A queues.worker worker -c 2 -l warning"},
    "celery-late": {
        "queue": "celery",
        "command": "celery -A queues.worker worker -c 2 -l warning",
        "env": {"CELERY_ACKS": "late"},
    },
    "huey": {"queue": "huey", "command": "huey_consumer queues.worker.huey -w 2", "stop_signal": "INT"},
    "huey-term": {"queue": "huey", "command": "huey_consumer queues.worker.huey -w 2"},
    "rq": {"queue": "rq", "command": "manage.py rq", "rate": 5},
}
# Prints every process of the app, as JSON, and the live release.
PROCESSES = """python3 -c '
import json, os, pathlib
found = []
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        if folder.owner() != "queues":
            continue
        environ = (folder / "environ").read_text().split("\\0")
        words = (folder / "cmdline").read_text().replace("\\0", " ")
        parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        continue
    release = [pair.partition("=")[2] for pair in environ if pair.startswith("HOMEPORT_RELEASE=")]
    found.append({"words": words, "parent": parent, "release": release[0] if release else ""})
print(json.dumps({"live": os.path.basename(os.path.realpath("/srv/queues/current")), "processes": found}))
'"""
MANAGE = f"{RUN} $(readlink -e /srv/queues/current) manage.py"
STOP_PRODUCER = "pkill -TERM -u queues -f 'manage[.]py produce'"
PRODUCED = "while pgrep -u queues -f 'manage[.]py produce' >/dev/null; do sleep 0.1; done; cat /tmp/produced"


def produce(queue: str, rate: float, *words: str) -> str:
    """The command that starts a producer, of the release that is live now."""
    return f"{MANAGE} produce {queue} --rate {rate} {' '.join(words)} >/tmp/produced 2>/dev/null </dev/null &"


def wrong(seen: str) -> list[str]:
    """Of what PROCESSES printed: those without a parent, and those that do not run the live release."""
    found = json.loads(seen)
    return [
        f"{process['words']} of {process['release'] or 'no release'}, parent {process['parent']}"
        for process in found["processes"]
        if "manage.py produce" not in process["words"]
        and (process["parent"] == 1 or process["release"] not in (found["live"], ""))
    ]


class Bench:
    """The project bench/queues on one server."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.inventory = folder / "inventory"
        (self.inventory / "group_vars" / "all").mkdir(parents=True)
        self.source = folder / "queues"
        shutil.copytree(ROOT / "bench" / "queues", self.source, ignore=shutil.ignore_patterns("__pycache__"))
        host = "\n".join(f"      {line}" for line in call(str(HOSTS), "vars", server.name).splitlines())
        groups = f"app_servers:\n  hosts:\n    bench1:\n{host}\ndatabase_servers:\n  hosts:\n    bench1:\n"
        (self.inventory / "hosts.yml").write_text(groups)

    def play(self, playbook: str, *options: str) -> float:
        started = time.monotonic()
        call("ansible-playbook", f"playbooks/{playbook}.yml", "-i", str(self.inventory), *options)
        return time.monotonic() - started

    def deploy(self, spec: dict[str, Any], playbook: str = "deploy", **env: str) -> None:
        process = {
            "command": spec["command"],
            "stop_signal": spec.get("stop_signal", "TERM"),
            "stop_timeout": 30,
        }
        app = {
            "domains": ["queues.example"],
            "source": {"path": str(self.source)},
            "static": "none",
            "media": "none",
            "web": {"workers": 1, "threads": 1},
            "system_packages": ["redis-server"],
            "broker": {"url": "redis://127.0.0.1:6379/0"},
            "env": {**spec.get("env", {}), **env},
            "processes": {"queue": process},
        }
        values = {"homeport_secret": "b" * 64, "homeport_setup": "typical", "django_apps": {"queues": app}}
        (self.inventory / "group_vars" / "all" / "apps.yml").write_text(json.dumps(values))
        self.play(playbook)

    def ssh(self, command: str) -> str:
        return call(str(HOSTS), "ssh", self.server.name, command)

    def tally(self, *words: str) -> dict[str, int]:
        return dict(json.loads(self.ssh(f"{MANAGE} tally {' '.join(words)} 2>/dev/null")))

    def produced(self) -> int:
        """How many tasks the producer has handed in, when it has ended."""
        return int(self.ssh(PRODUCED))

    def wrong(self) -> list[str]:
        return wrong(self.ssh(PROCESSES))

    def settle(self, submitted: int, timeout: float) -> dict[str, int]:
        """Waits until all was done, or nothing more was for so long."""
        last, since = -1, time.monotonic()
        while True:
            tally = self.tally()
            if tally["done"] != last:
                last, since = tally["done"], time.monotonic()
            if last >= submitted or time.monotonic() - since > timeout:
                return {"submitted": submitted, "lost": submitted - last, "twice": tally["twice"]}
            time.sleep(1)


def restarts(bench: Bench, spec: dict[str, Any], count: int, timeout: float, quick: bool) -> dict[str, Any]:
    bench.tally("--forget")
    bench.ssh(produce(spec["queue"], spec.get("rate", 25), "--seconds", "0.05"))
    seconds, bad = [], []
    for _ in range(count):
        if quick:
            time.sleep(2)
            started = time.monotonic()
            bench.ssh("supervisorctl restart queues.queue:0")
            seconds.append(time.monotonic() - started)
        else:
            seconds.append(bench.play("rollback", "-e", "app=queues"))
        bad += bench.wrong()
    bench.ssh(STOP_PRODUCER)
    result: dict[str, Any] = {"times": count, **bench.settle(bench.produced(), timeout)}
    return {**result, "wrong": bad, "slowest": round(max(seconds), 1)}


def kills(bench: Bench, spec: dict[str, Any], count: int, timeout: float) -> dict[str, Any]:
    """kill -9 of the command, which is also what happens after stop_timeout; the launcher kills the rest."""
    bench.tally("--forget")
    bench.ssh(produce(spec["queue"], spec.get("rate", 25), "--seconds", "0.05"))
    bad = []
    for _ in range(count):
        time.sleep(5)
        bench.ssh("kill -KILL $(pgrep -P $(supervisorctl pid queues.queue:0))")
        time.sleep(1)
        bad += bench.wrong()
    bench.ssh(STOP_PRODUCER)
    return {"times": count, **bench.settle(bench.produced(), timeout), "wrong": bad}


def backlogs(bench: Bench, spec: dict[str, Any], count: int, timeout: float) -> dict[str, Any]:
    """Stops while the workers drain a backlog of tasks that take no time: seconds each, 30 being the bound."""
    bench.tally("--forget")
    seconds, submitted = [], 0
    bench.ssh("supervisorctl stop queues.queue:0")
    for number in range(count):
        bench.ssh(produce(spec["queue"], 5000, "--count", "4000", "--first", str(number * 4000)))
        submitted += bench.produced()
        bench.ssh("supervisorctl start queues.queue:0")
        time.sleep(2 + number % 5 / 2)
        started = time.monotonic()
        bench.ssh("supervisorctl stop queues.queue:0")
        seconds.append(round(time.monotonic() - started, 1))
    bench.ssh("supervisorctl start queues.queue:0")
    hung = sum(taken > 29 for taken in seconds)
    return {"times": count, "hung": hung, "seconds": seconds, **bench.settle(submitted, timeout)}


def measure(bench: Bench, name: str, options: argparse.Namespace) -> dict[str, Any]:
    spec = QUEUES[name]
    first = {**spec, "env": {"Q_RECYCLE": "0", **spec.get("env", {})}}
    bench.deploy(first, "typical", GENERATION="1")
    bench.deploy(first, GENERATION="2")
    time.sleep(5)
    result: dict[str, Any] = {"queue": name}
    result["restart"] = restarts(bench, spec, options.restarts, options.timeout, options.quick)
    print(json.dumps(result), file=sys.stderr, flush=True)
    result["kill"] = kills(bench, spec, options.kills, options.timeout)
    print(json.dumps(result), file=sys.stderr, flush=True)
    if spec["queue"] == "django-q2" and options.backlogs:
        for recycle in ("0", "500"):
            bench.deploy({**spec, "env": {**spec["env"], "Q_RECYCLE": recycle}}, GENERATION="3")
            time.sleep(3)
            result[f"backlog, recycle {recycle}"] = backlogs(bench, spec, options.backlogs, options.timeout)
    return result


COLUMNS = ("tasks", "times", "lost", "done twice", "left behind")


def table(results: list[dict[str, Any]], what: str) -> str:
    lines = [f"| {what} | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for result in results:
        found = result[what]
        values = [result["queue"], found["submitted"], found["times"], found["lost"], found["twice"]]
        lines.append(f"| {' | '.join(str(value) for value in [*values, len(found['wrong'])])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default=os.environ.get("IMAGE") or "debian:13")
    parser.add_argument("--only", choices=QUEUES, action="append", help="this queue; may be said again")
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument(
        "--quick", action="store_true", help="restart by supervisord, not by a change of releases"
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--backlogs", type=int, default=20, help="stops of django-q2 under a backlog")
    parser.add_argument(
        "--timeout", type=float, default=75, help="seconds without progress, after which a task is lost"
    )
    options = parser.parse_args()
    results = []
    server = Server("workers", options.image)
    try:
        with tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder:
            bench = Bench(server, Path(folder))
            for name in options.only or QUEUES:
                results.append(measure(bench, name, options))
                print(json.dumps(results[-1]), flush=True)
    finally:
        server.down()
    for what in ("restart", "kill"):
        print(table(results, what))


if __name__ == "__main__":
    main()
