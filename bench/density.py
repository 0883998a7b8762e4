# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Many apps on one server: the memory that each takes while it is idle, and the time that each adds to a run.

    bench/run density                                     measure and print
    bench/run density --write docs/benchmarks.md          and write the figures into that page
    bench/run density --only memory                       or only the part that a busy machine does not disturb

The server has room to build releases beside many apps, as swap would give; what counts is the memory that all of its
processes take once the apps are idle. Every app has its own code, database and environment.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bench.measure import ROOT, Server, Site, call, median, write_figures

MEMORY = 1024  # MiB that all of it is to fit into
BUILDING = 1800  # MiB that the server has, so that it is set up like a small one
COUNTS = (1, 5, 10, 14)
NAIVE = {"workers": 3, "threads": 1, "gunicorn": {"worker_class": "sync"}}
RUNS = 3

# MiB of proportional set size of every process, by whom it serves. What logs in to ask does not count.
LOOK = r"""
import collections, glob, json, os, pwd, re
mine, pid = set(), os.getpid()
while pid > 1:
    mine.add(pid)
    pid = int(re.search(r"PPid:\s+(\d+)", open(f"/proc/{pid}/status").read())[1])
found = collections.Counter()
for folder in glob.glob("/proc/[0-9]*"):
    try:
        size = re.search(r"^Pss:\s+(\d+)", open(f"{folder}/smaps_rollup").read(), re.M)
        words = open(f"{folder}/cmdline").read().replace("\0", " ")
        user, name = pwd.getpwuid(os.stat(folder).st_uid).pw_name, open(f"{folder}/comm").read().strip()
    except (OSError, TypeError, KeyError):
        continue
    if size and int(folder[6:]) not in mine:
        backend = re.match(r"postgres: (?:\S+: )?(\w+) \w+ \[local\]", words)
        who = backend[1] if backend else {"www-data": "nginx"}.get(user, user)
        if who == "root":
            who = {"supervisord": "supervisord", "nginx": "nginx"}.get(name, "system")
        found[who] += int(size[1]) / 1024
print(json.dumps(found))
"""


class Fleet(Site):
    """Copies of the photo album on one server."""

    def __init__(self, server: Server, folder: Path) -> None:
        super().__init__(server, folder)
        self.apps: dict[str, dict[str, object]] = {}

    def grow(self, count: int) -> None:
        for number in range(len(self.apps) + 1, count + 1):
            self.add(f"app{number:02}")
        self.write()

    def add(self, name: str, **fields: object) -> None:
        source = self.folder / name
        shutil.copytree(ROOT / "examples" / "memories", source, ignore=shutil.ignore_patterns("__pycache__"))
        self.apps[name] = {
            "domains": [f"{name}.example"],
            "source": {"path": str(source)},
            "health": "/health/",
            **fields,
        }

    def write(self) -> None:
        values = {"homeport_secret": "b" * 64, "homeport_setup": "typical", "django_apps": self.apps}
        (self.inventory / "group_vars" / "all" / "apps.yml").write_text(json.dumps(values))

    def visit(self) -> None:
        """One request to each app, so that it has loaded what it needs and has its connection."""
        for name in self.apps:
            self.server.ssh(
                f'python3 -c \'import urllib.request as r; r.urlopen(r.Request("http://127.0.0.1/health/", '
                f'headers={{"Host": "{name}.example"}}), timeout=30)\''
            )

    def memory(self) -> dict[str, float]:
        """MiB by whom they serve, once all are idle."""
        self.visit()
        self.server.ssh("sleep 8")
        done: dict[str, float] = json.loads(self.server.out(f"python3 - <<'END'\n{LOOK}\nEND"))
        return done

    def built(self, name: str) -> float:
        """Seconds that the steps of a release took which its app alone answers for."""
        record = json.loads(self.server.out(f"cat /srv/{name}/current/release.json"))
        return float(sum(record["seconds"].values()))


def load() -> float:
    """What else the machine does."""
    return round(os.getloadavg()[0], 1)


def memory(fleet: Fleet) -> dict[str, Any]:
    """Idle servers with more and more apps, and what one naive app would take there."""
    sums = {}
    for count in COUNTS:
        fleet.grow(count)
        fleet.play("typical")
        found = fleet.memory()
        print(json.dumps({count: {who: round(mib) for who, mib in sorted(found.items())}}), flush=True)
        sums[count] = sum(found.values())
    first, last = COUNTS[0], COUNTS[-1]
    each = (sums[last] - sums[first]) / (last - first)
    base = sums[last] - last * each
    name, app = fleet.apps.popitem()
    fleet.apps = {name: {**app, "web": NAIVE}}  # the others stop: there may be no room beside them
    fleet.write()
    fleet.play("typical")
    naive = fleet.memory()[name]
    return {
        "sums": {count: round(total) for count, total in sums.items()},
        "base": round(base),
        "each": round(each),
        "fit": int((MEMORY - base) / each),
        "naive each": round(naive),
        "naive fit": int((MEMORY - base) / naive),
    }


def seconds(fleet: Fleet) -> float:
    """A run that changes nothing."""
    found = []
    for _ in range(RUNS):
        took, changed = fleet.play("typical")
        if changed:
            raise SystemExit(f"{changed} tasks changed something where there is nothing to change")
        found.append(took)
    return round(median(found), 1)


def speed(fleet: Fleet) -> dict[str, Any]:
    """Runs over one app and over ten, and what the eleventh adds."""
    result: dict[str, Any] = {"load": load()}
    fleet.grow(1)
    fleet.play("typical")
    result["one"] = seconds(fleet)
    fleet.grow(10)
    fleet.play("typical")
    result["ten"] = seconds(fleet)
    before = fleet.server.out("pgrep -x gunicorn | sort").split()
    fleet.grow(11)
    result["eleventh"] = round(fleet.play("typical")[0], 1)
    after = fleet.server.out("pgrep -x gunicorn | sort").split()
    result["its build"] = round(fleet.built("app11"), 1)
    result["restarted"] = len(set(before) - set(after))
    result["load"] = max(result["load"], load())
    return result


def measure(image: str, only: str) -> dict[str, Any]:
    result: dict[str, Any] = {"image": image}
    for part, work in (("memory", memory), ("speed", speed)):
        if only not in ("", part):
            continue
        with tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder:
            server = Server(f"density-{part}", image)
            try:
                limit = f"{BUILDING}m"
                call("docker", "update", "--memory", limit, "--memory-swap", limit, server.name)
                result[part] = work(Fleet(server, Path(folder)))
            finally:
                server.down()
    return result


def table(result: dict[str, Any]) -> str:
    lines = ["| what | here |", "|---|---|"]
    found = result.get("memory")
    if found:
        for count, total in found["sums"].items():
            apps = f"{count} idle app{'s' if int(count) > 1 else ''}"
            lines.append(f"| {apps}, PostgreSQL, nginx, supervisord and the system | {total} MiB |")
        lines += [
            f"| each further app | {found['each']} MiB; naive, with 3 sync workers: {found['naive each']} MiB |",
            f"| apps that fit in 1 GiB | {found['fit']}; naive: {found['naive fit']} |",
        ]
    found = result.get("speed")
    if found:
        ratio = found["ten"] / found["one"]
        lines += [
            f"| run that changes nothing, with 1 app | {found['one']} s |",
            f"| run that changes nothing, with 10 apps | {found['ten']} s, {ratio:.2f} times that of one |",
            f"| run that adds the eleventh app | {found['eleventh']} s, of which its build takes "
            f"{found['its build']} s; {found['restarted']} processes of the others restarted |",
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default=os.environ.get("IMAGE") or "debian:13")
    parser.add_argument("--only", choices=["memory", "speed"], default="", help="one part")
    parser.add_argument("--write", type=Path, help="page that the table is written into")
    options = parser.parse_args()
    result = measure(options.image, options.only)
    text = table(result)
    print(json.dumps(result, indent=1))
    print(text)
    if options.write:
        how = f"bench/run density` on {options.image}"
        if "speed" in result:
            how += f" at a load of {result['speed']['load']}"
        write_figures(options.write, "density", how, text)


if __name__ == "__main__":
    main()
