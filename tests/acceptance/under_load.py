"""Watching a site while something is done to it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests

from bench.load import Load
from tests.acceptance.album import Album

TIMEOUT = 120  # seconds for one answer: other scenarios, too, want the processors


@contextmanager
def load(album: Album, rate: float = 50, path: str = "/version/") -> Iterator[Load]:
    """A load in the background, for as long as the block takes."""
    running = Load(album.base + path, album.domain, rate, limit=TIMEOUT)
    thread = threading.Thread(target=lambda: asyncio.run(running.run(600)))
    thread.start()
    try:
        time.sleep(1)
        yield running
        time.sleep(1)
    finally:
        running.stopping.set()
        thread.join()


def lost(running: Load) -> Any:
    return running.summary()["lost"]


def wait_for(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until the condition held; fails when it never did."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"not within {seconds} s"
        # A look is a process on the host, which what is waited for has to share the processors with.
        time.sleep(min(0.5, max(0.05, (time.monotonic() - started) / 20)))
    return time.monotonic() - started


def settled(host: Any) -> None:
    """Until nothing is removed any more that a deploy has left to go by itself."""
    wait_for(lambda: host.run("pgrep -x rm").rc != 0, 120)


def serves(album: Album) -> bool:
    try:
        return album.get("/health/").status_code == 200
    except requests.RequestException:
        return False
