# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Backups, drills and restores of 1 GB, half of it in the database, and what visitors notice of a backup.

    bench/run backup                              measure and print
    bench/run backup --write docs/benchmarks.md   and write the figures into that page
    bench/run backup --mib 100                    of less

One server has the photo album, another one keeps its backups and PostgreSQL's archive, by sftp. Then the first is
removed, and an empty one takes its place.
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
from typing import Any

from bench.load import Load
from bench.measure import DOMAIN, HOSTS, Server, Site, call, write_figures

RATE = 50  # requests a second
IDLE = 60  # seconds of load without anything else, for comparison
FILE = 256  # KiB of a photo
# Text of hexadecimal digits compresses to half, as that of people does.
ROWS = """
create table if not exists weight (id bigserial primary key, note text not null);
insert into weight (note)
  select (select string_agg(md5(random()::text || n || i), '') from generate_series(1, 32) i)
  from generate_series(1, {count}) n;
"""
FILES = """
import os
for number in range({count}):
    folder = f"/srv/memories/shared/media/bench/{{number // 200:03}}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{{folder}}/{{number:06}}.jpg", "wb") as stream:
        stream.write(os.urandom({size} << 10))
"""
STATE = "/var/lib/homeport/backups"


def site_of(server: Server, vault: Server, folder: Path) -> Site:
    """The photo album on a server, with backups and an archive on another one."""
    found = Site(server, folder)
    path = found.inventory / "group_vars" / "all" / "apps.yml"
    variables = dict(
        line.split(": ", 1) for line in call(str(HOSTS), "vars", vault.name).splitlines() if ": " in line
    )
    known = variables["ansible_ssh_common_args"].split('UserKnownHostsFile="')[1].partition('"')[0]
    access = {
        "ssh_key": Path(variables["ansible_ssh_private_key_file"]).read_text(),
        "known_hosts": Path(known).read_text(),
    }
    values = {
        **json.loads(path.read_text()),
        "backup_repository": f"sftp:admin@{vault.address}:/var/backups/site",
        "pgbackrest_repository": f"sftp:admin@{vault.address}:/var/backups/postgres",
        **{f"{role}_{key}": text for role in ("backup", "pgbackrest") for key, text in access.items()},
    }
    path.write_text(json.dumps(values))
    return found


def fill(server: Server, mib: int) -> None:
    """Half of it rows, half of it files."""
    rows = ROWS.format(count=(mib << 20) // 2 // 1100)
    server.ssh("runuser -u memories -- psql -q", rows.encode())
    files = FILES.format(count=(mib << 10) // 2 // FILE, size=FILE)
    server.ssh("runuser -u memories -- python3 -", files.encode())
    server.ssh("runuser -u postgres -- psql -qc checkpoint; sync")


def sizes(server: Server) -> dict[str, int]:
    """MiB of the database and of the media."""
    database = server.out("runuser -u postgres -- psql -qAtc \"select pg_database_size('memories') >> 20\"")
    media = server.out("du -sm /srv/memories/shared/media")
    return {"database": int(database), "media": int(media.split()[0])}


def noticed(server: Server, action: Callable[[], object]) -> dict[str, Any]:
    """What visitors of a page that reads the database see while something is done."""
    load = Load(f"http://{server.address}/", DOMAIN, RATE)
    thread = threading.Thread(target=lambda: asyncio.run(load.run(7200)))
    thread.start()
    try:
        action()
    finally:
        load.stopping.set()
        thread.join()
    return load.summary()


def started(server: Server, unit: str, name: str, kind: str) -> dict[str, Any]:
    """Runs what a timer would start, and returns what the host wrote down of it."""
    server.ssh(f"systemctl start {unit}")
    found: dict[str, Any] = json.loads(server.out(f"cat {STATE}/{name}.json"))[kind]["last"]
    if not found["ok"]:
        raise SystemExit(f"{unit} failed: {found['message']}")
    return found


def counted(server: Server) -> int:
    return int(server.out("runuser -u postgres -- psql -qAtd memories -c 'select count(*) from weight'"))


def measure(image: str, mib: int) -> dict[str, Any]:
    result: dict[str, Any] = {"image": image}
    vault, web = Server("vault", image), Server("backup", image)
    try:
        vault.ssh("install -d -m 0700 -o admin -g admin /var/backups/site /var/backups/postgres")
        with tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder:
            site_of(web, vault, Path(folder)).play("typical")
            web.ssh("while systemctl is-active --quiet homeport-archive-full; do sleep 1; done")
            fill(web, mib)
            result["sizes"] = sizes(web)
            result["idle"] = noticed(web, lambda: time.sleep(IDLE))

            def backup() -> None:
                result["backup"] = started(web, "homeport-backup", "memories", "backup")

            def full() -> None:
                result["full"] = started(web, "homeport-archive-full", "@archive", "full")

            result["visitors of backup"] = noticed(web, backup)
            result["visitors of full"] = noticed(web, full)
            result["second backup"] = started(web, "homeport-backup", "memories", "backup")
            result["drill"] = started(web, "homeport-drill", "memories", "drill")
            result["archive drill"] = started(web, "homeport-archive-drill", "@archive", "drill")
            rows = counted(web)
        result["stored"] = int(vault.out("du -sm /var/backups | cut -f 1"))
        web.down()
        web = Server("backup", image)
        with tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder:
            site = site_of(web, vault, Path(folder))
            sure = ("-e", "app=memories", "-e", "confirm=memories", "-e", "dump=false")
            result["recover"] = round(site.play("recover")[0], 1)
            result["setup"] = round(site.play("typical")[0], 1)
            result["files"] = round(site.play("restore", *sure, "-e", "database=false")[0], 1)
            if counted(web) != rows:
                raise SystemExit(f"{counted(web)} rows came back, of {rows}")
            result["restore"] = round(site.play("restore", *sure)[0], 1)
            if counted(web) != rows:
                raise SystemExit(f"{counted(web)} rows were restored, of {rows}")
        return result
    finally:
        web.down()
        vault.down()


def table(result: dict[str, Any]) -> str:
    held = result["sizes"]

    def visitors(key: str) -> str:
        found = result[key]
        return f"{found['p99_ms']} ms (median {found['median_ms']} ms, {found['lost']} of {found['requests']} lost)"

    empty = result["recover"] + result["setup"] + result["files"]
    lines = [
        f"| of {held['database']} MiB in PostgreSQL and {held['media']} MiB of media | here |",
        "|---|---|",
        f"| first backup of the app | {result['backup']['seconds']:.0f} s |",
        f"| the next one, with nothing new but a row or two | {result['second backup']['seconds']:.0f} s |",
        f"| full backup of PostgreSQL's archive | {result['full']['seconds']:.0f} s |",
        f"| both on the other host, with all of the log | {result['stored']} MiB |",
        f"| restore drill of the app | {result['drill']['seconds']:.0f} s |",
        f"| restore drill of the archive | {result['archive drill']['seconds']:.0f} s |",
        f"| p99 of visitors, {RATE} requests/s, nothing else | {visitors('idle')} |",
        f"| p99 while the app is backed up | {visitors('visitors of backup')} |",
        f"| p99 while the archive's full backup is made | {visitors('visitors of full')} |",
        f"| empty host to the last moment: `recover`, the setup playbook, the files | {empty:.0f} s "
        f"({result['recover']:.0f} + {result['setup']:.0f} + {result['files']:.0f}) |",
        f"| `restore` of the app, all of it, over what it has | {result['restore']:.0f} s |",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default=os.environ.get("IMAGE") or "debian:13")
    parser.add_argument("--mib", type=int, default=1024, help="rows and files together")
    parser.add_argument("--write", type=Path, help="page that the table is written into")
    options = parser.parse_args()
    result = measure(options.image, options.mib)
    text = table(result)
    print(json.dumps(result, indent=1))
    print(text)
    if options.write:
        write_figures(options.write, "backup", f"bench/run backup` on {result['image']}", text)


if __name__ == "__main__":
    main()
