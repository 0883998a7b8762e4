# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The try of a deploy: one worker of the new release answers on a socket that no visitor reaches."""

from __future__ import annotations

import http.client
import os
import subprocess
import threading
import time
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY, RUNTIME
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import Scope, end
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    UMASK,
    DeployError,
    Layout,
    Runner,
    tail,
)
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import argv_of
from ansible_collections.homeport.django.plugins.module_utils.host.release.health import (
    Page,
    health_page,
    healthy,
    own_socket,
)
from ansible_collections.homeport.django.plugins.module_utils.host.visit import served_by_nobody

LONGEST_PATH = 100  # of a unix socket: the kernel takes 107 bytes
MOST_PRINTED = 1 << 18  # bytes of what a process has printed


class PrivateTry:
    """The try of one release. It changes nothing that is live."""

    def __init__(self, layout: Layout, release: str) -> None:
        self.layout = layout
        self.release = release
        self.runner = Runner(layout)
        self.broken = False  # whether the release answered with an error of its own
        self.ending: threading.Thread | None = None  # ends the process, while the slot starts

    def run(self) -> None:
        """Raises unless the release's health page answers as the app's own site would."""
        path = self.socket()
        scope = Scope(self.layout.name, self.layout.spec["most_processes"])
        process = subprocess.Popen(
            [*scope.words(), *self.runner.words([f"{LIBRARY}/gunicorn-try", self.release, path])],
            cwd="/",
            env=self.runner.base,
            umask=UMASK,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def stop() -> None:
            end(process)
            scope.kill()

        printed = Printed(process)
        try:
            self.wait_for_health(process, path)
        except DeployError as error:
            reason = self.reason() if self.broken else ""
            raise DeployError(f"{error}\n{tail(printed.text())}{reason}") from error
        else:
            self.ending = threading.Thread(target=stop)
            self.ending.start()
        finally:
            if not self.ending:
                stop()

    def join(self) -> None:
        """Waits until the process of the try has ended."""
        if self.ending:
            self.ending.join()

    def socket(self) -> str:
        self.layout.own_folder(self.layout.runtime)
        path = f"{self.layout.runtime}/try.sock"
        if len(path) > LONGEST_PATH:
            path = f"{RUNTIME}/{self.layout.ids()[0]}.sock"
        if os.path.lexists(path):
            os.unlink(path)
        return path

    def wait_for_health(self, process: subprocess.Popen[bytes], path: str) -> None:
        timeout = self.layout.spec["health"]["timeout"]
        end_time = time.monotonic() + timeout
        problem = "it does not listen"
        while time.monotonic() < end_time:
            if process.poll() is not None:
                raise DeployError(
                    f"The new release does not start (gunicorn exited with status {process.returncode})"
                )
            if os.path.exists(path):
                try:
                    with own_socket(path, self.layout.ids()[0]) as address:
                        left = max(0.1, end_time - time.monotonic())
                        page = self.health_page(address, left)
                except (OSError, http.client.HTTPException) as error:
                    problem = f"it does not answer: {error}"
                else:
                    self.judge(page)
                    return
            time.sleep(0.03)
        raise DeployError(f"The new release is not healthy after {timeout} s: {problem}")

    def health_page(self, address: str, timeout: float) -> Page:
        return health_page(self.layout.spec, address, timeout)

    def judge(self, page: Page) -> None:
        health, visit = self.layout.spec["health"], self.layout.spec["visit"]
        status = page.status
        if healthy(status, health["status"]):
            led = served_by_nobody(visit, health["path"], page.location)
            if led and not health["status"]:
                raise DeployError(f"The new release is not healthy: {led}")
            return
        self.broken = status == 500
        hint = "; is the host name in the settings' ALLOWED_HOSTS?" if status == 400 else ""
        raise DeployError(
            f"The new release answers {health['path']} with status {status}{hint}\n{tail(page.text, 8, 200)}"
        )

    def reason(self) -> str:
        """The exception behind a status 500, which many projects do not log."""
        scheme, _, host = self.layout.spec["site_url"].partition("://")
        question = {"path": self.layout.spec["health"]["path"], "host": host, "scheme": scheme}
        argv = argv_of("page_error", release=self.release, **question)
        try:
            self.runner.in_release(self.release, argv, "Requesting the page again", timeout=60)
        except DeployError as error:
            return "\n" + str(error).partition("\n")[2]
        return ""


class Printed:
    """The end of what a process prints, which must not wait for anybody to read it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.stream: Any = process.stdout
        self.kept = bytearray()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self) -> None:
        while block := self.stream.read1(1 << 16):
            self.kept += block
            del self.kept[:-MOST_PRINTED]
        self.stream.close()

    def text(self) -> str:
        self.thread.join(0.2)  # what it has just said may be on its way
        return bytes(self.kept).decode(errors="replace")
