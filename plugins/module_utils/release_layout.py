# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where an app's releases live on its host, and how commands run in them."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import subprocess
from typing import IO, Any

LIBRARY = "/usr/local/lib/homeport"
RUNTIME = "/run/homeport"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WEB_GROUP = "www-data"


class DeployError(Exception):
    """A step failed; the message says what it means for the app."""


class Layout:
    """The folders of one app."""

    def __init__(self, spec: dict[str, Any], secrets: dict[str, Any] | None = None) -> None:
        # of the environment, what may hold secrets comes with them
        own = (secrets or {}).get("release_environment", {})
        self.spec = {**spec, "release_environment": {**spec.get("release_environment", {}), **own}}
        self.secrets: dict[str, str] = {
            key: value for key, value in (secrets or {}).items() if isinstance(value, str)
        }
        # environment and processes that are wanted, where a plan compares them
        self.planned: dict[str, dict[str, str]] = {
            key: value
            for key, value in (secrets or {}).items()
            if isinstance(value, dict) and key != "release_environment"
        }
        self.name: str = spec["name"]
        self.user: str = spec["user"]
        self.home: str = spec["home"]
        self.releases = f"{self.home}/releases"
        self.shared = f"{self.home}/shared"
        self.static = f"{self.home}/static"
        self.config = f"{self.home}/config"
        self.slots = f"{self.home}/slots"
        self.cache = f"{self.home}/cache"
        self.runtime = f"{RUNTIME}/{self.name}"
        self.next_link = f"{self.home}/next"

    @property
    def current(self) -> str | None:
        """Folder of the release that is live."""
        return self.resolve_link(f"{self.home}/current")

    def resolve_link(self, link: str) -> str | None:
        path = os.path.realpath(link)
        return path if os.path.islink(link) and os.path.isdir(path) else None

    def point(self, link: str, target: str) -> None:
        """Moves ``link`` to ``target`` in one step."""
        beside = f"{link}.new"
        if os.path.lexists(beside):
            os.unlink(beside)
        os.symlink(target, beside)
        os.rename(beside, link)

    def known_releases(self) -> list[str]:
        """Folders of the complete releases, oldest first."""
        try:
            names = sorted(os.listdir(self.releases))
        except FileNotFoundError:
            return []
        return [
            f"{self.releases}/{name}"
            for name in names
            if os.path.isfile(f"{self.releases}/{name}/release.json")
        ]

    def record(self, release: str | None) -> dict[str, Any]:
        """What was written down of a release when it was built."""
        if not release:
            return {}
        try:
            with open(f"{release}/release.json", encoding="utf-8") as stream:
                return json.load(stream)
        except (OSError, ValueError):
            return {}

    def ids(self) -> tuple[int, int]:
        entry = pwd.getpwnam(self.user)
        return entry.pw_uid, entry.pw_gid

    def web_gid(self) -> int:
        """Group whose members may read static files: the web server's where there is one."""
        try:
            return grp.getgrnam(WEB_GROUP).gr_gid
        except KeyError:
            return self.ids()[1]

    def own_folder(self, path: str, mode: int = 0o750) -> str:
        if not os.path.isdir(path):
            os.makedirs(path, mode=mode)
            os.chown(path, *self.ids())
            os.chmod(path, mode)
        return path


class Runner:
    """Runs commands as the app's user, and keeps what they print for the message when one fails."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.base = {
            "PATH": PATH,
            "HOME": f"{layout.home}/home",
            "LANG": "C.UTF-8",
            "UV_CACHE_DIR": f"{layout.cache}/uv",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            "UV_TOOL_DIR": f"{layout.cache}/tools",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "XDG_CACHE_HOME": layout.cache,
            "npm_config_cache": f"{layout.cache}/npm",
        }
        # the host's own settings for uv (an index, a certificate store) hold for its apps too
        self.base.update(
            {key: value for key, value in os.environ.items() if key.startswith(("UV_", "SSL_CERT_"))}
        )

    def identity(self) -> dict[str, Any]:
        """Whom a command runs as, in the words of subprocess."""
        uid, gid = self.layout.ids()
        return {
            "user": uid,
            "group": gid,
            "extra_groups": os.getgrouplist(self.layout.user, gid),
            "umask": 0o027,
        }

    def run(
        self,
        argv: list[str],
        what: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout: int = 1800,
        stdin: str = "",
    ) -> str:
        """Standard output of ``argv``; raises DeployError with the end of what it printed."""
        try:
            done = subprocess.run(
                argv,
                cwd=cwd or f"{self.layout.home}/home",
                env={**self.base, **(env or {})},
                **self.identity(),
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeployError(f"{what} did not finish within {timeout} s") from error
        except OSError as error:
            raise DeployError(f"{what} could not be started: {error}") from error
        if done.returncode:
            told = tail(done.stdout + done.stderr)
            raise DeployError(
                f"{what} failed (exit status {done.returncode}):\n{told}{limit_met(argv, told)}"
            )
        return done.stdout

    def pipe(
        self, argv: list[str], what: str, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
    ) -> str:
        """Runs ``argv`` on files that the app itself may not be able to open; returns what it says beside them."""
        done = subprocess.run(
            argv,
            cwd=f"{self.layout.home}/home",
            env=self.base,
            **self.identity(),
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise DeployError(
                f"{what} failed (exit status {done.returncode}):\n{tail(done.stderr.decode(errors='replace'))}"
            )
        return done.stderr.decode(errors="replace")

    def in_release(self, release: str, argv: list[str], what: str, **options: Any) -> str:
        """The same within a release: its environment, its virtual environment, its project folder."""
        return self.run([f"{LIBRARY}/run", release, *argv], what, **options)


# What programs say that were refused memory, or another process or thread.
NO_MEMORY = r"MemoryError|[Cc]annot allocate memory|[Oo]ut of memory|std::bad_alloc"
NO_PROCESS = r"can't start new thread|BlockingIOError|[Rr]esource temporarily unavailable|[Cc]annot fork"


def limit_met(argv: list[str], told: str) -> str:
    """Which limit of the app's may have ended a command of a release; one without memory often says nothing."""
    if argv[0] != f"{LIBRARY}/run":
        return ""
    try:
        with open(f"{argv[1]}/config/limits", encoding="utf-8") as stream:
            limits = stream.read()
    except OSError:
        return ""
    if "ulimit -d" in limits and (not told.strip() or re.search(NO_MEMORY, told)):
        return "\nlimits.memory: it may need more than the app is allowed, which holds for builds, too"
    if re.search(NO_PROCESS, told):
        return "\nlimits.processes: it may need more than the app is allowed, which holds for builds, too"
    return ""


def tail(text: str, lines: int = 25, width: int = 400) -> str:
    """The last lines of ``text``."""
    return "\n".join(line[:width] for line in text.rstrip().splitlines()[-lines:])
