"""Visitors in the background, who look closely at what they get."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from tests.acceptance.album import Album


class Reader(threading.Thread):
    """Opens the home page again and again, with its style sheet and all those that earlier pages named.

    The name of a style sheet holds a hash of its content, so that a wrong one is told from the right one.
    """

    def __init__(self, album: Album) -> None:
        super().__init__()
        self.album = Album(album.base.removeprefix("http://"), album.domain)
        self.sheets: dict[str, int] = {}
        self.problems: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            # a connection of its own for each request: any of the two slots may answer it
            self.look("/")
            for sheet in list(self.sheets):
                self.look(sheet)
            time.sleep(0.05)  # some twenty pages a second, which leave the server the time to build

    def look(self, path: str) -> None:
        try:
            answer = self.album.get(path, headers={"Connection": "close"})
        except requests.RequestException as error:
            self.problems.append(f"{path}: {error}")
            return
        if answer.status_code != 200:
            self.problems.append(f"{path}: status {answer.status_code}")
        elif path == "/":
            for sheet in re.findall(r'href="(/static/[^"]+\.css)"', answer.text):
                self.sheets.setdefault(sheet, 0)
        else:
            self.sheets[path] += 1
            if not is_whole(path, answer.content):
                self.problems.append(f"{path}: not its content")


def is_whole(path: str, content: bytes) -> bool:
    """Whether a file is the one that its name promises."""
    return hashlib.md5(content).hexdigest().startswith(path.rsplit(".", 2)[1])


@contextmanager
def reader(album: Album) -> Iterator[Reader]:
    running = Reader(album)
    running.start()
    try:
        yield running
        time.sleep(1)
    finally:
        running.stopping.set()
        running.join()
