# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Measures what Homeport claims, on fresh servers, against a plain shell script in the same run.

    make bench                             measure and print
    bench/run --write docs/benchmarks.md   and write the figures into that page

Figures of one machine say little about another: the ratios are what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from bench.load import Load

ROOT = Path(__file__).parents[1]
HOSTS = ROOT / "testhosts" / "host.sh"
ENVIRONMENT = {**os.environ, "PURPOSE": "bench", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"}
DOMAIN = "bench.example"


def call(*words: str, **options: object) -> str:
    done = subprocess.run(
        [*words], cwd=ROOT, env=ENVIRONMENT, text=True, capture_output=True, check=False, **options
    )  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return str(done.stdout)


class Server:
    """A bare server in a container."""

    def __init__(self, name: str, image: str) -> None:
        self.name = f"homeport-bench-{name}"
        call(str(HOSTS), "down", self.name)
        call(str(HOSTS), "up", self.name, image)
        self.address = call(str(HOSTS), "ip", self.name).strip()
        self.ssh("rm -f /etc/dpkg/dpkg.cfg.d/test-host")  # a real server's packages are on its disk

    def out(self, command: str) -> str:
        """What a command prints."""
        return call(str(HOSTS), "ssh", self.name, command)

    def ssh(self, command: str, stdin: bytes | None = None) -> None:
        done = subprocess.run(
            [str(HOSTS), "ssh", self.name, command],
            cwd=ROOT,
            env=ENVIRONMENT,
            input=stdin,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(
                f"{command} failed on {self.name}:\n{done.stdout.decode()[-3000:]}{done.stderr.decode()[-3000:]}"
            )

    def down(self) -> None:
        call(str(HOSTS), "down", self.name)


class Site:
    """The photo album on one server, described as users describe theirs."""

    def __init__(self, server: Server, folder: Path, **fields: object) -> None:
        self.server = server
        self.folder = folder
        self.source = folder / "app"
        shutil.copytree(
            ROOT / "examples" / "memories", self.source, ignore=shutil.ignore_patterns("__pycache__")
        )
        inventory = folder / "inventory"
        (inventory / "group_vars" / "all").mkdir(parents=True)
        variables = call(str(HOSTS), "vars", server.name)
        host = "\n".join(f"      {line}" for line in variables.splitlines())
        groups = f"app_servers:\n  hosts:\n    bench1:\n{host}\ndatabase_servers:\n  hosts:\n    bench1:\n"
        (inventory / "hosts.yml").write_text(groups)
        app = {"domains": [DOMAIN], "source": {"path": str(self.source)}, "health": "/health/", **fields}
        values = {"homeport_secret": "b" * 64, "homeport_setup": "typical", "django_apps": {"memories": app}}
        (inventory / "group_vars" / "all" / "apps.yml").write_text(json.dumps(values))
        self.inventory = inventory

    def play(self, playbook: str, *options: str) -> tuple[float, int]:
        """Seconds of the whole process, and how many tasks changed something."""
        started = time.monotonic()
        # an operator's machine takes nothing from the server's
        words = (
            "nice",
            "-n",
            "10",
            "ansible-playbook",
            f"playbooks/{playbook}.yml",
            "-i",
            str(self.inventory),
        )
        out = call(*words, *options)
        seconds = time.monotonic() - started
        return seconds, sum(int(found) for found in re.findall(r"changed=(\d+)", out))

    def edit(self) -> None:
        with (self.source / "album" / "urls.py").open("a") as stream:
            stream.write(f"\n# {time.time()}\n")


def floor(server: Server) -> float:
    """Seconds that the plain shell script takes."""
    archive = subprocess.run(
        ["tar", "-C", str(ROOT / "examples" / "memories"), "-c", "--exclude=__pycache__", "."],
        capture_output=True,
        check=True,
    ).stdout
    started = time.monotonic()
    server.ssh("mkdir -p /opt/floor/app && tar -C /opt/floor/app -x --no-same-owner", archive)
    server.ssh("sh -s", (ROOT / "bench" / "floor.sh").read_bytes())
    return time.monotonic() - started


def under_load(server: Server, action: object, rate: float) -> dict[str, object]:
    """What a steady load sees while ``action`` runs."""
    load = Load(f"http://{server.address}/version/", DOMAIN, rate)
    thread = threading.Thread(target=lambda: asyncio.run(load.run(600)))
    thread.start()
    time.sleep(1)
    try:
        action()  # type: ignore[operator]
    finally:
        time.sleep(1)
        load.stopping.set()
        thread.join()
    return load.summary()


def throughput(address: str, domain: str, path: str, seconds: int = 6) -> float:
    """Requests a second that 16 connections get answered."""
    out = call("wrk", "-t1", "-c16", f"-d{seconds}s", "-H", f"Host: {domain}", f"http://{address}{path}")
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if wrong:
        raise SystemExit(f"{path} of {domain}: {wrong[0]}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    return float(found[1]) if found else 0.0


# kill -9 of each, and the seconds until the health page, which reads the database, answers again.
VICTIMS = {
    "gunicorn": "pkill -KILL -u memories -o gunicorn",
    "supervisord": "pkill -KILL -o supervisord",
    "nginx": "pkill -KILL -o nginx",
    "PostgreSQL": "pkill -KILL -u postgres -o postgres",
}


def recovery(server: Server, command: str) -> float:
    """Seconds from the kill until three answers in a row are good."""
    time.sleep(5)  # the one before has settled
    server.ssh(command)
    started = time.monotonic()
    good, first = 0, 0.0
    while good < 3:
        load = Load(f"http://{server.address}/health/", DOMAIN)
        asyncio.run(load.once())
        if load.outcomes["200"]:
            first = first or time.monotonic() - started
            good += 1
        else:
            good, first = 0, 0.0
        if time.monotonic() - started > 120:
            raise SystemExit(f"{server.name} does not serve again after {command}")
        time.sleep(0.05)
    return round(first, 1)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def measure(image: str, soak: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder:
        plain = Server("floor", image)
        mine = Server("typical", image)
        try:
            site = Site(mine, Path(folder))
            result: dict[str, object] = {
                "image": image,
                "cores": os.cpu_count(),
                "machine": platform.machine(),
            }
            result["shell script"] = round(floor(plain), 1)
            result["first run"] = round(site.play("typical")[0], 1)
            again = [site.play("typical") for _ in range(3)]
            result["no-change run"] = round(median([seconds for seconds, _changed in again]), 1)
            result["changed by it"] = sum(changed for _seconds, changed in again)
            quiet = []
            for _ in range(3):
                site.edit()
                quiet.append(site.play("deploy")[0])
            result["deploy"] = round(median(quiet), 1)
            # from the last release to the one before it, and back
            back = [site.play("rollback", "-e", "app=memories", "-e", "again=true")[0] for _ in range(3)]
            result["rollback"] = round(median(back), 1)
            deploys: list[float] = []
            loads = []
            for _ in range(soak):
                site.edit()
                loads.append(under_load(mine, lambda: deploys.append(site.play("deploy")[0]), 200))
            result["deploy under load"] = round(median(deploys), 1)
            result["requests while deploying"] = sum(int(str(load["requests"])) for load in loads)
            result["requests lost"] = sum(int(str(load["lost"])) for load in loads)
            result["slowest request ms"] = max(float(str(load["slowest_ms"])) for load in loads)
            for victim, command in VICTIMS.items():
                result[f"kill -9 of {victim}"] = max(recovery(mine, command) for _ in range(3))
            pairs = [
                (
                    throughput(plain.address, "floor.example", "/health/"),
                    throughput(mine.address, DOMAIN, "/health/"),
                )
                for _ in range(3)
            ]
            result["naive requests/s"] = round(median([naive for naive, _ours in pairs]))
            result["our requests/s"] = round(median([ours for _naive, ours in pairs]))
            result["served ratio"] = round(median([ours / naive for naive, ours in pairs]), 1)
            return result
        finally:
            plain.down()
            mine.down()


def table(result: dict[str, object]) -> str:
    base = float(str(result["shell script"]))

    def row(what: str, value: str, ratio: str) -> str:
        return f"| {what} | {value} | {ratio} |"

    def seconds(key: str) -> str:
        return f"{result[key]} s"

    def ratio(key: str) -> str:
        return f"{float(str(result[key])) / base:.2f}"

    lines = [
        "| what | here | against the shell script |",
        "|---|---|---|",
        row("plain shell script that installs and starts the same", seconds("shell script"), "1"),
        row("first run of `typical` on a bare server", seconds("first run"), ratio("first run")),
        row(
            "run that changes nothing",
            f"{seconds('no-change run')}, {result['changed by it']} changed",
            ratio("no-change run"),
        ),
        row("deploy of changed code", seconds("deploy"), ratio("deploy")),
        row("the same at 200 requests a second", seconds("deploy under load"), ratio("deploy under load")),
        row("rollback", seconds("rollback"), ratio("rollback")),
        row(
            "requests lost while deploying, at 200 a second",
            f"{result['requests lost']} of {result['requests while deploying']}",
            f"slowest {result['slowest request ms']} ms",
        ),
        row(
            "serving again after kill -9, the slowest of three",
            ", ".join(f"{victim} {result[f'kill -9 of {victim}']} s" for victim in VICTIMS),
            "",
        ),
        row(
            "a view that reads one row, 16 connections",
            f"{result['our requests/s']} requests/s",
            f"{result['served ratio']} times 3 sync workers without persistent connections "
            f"({result['naive requests/s']})",
        ),
    ]
    return "\n".join(lines)


def write_figures(page: Path, part: str, how: str, text: str) -> None:
    """Puts a table into a page, between the markers of one part."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    heading = f"Measured by `{how}, {day}: {os.cpu_count()} cores, server and load on one machine."
    before, rest = page.read_text().split(f"<!-- {part} -->")
    after = rest.split("<!-- end -->", 1)[1]
    page.write_text(f"{before}<!-- {part} -->\n{heading}\n\n{text}\n<!-- end -->{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default=os.environ.get("IMAGE") or "debian:13")
    parser.add_argument("--deploys", type=int, default=3, help="deploys under load")
    parser.add_argument("--write", type=Path, help="page that the table is written into")
    options = parser.parse_args()
    result = measure(options.image, options.deploys)
    text = table(result)
    print(json.dumps(result, indent=1))
    print(text)
    if options.write:
        write_figures(options.write, "figures", f"make bench` on {result['image']}", text)


if __name__ == "__main__":
    main()
