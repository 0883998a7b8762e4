"""What a visitor of the photo album sees of its task queue, and what an operator does to it."""

import re
from typing import Any

from tests.acceptance.album import Album, picture
from tests.acceptance.under_load import wait_for


def upload(album: Album, image: bytes = b"") -> str:
    """Sends a photo; the address that tells how far it is."""
    path = album.new_album("For a worker")
    album.upload(path, image or picture(300, 200))
    page = album.get(path).text
    photo = re.search(r'"(/photos/\d+/)"', page)
    assert photo, page
    return f"{photo[1]}status/"


def state(album: Album, photo: str) -> str:
    return str(album.get(photo).json()["status"])


def wait_until_done(album: Album, photo: str, seconds: float = 60) -> float:
    """Seconds until a photo has its images, which are then there."""
    took = wait_for(lambda: state(album, photo) == "done", seconds)
    image = album.get(album.get(photo).json()["thumbnail"])
    assert image.status_code == 200
    assert image.headers["Content-Type"] == "image/jpeg"
    return took


class Worker:
    """The worker of an app, as supervisord knows it."""

    def __init__(self, host: Any, app: str, process: str = "queue") -> None:
        self.host = host
        self.app = app
        self.program = f"{app}.{process}:0"

    def supervisor(self, action: str) -> None:
        done = self.host.run(f"supervisorctl {action} {self.program}")
        assert done.rc == 0, done.stdout + done.stderr

    def pid(self) -> int:
        """The launcher's process; 0 while it does not run."""
        return int(self.host.run(f"supervisorctl pid {self.program}").stdout.strip() or 0)

    def kill(self) -> None:
        """Kills the command with everything that it has started, as a lack of memory might."""
        launcher = self.pid()
        assert launcher
        self.host.check_output(f"pkill -KILL -P {launcher}")
        wait_for(lambda: self.pid() not in (0, launcher), 60)
