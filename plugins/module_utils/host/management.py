# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A command of the operator's in an app's live release: it ends at the latest with the run that asked for it."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Mapping
from typing import IO

from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import Ended, watched
from ansible_collections.homeport.django.plugins.module_utils.host.layout import UMASK, Runner

HEARTBEAT = 5.0  # seconds
# The release's own environment is read first. Handed over as a variable, since what stands on a command line
# can be read by every user of the host.
OVERRIDE = 'eval "$HOMEPORT_OVERRIDE"; unset HOMEPORT_OVERRIDE; exec "$@"'


class Disconnected(Exception):
    """Nobody waits for the command's output any more."""


def in_release(
    runner: Runner,
    release: str,
    argv: list[str],
    environment: Mapping[str, str],
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    seconds: float = 0,
) -> Ended:
    """Runs ``argv`` as the app's user in the environment of ``release``, with ``environment`` over it."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    return watched(
        runner.words([f"{LIBRARY}/run", release, "sh", "-c", OVERRIDE, "sh", *argv]),
        {**runner.base, "HOMEPORT_OVERRIDE": exports},
        seconds,
        Listener().check,
        scope=runner.scope(),
        stdin=stdin,
        cwd="/",
        umask=UMASK,
    )


class Listener:
    """The process that reads this one's standard output.

    Across ssh it has ended when its end of the pipe is closed. A controller that was killed leaves an ssh that
    notices only when it has something to hand on, hence an empty line now and then.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self.descriptor = descriptor
        self.next_beat = time.monotonic() + HEARTBEAT

    def check(self) -> None:
        if time.monotonic() < self.next_beat:
            return
        self.next_beat = time.monotonic() + HEARTBEAT
        try:
            os.write(self.descriptor, b"\n")
        except OSError as error:
            raise Disconnected(str(error)) from error
