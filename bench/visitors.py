# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Visitors of the photo album on connections that they keep: pages, their style sheets, and forms that they send.

A request is lost when its connection is reset or closed before the answer is complete, when it takes longer than
the limit, when its status is 500 or more, when a style sheet that a page named is not there or is not what it
was, or when a form is not taken. Nothing is ever sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import Counter
from urllib.parse import urlencode

LIMIT = 30.0  # seconds
GENERATIONS = 2  # of style sheets that are asked for: that of the page, and the one before
SHEET = re.compile(rb'href="(/static/[^"]+\.css)"')
TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="([^"]+)"')


class Connection:
    """One connection that is kept for as long as the server keeps it."""

    def __init__(self, server: str, host: str) -> None:
        self.server = server
        self.host = host
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, body: bytes = b"", cookie: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        if self.streams and self.streams[0].at_eof():  # the server has said goodbye before anything was sent
            self.close()
        if not self.streams:
            self.streams = await asyncio.open_connection(self.server, 80)
        reader, writer = self.streams
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nUser-Agent: homeport-visitor\r\n"
        if cookie:
            head += f"Cookie: {cookie}\r\n"
        if method == "POST":
            head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"\r\n" + body)
        await writer.drain()
        first, _end, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        headers = {
            name.decode().strip().lower(): value.decode().strip()
            for name, _colon, value in (line.partition(b":") for line in rest.splitlines() if line)
        }
        if headers.get("transfer-encoding") == "chunked":
            answer = b""
            while size := int(await reader.readline(), 16):
                answer += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        else:
            answer = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return int(first.split()[1]), headers, answer

    def close(self) -> None:
        if self.streams:
            self.streams[1].close()
        self.streams = None


class Visitors:
    """So many connections, together at a rate, or as fast as they get answers (rate 0)."""

    def __init__(self, server: str, host: str, connections: int = 16, rate: float = 50) -> None:
        self.server = server
        self.host = host
        self.connections = connections
        self.rate = rate
        self.sheets: dict[str, str] = {}  # path and digest, oldest first
        self.latencies: list[float] = []
        self.problems: Counter[str] = Counter()
        self.posts = 0
        self.stopping = asyncio.Event()
        self.next = 0.0
        self.token = ""

    async def run(self, seconds: float) -> None:
        """Until ``seconds`` are over, or ``stopping`` is set."""
        first = Connection(self.server, self.host)
        _status, headers, body = await first.ask("GET", "/albums/new/")
        first.close()
        found = TOKEN.search(body)
        cookie = re.search(r"csrftoken=[^;]+", headers.get("set-cookie", ""))
        if not found or not cookie:
            raise SystemExit("the form of the album has no token")
        self.token, self.cookie = found[1].decode(), cookie[0]
        self.next = time.monotonic()
        self.end = self.next + seconds
        await asyncio.gather(*(self.visit(number) for number in range(self.connections)))

    async def visit(self, number: int) -> None:
        connection = Connection(self.server, self.host)
        turn = number
        while not self.stopping.is_set():
            due = await self.turn()
            if due > self.end:
                break
            turn += 1
            await self.once(
                connection, ("page", "version", "version", "sheet", "form", "version")[turn % 6], due
            )
        connection.close()

    async def turn(self) -> float:
        """When the next request is due; a late one counts from when it was due."""
        if not self.rate:
            return time.monotonic()
        due = self.next
        self.next += 1 / self.rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        return due

    async def once(self, connection: Connection, what: str, due: float) -> None:
        try:
            async with asyncio.timeout(LIMIT):
                problem = await getattr(self, what)(connection)
        except TimeoutError:
            problem = f"{what}: no answer within {LIMIT:.0f} s"
        except (OSError, asyncio.IncompleteReadError) as error:
            problem = f"{what}: {type(error).__name__}"
        if problem:
            self.problems[problem] += 1
            connection.close()
        self.latencies.append(time.monotonic() - due)

    async def version(self, connection: Connection) -> str:
        status, _headers, _body = await connection.ask("GET", "/version/")
        return "" if status == 200 else f"version: status {status}"

    async def page(self, connection: Connection) -> str:
        """A page, and at once the style sheet that it names."""
        status, _headers, body = await connection.ask("GET", "/albums/new/")
        if status != 200:
            return f"page: status {status}"
        path = next(iter(SHEET.findall(body)), b"").decode()
        return await self.read(connection, path) if path else "page: it names no style sheet"

    async def sheet(self, connection: Connection) -> str:
        """A style sheet that a page named earlier."""
        known = list(self.sheets)[-GENERATIONS:]
        return await self.read(connection, known[0]) if known else await self.version(connection)

    async def read(self, connection: Connection, path: str) -> str:
        status, _headers, body = await connection.ask("GET", path)
        if status != 200:
            return f"sheet: status {status}"
        digest = hashlib.sha256(body).hexdigest()
        if self.sheets.setdefault(path, digest) != digest:
            return "sheet: other content under the same name"
        return ""

    async def form(self, connection: Connection) -> str:
        form = urlencode({"csrfmiddlewaretoken": self.token, "title": "Soak", "description": ""}).encode()
        status, _headers, _body = await connection.ask("POST", "/albums/new/", form, self.cookie)
        self.posts += status == 302
        return "" if status == 302 else f"form: status {status}"

    def summary(self) -> dict[str, object]:
        ordered = sorted(self.latencies) or [0.0]
        return {
            "requests": len(ordered),
            "lost": sum(self.problems.values()),
            "problems": dict(self.problems),
            "forms": self.posts,
            "generations": len(self.sheets),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
            "slowest_ms": round(ordered[-1] * 1000, 1),
        }
