"""A client who opens connections and takes its time, as if to see how many a server can bear."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

REPORT = "/run/slow-client.json"

# Runs on the server, whose visitors come from elsewhere. Connections that are closed are opened again.
CLIENT = """
import asyncio, json, os, sys
kind, count = sys.argv[1], int(sys.argv[2])
found = {"open": 0, "opened": 0, "most": 0}
WORDS = {
    "header": (b"GET / HTTP/1.1\\r\\nHost: memories.example\\r\\n", b"X-Slow: 1\\r\\n"),
    "body": (b"POST / HTTP/1.1\\r\\nHost: memories.example\\r\\nContent-Length: 1000000\\r\\n\\r\\n", b"x"),
}

async def one(number):
    await asyncio.sleep(number / 800)
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", 80)
        except OSError:
            await asyncio.sleep(1)
            continue
        found["open"] += 1
        found["opened"] += 1
        found["most"] = max(found["most"], found["open"])
        first, more = WORDS[kind]
        writer.write(first)
        try:
            while True:
                answered = asyncio.wait_for(reader.read(1000), 3)
                try:
                    await answered
                    break  # refused, or given up
                except asyncio.TimeoutError:
                    writer.write(more)
        except OSError:
            pass
        found["open"] -= 1
        writer.close()
        await asyncio.sleep(0.5)

async def report():
    while True:
        with open(REPORT + ".new", "w") as stream:
            json.dump(found, stream)
        os.replace(REPORT + ".new", REPORT)  # who reads never meets half of it
        await asyncio.sleep(0.5)

async def main():
    await asyncio.gather(report(), *(one(number) for number in range(count)))

asyncio.run(main())
"""


class SlowClient:
    def __init__(self, host: Any) -> None:
        self.host = host

    def told(self) -> dict[str, int]:
        """Connections that are open now, that were opened in all, and the most at a time."""
        done = self.host.run("cat %s", REPORT)
        found: dict[str, int] = json.loads(done.stdout) if done.rc == 0 else {}
        return {"open": 0, "opened": 0, "most": 0, **found}


@contextmanager
def slow_client(host: Any, kind: str, connections: int) -> Iterator[SlowClient]:
    """Keeps as many connections open on the server as it is let: ``kind`` is what of each dribbles."""
    program = CLIENT.replace("REPORT", repr(REPORT))
    host.check_output("rm -f %s", REPORT)
    host.check_output(
        "systemd-run --quiet --unit slow-client --property LimitNOFILE=20000 /usr/bin/python3 -c %s %s %s",
        program,
        kind,
        str(connections),
    )
    try:
        yield SlowClient(host)
    finally:
        host.check_output("systemctl stop slow-client")
