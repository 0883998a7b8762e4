# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""How soon a visitor has the thumbnail of a photo, by task queue, and how soon what is killed is back.

    bench/run tasks                              measure and print
    bench/run tasks --write docs/benchmarks.md   and write the figures into that page

One server has the photo album once for each queue and broker (inventories/worker). A photo of 12 megapixels is sent
over HTTP to a worker that is idle; the time runs from the end of the answer until the album says that it is done.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import requests
import yaml

from bench.measure import HOSTS, ROOT, Server, call, median, write_figures
from tests.acceptance.album import Album
from tests.acceptance.tasks import state, upload

PLACE = ". /srv/{}/config/env; echo \"'$REDIS_HOST', $REDIS_PORT\""
# The unit of each broker, and what prints its address and port.
UNITS = {
    "redis": ("redis-server@memories-broker", PLACE.format("memories")),
    "valkey": ("valkey-server@celery-valkey-broker", PLACE.format("celery-valkey")),
    "rabbitmq": ("rabbitmq-server", "echo \"'127.0.0.1', 567\""),
}


def photo() -> bytes:
    """A PNG image of 12 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    row = b"\0" + os.urandom(3 * 4000)
    header = struct.pack(">IIBBBBB", 4000, 3000, 8, 2, 0, 0, 0)
    data = zlib.compress(row * 3000, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def site(server: Server, folder: Path) -> Path:
    """The example inventory, for this server."""
    inventory = folder / "inventory"
    shutil.copytree(ROOT / "inventories" / "worker", inventory, symlinks=False)
    lines = call(str(HOSTS), "vars", server.name).splitlines()
    indented = "\n".join(f"      {line}" for line in lines)
    (inventory / "zz-addresses.yml").write_text(f"all:\n  hosts:\n    web1:\n{indented}\n")
    extra = {"homeport_secret": "b" * 64, "homeport_base": str(ROOT / "inventories" / "worker")}
    (inventory / "group_vars" / "all" / "zz-bench.yml").write_text(json.dumps(extra))
    return inventory


def thumbnails(album: Album, image: bytes, tries: int) -> list[float]:
    """Seconds until a photo is done, for each of some tries."""
    found = []
    for _ in range(tries):
        address = upload(album, image)
        started = time.monotonic()
        while state(album, address) != "done":
            if time.monotonic() - started > 60:
                raise SystemExit(f"{album.domain}: {address} is not done after a minute")
            time.sleep(0.02)
        found.append(time.monotonic() - started)
        time.sleep(1)
    return found


def back(server: Server, unit: str, place: str) -> float:
    """Seconds from kill -9 of a broker until it answers again."""
    script = f"""
import os, signal, socket, subprocess, time
def show(name):
    return subprocess.check_output(["systemctl", "show", "--value", "--property=" + name, "{unit}"], text=True).strip()
pid = int(show("MainPID"))
os.kill(pid, signal.SIGKILL)
started = time.monotonic()
time.sleep(0.05)
while True:
    try:
        stream = socket.create_connection(({place}), 1)
        stream.sendall(b"AMQP\\0\\0\\x09\\x01" if "rabbit" in "{unit}" else b"PING\\r\\n")
        if stream.recv(1):
            break
    except OSError:
        time.sleep(0.02)
print(time.monotonic() - started)
"""
    time.sleep(3)
    return round(float(server.out(f"python3 - <<'END'\n{script}\nEND")), 1)


def measure(image: str, tries: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder:
        server = Server("tasks", image)
        try:
            inventory = site(server, Path(folder))
            call("ansible-playbook", "playbooks/worker.yml", "-i", str(inventory))
            apps = yaml.safe_load((inventory / "group_vars" / "all" / "apps.yml").read_text())["django_apps"]
            picture = photo()
            result: dict[str, Any] = {"queues": {}}
            for name, app in apps.items():
                album = Album(server.address, app["domains"][0])
                album.session = requests.Session()
                times = thumbnails(album, picture, tries)
                result["queues"][name] = {"median": round(median(times), 2), "slowest": round(max(times), 2)}
                print(json.dumps({name: result["queues"][name]}), flush=True)
            result["back"] = {
                name: max(back(server, unit, server.out(place).strip()) for _ in range(3))
                for name, (unit, place) in UNITS.items()
            }
            result["load"] = round(os.getloadavg()[0], 1)
            return result
        finally:
            server.down()


def table(result: dict[str, Any]) -> str:
    lines = ["| what | median | slowest |", "|---|---|---|"]
    for name, found in result["queues"].items():
        lines.append(f"| thumbnail by `{name}` | {found['median']} s | {found['slowest']} s |")
    for name, seconds in result["back"].items():
        lines.append(f"| {name} answers again after `kill -9` | | {seconds} s |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default=os.environ.get("IMAGE") or "debian:13")
    parser.add_argument("--tries", type=int, default=10, help="photos for each queue")
    parser.add_argument("--write", type=Path, help="page that the table is written into")
    options = parser.parse_args()
    result = measure(options.image, options.tries)
    print(json.dumps(result, indent=1))
    print(table(result))
    if options.write:
        how = f"bench/run tasks` on {options.image} at a load of {result['load']}"
        write_figures(options.write, "tasks", how, table(result))


if __name__ == "__main__":
    main()
