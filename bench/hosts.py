# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Several servers: five that serve one app, and its database on a sixth, against one server that has all of it.

    bench/run hosts                                    measure and print
    bench/run hosts --write docs/benchmarks.md         and write the figures into that page

All servers, and the operator, share the cores of this machine: the ratio of six to one is that of the worst case.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from bench.measure import Server, Site, call, median, write_figures

APP_SERVERS = 5
RUNS = 3


class Group(Site):
    """The photo album on some app servers, with its database on one more."""

    def __init__(self, servers: list[Server], folder: Path) -> None:
        super().__init__(servers[0], folder, media="none")  # uploads would be on one of them alone
        *apps, database = servers
        groups = {"app_servers": apps, "database_servers": [database]}
        hosts = {
            group: {"hosts": {server.name: variables(server) for server in members}}
            for group, members in groups.items()
        }
        (self.inventory / "hosts.yml").write_text(json.dumps(hosts))


def variables(server: Server) -> dict[str, str]:
    lines = call(str(Path("testhosts") / "host.sh"), "vars", server.name).splitlines()
    return dict(line.split(": ", 1) for line in lines)


def runs(site: Site) -> tuple[float, float, int]:
    """Seconds of the first run and of one that changes nothing, and what these changed."""
    first = site.play("typical")[0]
    again = [site.play("typical") for _ in range(RUNS)]
    return (
        first,
        median([seconds for seconds, _changed in again]),
        sum(changed for _seconds, changed in again),
    )


def measure(image: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder:
        servers = [Server(f"hosts-{number}", image) for number in range(1, APP_SERVERS + 3)]
        try:
            one = runs(Site(servers[-1], Path(folder, "one"), media="none"))
            six = runs(Group(servers[:-1], Path(folder, "six")))
        finally:
            for server in servers:
                server.down()
    return {
        "image": image,
        "cores": os.cpu_count(),
        "one": [round(one[0], 1), round(one[1], 1), one[2]],
        "six": [round(six[0], 1), round(six[1], 1), six[2]],
    }


def table(found: dict[str, object]) -> str:
    one, six = (json.loads(json.dumps(found[name])) for name in ("one", "six"))
    rows = [("first run", one[0], six[0]), ("run that changes nothing", one[1], six[1])]
    lines = ["| what | one server | six servers | ratio |", "|---|---|---|---|"]
    lines += [f"| {what} | {first} s | {second} s | {second / first:.2f} |" for what, first, second in rows]
    lines.append(f"| changed by it | {one[2]} | {six[2]} | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default=os.environ.get("IMAGE") or "debian:13")
    parser.add_argument("--write", type=Path, help="page that the table is written into")
    options = parser.parse_args()
    found = measure(options.image)
    text = table(found)
    print(json.dumps(found, indent=1))
    print(text)
    if options.write:
        write_figures(options.write, "hosts", f"bench/run hosts` on {found['image']}", text)


if __name__ == "__main__":
    main()
