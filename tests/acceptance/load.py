"""Visitors who keep asking while something is done to the server."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.load import Load
from tests.acceptance.album import Album


@contextmanager
def load(album: Album, rate: float = 200, path: str = "/version/") -> Iterator[Load]:
    """A load in the background, for as long as the block takes."""
    running = Load(album.base + path, album.domain, rate)
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
