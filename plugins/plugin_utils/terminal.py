# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The terminal at which ansible-playbook was started. Ansible takes it from the processes that work for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import termios
from collections.abc import Callable

from ansible_collections.homeport.django.plugins.plugin_utils.this_run import controller


def terminal(pid: int = 0) -> str:
    """Where input and output of the run are one terminal, its device; else nothing."""
    try:
        ends = {os.readlink(f"/proc/{pid or controller()}/fd/{number}") for number in (0, 1)}
    except OSError:
        return ""
    device = ends.pop()
    if ends or not device.startswith("/dev/"):
        return ""
    with contextlib.suppress(OSError), open(device, "rb") as stream:
        return device if os.isatty(stream.fileno()) else ""
    return ""


def converse(words: list[str], device: str) -> int:
    """Runs a command at a terminal until it ends; its exit status."""
    descriptor = os.open(device, os.O_RDWR | os.O_NOCTTY)
    before = termios.tcgetattr(descriptor)
    try:
        process = subprocess.Popen(words, stdin=descriptor, stdout=descriptor, stderr=descriptor)
        size = window(descriptor)
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
            # the kernel tells only those whose terminal it is
            if size != (size := window(descriptor)):
                process.send_signal(signal.SIGWINCH)
        return process.returncode
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        os.close(descriptor)


def window(descriptor: int) -> bytes:
    return fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8))


def followed(words: list[str], device: str, shown: Callable[[str], str]) -> int:
    """Shows at a terminal the lines of a command that does not end, as they come; its exit status should it end all the
    same. Its input stays open for as long as this process lives.

    Not by Ansible's display: a run that is interrupted while a line is on its way there waits for ever.
    """
    descriptor = os.open(device, os.O_WRONLY | os.O_NOCTTY)
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        for line in process.stdout:
            os.write(descriptor, f"{shown(line.decode(errors='replace').rstrip())}\n".encode())
        return process.wait()
    finally:
        os.close(descriptor)
