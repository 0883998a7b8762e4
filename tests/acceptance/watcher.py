"""Visitors who ask again and again, and note when a site did not answer."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from tests.acceptance.album import Album

TIMEOUT = 60  # other scenarios, too, want the processors


class Watcher:
    """Asks each site five times a second; a gap is from the last good answer to the next."""

    def __init__(self, albums: list[Album]) -> None:
        self.stopping = threading.Event()
        self.gaps: list[tuple[str, float, float]] = []
        self.threads = [threading.Thread(target=self.watch, args=(album,)) for album in albums]

    def watch(self, album: Album) -> None:
        last, failed = time.time(), False
        url, headers = f"{album.base}/health/", {"Host": album.domain, "Connection": "close"}
        while not self.stopping.is_set():
            try:
                good = (
                    requests.get(url, headers=headers, timeout=TIMEOUT, allow_redirects=False).status_code
                    < 500
                )
            except requests.RequestException:
                good = False
            now = time.time()
            if good and failed:
                self.gaps.append((album.domain, last, now))
            last, failed = (now, False) if good else (last, True)
            time.sleep(0.2)
        if failed:
            self.gaps.append((album.domain, last, time.time()))

    def longest(self, beside: int) -> float:
        """Seconds of the longest gap but for the one around a point in time."""
        found = [
            after - before for _name, before, after in self.gaps if not before - 1 <= beside <= after + 1
        ]
        return max(found, default=0)


@contextmanager
def watching(albums: list[Album]) -> Iterator[Watcher]:
    watcher = Watcher(albums)
    for thread in watcher.threads:
        thread.start()
    try:
        yield watcher
    finally:
        watcher.stopping.set()
        for thread in watcher.threads:
            thread.join()
