# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A steady load of HTTP requests against one server, counting every one that is lost.

    python bench/load.py http://172.17.0.2/health/ --host memories.example --rate 200 --seconds 30

Requests start at a fixed rate whatever the server does, so that a pause shows as waiting and not as
fewer requests; those beyond what nginx lets one address hold (nginx_connections_per_client, 256) wait
for the ones before them, as if they came from others. A request is lost when the connection is
refused, reset or closed without an answer, when it takes longer than the limit, or when its status is
500 or more. Nothing is ever sent again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

LIMIT = 30.0  # seconds
OPEN = 200  # connections


class Load:
    """A load that runs until it is told to stop or its time is over."""

    def __init__(
        self, url: str, host: str = "", rate: float = 200, address: str = "", limit: float = LIMIT
    ) -> None:
        parts = urlsplit(url)
        self.server = address or parts.hostname or ""
        self.port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        self.rate = rate
        self.limit = limit
        header = host or parts.netloc
        self.tls: dict[str, Any] = {}
        if parts.scheme == "https":
            # whether it is served is the question here, not by whom
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.tls = {"ssl": context, "server_hostname": header}
        self.request = (
            f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {header}\r\n"
            "User-Agent: homeport-load\r\nConnection: close\r\n\r\n"
        ).encode()
        self.latencies: list[float] = []
        self.outcomes: Counter[str] = Counter()
        self.bodies: Counter[str] = Counter()
        self.stopping = asyncio.Event()
        self.open = asyncio.Semaphore(OPEN)

    async def once(self) -> None:
        started = time.monotonic()
        outcome, body = "lost: no answer", ""
        try:
            async with self.open, asyncio.timeout(self.limit):
                reader, writer = await asyncio.open_connection(self.server, self.port, **self.tls)
                writer.write(self.request)
                await writer.drain()
                answer = await reader.read()
                writer.close()
            if answer:
                status = int(answer.split(b" ", 2)[1])
                outcome = str(status) if status < 500 else f"lost: status {status}"
                body = answer.partition(b"\r\n\r\n")[2][:64].decode(errors="replace")
        except TimeoutError:
            outcome = "lost: timeout"
        except OSError as error:
            outcome = f"lost: {type(error).__name__}"
        self.latencies.append(time.monotonic() - started)
        self.outcomes[outcome] += 1
        self.bodies[body] += 1

    async def run(self, seconds: float) -> None:
        started = time.monotonic()
        tasks: set[asyncio.Task[None]] = set()
        count = 0
        while time.monotonic() - started < seconds and not self.stopping.is_set():
            due = started + count / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self.once())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            count += 1
        await asyncio.gather(*tasks)

    def summary(self) -> dict[str, object]:
        ordered = sorted(self.latencies) or [0.0]
        return {
            "requests": len(self.latencies),
            "lost": sum(count for outcome, count in self.outcomes.items() if outcome.startswith("lost")),
            "outcomes": dict(self.outcomes),
            "median_ms": round(ordered[len(ordered) // 2] * 1000, 1),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
            "slowest_ms": round(ordered[-1] * 1000, 1),
            "answers": len(self.bodies),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--host", default="", help="Host header")
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    load = Load(options.url, options.host, options.rate)
    asyncio.run(load.run(options.seconds))
    print(json.dumps(load.summary(), indent=1))


if __name__ == "__main__":
    main()
