# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""supervisord's XML-RPC interface over its own socket: a tenth of the time of starting supervisorctl."""

from __future__ import annotations

import http.client
import socket
import time
import xmlrpc.client
from collections.abc import Callable
from typing import Any

SOCKET = "/var/run/supervisor.sock"
NOT_RUNNING = 70
ALREADY_STARTED = 60
STOPPED = ("STOPPED", "EXITED", "FATAL")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float = 120) -> None:
        super().__init__("localhost", timeout=timeout)
        self.unix_path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.unix_path)


class UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: Any) -> UnixConnection:
        return UnixConnection(self.path)


class Supervisor:
    """Starts, stops and looks at processes by their full names (``group:name``)."""

    def __init__(self, path: str = SOCKET) -> None:
        self.api: Any = xmlrpc.client.ServerProxy(
            "http://localhost", transport=UnixTransport(path)
        ).supervisor

    def processes(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Everything that supervisord knows of the processes whose group starts with ``prefix``."""
        found = self.api.getAllProcessInfo()
        return {f"{info['group']}:{info['name']}": info for info in found if info["group"].startswith(prefix)}

    def info(self, name: str) -> dict[str, Any]:
        return dict(self.api.getProcessInfo(name))

    def start(self, name: str) -> None:
        try:
            self.api.startProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != ALREADY_STARTED:
                raise

    def ask_to_stop(self, names: list[str]) -> None:
        for name in names:
            try:
                self.api.stopProcess(name, False)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != NOT_RUNNING:
                    raise

    def stop(self, names: list[str], timeout: float) -> None:
        """Stops all of them, and waits until each has; supervisord kills the stubborn."""
        self.ask_to_stop(names)
        wait_until(lambda: all(self.info(name)["statename"] in STOPPED for name in names), timeout)

    def restart(self, names: list[str], timeout: float) -> None:
        """Stops all of them, and starts each as soon as it has stopped; supervisord kills the stubborn.

        One that takes its time to finish keeps only itself waiting.
        """
        self.ask_to_stop(names)
        waiting = list(names)

        def started() -> bool:
            for name in waiting[:]:
                state = self.info(name)["statename"]
                if state in STOPPED:
                    self.start(name)
                if state != "STOPPING":  # or supervisord has already started it again: it had ended by itself
                    waiting.remove(name)
            return not waiting

        wait_until(started, timeout)


def wait_until(condition: Callable[[], bool], timeout: float, pause: float = 0.02) -> bool:
    """Whether ``condition`` came true within ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(pause)
    return True
