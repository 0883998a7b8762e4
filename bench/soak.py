# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Many deploys, rollbacks and switches under load, and what visitors noticed of them.

bench/run soak                               20 deploys and 20 rollbacks at two loads, then 300 switches
bench/run soak --cycles 3 --switches 20      a shorter one
bench/run soak --write docs/benchmarks.md    and write the figures into that page
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import DOMAIN, Server, Site, call, write_figures
from bench.visitors import Visitors

IDLE = 30  # seconds in which nothing is deployed, for comparison
LOADS = {"50 requests/s": 50.0, "saturation": 0.0}


def watch(server: Server, rate: float, action: Callable[[], object]) -> Visitors:
    """What visitors see while ``action`` runs."""
    visitors = Visitors(server.address, DOMAIN, rate=rate)
    thread = threading.Thread(target=lambda: asyncio.run(visitors.run(7200)))
    thread.start()
    time.sleep(1)
    try:
        action()
        time.sleep(1)
    finally:
        visitors.stopping.set()
        thread.join()
    return visitors


def rows(server: Server) -> int:
    """Albums in the database."""
    query = "select count(*) from album_album"
    return int(server.out(f"runuser -u postgres -- psql --tuples-only memories -c '{query}'"))


class Cycles:
    """Deploys of a new style sheet, each followed by a rollback."""

    def __init__(self, site: Site, count: int) -> None:
        self.site = site
        self.count = count
        self.deploys: list[float] = []
        self.rollbacks: list[float] = []

    def __call__(self) -> None:
        for _ in range(self.count):
            with (self.site.source / "album/static/album/style.css").open("a") as stream:
                stream.write(f"\n/* {time.time()} */\n")
            self.deploys.append(self.site.play("deploy")[0])
            self.rollbacks.append(self.site.play("rollback", "-e", "app=memories")[0])


def soak(image: str, cycles: int, switches: int) -> dict[str, dict[str, object]]:
    result: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder:
        server = Server("soak", image)
        try:
            site = Site(server, Path(folder))
            site.play("typical")
            for name, rate in LOADS.items() if cycles else ():
                before = rows(server)
                idle = watch(server, rate, lambda: time.sleep(IDLE))
                run = Cycles(site, cycles)
                busy = watch(server, rate, run)
                result[name] = {
                    **busy.summary(),
                    "idle_p99_ms": idle.summary()["p99_ms"],
                    "rows": rows(server) - before - idle.posts,
                    "deploy_s": sorted(run.deploys)[len(run.deploys) // 2],
                    "rollback_s": sorted(run.rollbacks)[len(run.rollbacks) // 2],
                    "actions": 2 * cycles,
                }
                print(json.dumps({name: result[name]}), flush=True)
            if not switches:
                return result
            Cycles(site, 1)()  # so that there are two releases to switch between
            before = rows(server)
            words = (
                "ansible-playbook",
                "bench/soak.yml",
                "-i",
                str(site.inventory),
                "-e",
                f"switches={switches}",
            )
            started = time.monotonic()
            busy = watch(server, 50, lambda: call(*words))
            result["switches"] = {
                **busy.summary(),
                "rows": rows(server) - before,
                "actions": switches,
                "seconds": round(time.monotonic() - started),
            }
            return result
        finally:
            server.down()


def table(result: dict[str, dict[str, object]]) -> str:
    lines = [
        "| what | requests lost | p99 | slowest | forms taken, rows made |",
        "|---|---|---|---|---|",
    ]
    for name, found in result.items():
        what, p99 = f"{found['actions']} switches at 50 requests/s", f"{found['p99_ms']} ms"
        if name != "switches":
            half = int(str(found["actions"])) // 2
            times = f"{found['deploy_s']:.1f} s", f"{found['rollback_s']:.1f} s"
            what = f"{half} deploys ({times[0]}) and {half} rollbacks ({times[1]}) at {name}"
            p99 += f", idle {found['idle_p99_ms']} ms"
        lost, forms = f"{found['lost']} of {found['requests']}", f"{found['forms']}, {found['rows']}"
        lines.append(f"| {what} | {lost} | {p99} | {found['slowest_ms']} ms | {forms} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default=os.environ.get("IMAGE") or "debian:13")
    parser.add_argument(
        "--cycles", type=int, default=20, help="deploys, and rollbacks, at each load; 0 for none"
    )
    parser.add_argument("--switches", type=int, default=300, help="0 for none")
    parser.add_argument("--write", type=Path, help="page that the table is written into")
    options = parser.parse_args()
    result = soak(options.image, options.cycles, options.switches)
    text = table(result)
    print(json.dumps(result, indent=1))
    print(text)
    if options.write:
        write_figures(options.write, "soak", f"bench/run soak` on {options.image}", text)


if __name__ == "__main__":
    main()
