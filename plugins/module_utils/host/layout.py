# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where an app's releases live on its host, and how commands run in them."""

from __future__ import annotations

import contextlib
import grp
import json
import math
import os
import pwd
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY, LOGS, RUNTIME
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import (
    MOST_TASKS,
    Ended,
    Refused,
    Scope,
    forked,
    given,
    watched,
)
from ansible_collections.homeport.django.plugins.module_utils.host.transcript import Transcript

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WEB_GROUP = "www-data"
UMASK = 0o027
# Seconds that these may take: a command, a whole build, a function that looks at an app's files, a dump or a restore.
COMMAND, BUILD, LOOK, DUMP = 1800, 3600, 300, 12 * 3600
SILENCE = 1800  # seconds without a byte of a dump


class DeployError(Exception):
    """A step failed; the message says what it means for the app. ``output`` is all that a command has printed."""

    output = ""


def interpreter(wanted: str, folder: str = "/usr/bin") -> str:
    """What a release is built for: the program of the host's own Python, or the version that uv has brought."""
    own = os.path.realpath(f"{folder}/python3")
    if not wanted:
        return own
    program = os.path.realpath(f"{folder}/python{wanted}")
    known = re.fullmatch(r"3\.\d+", wanted) and os.path.exists(program)
    return program if known and (program == own or not is_orphaned(program, own)) else f"uv {wanted}"


def is_orphaned(program: str, own: str = "/usr/bin/python3") -> bool:
    """Whether apt has no source of a Python any more, as after an upgrade of the system: autoremove removes it.

    Without any lists it has none of the host's own Python, either. The program install-python judges alike.
    """

    def policy(path: str) -> str:
        words = ["apt-cache", "policy", f"{os.path.basename(os.path.realpath(path))}-minimal"]
        environment = {"PATH": PATH, "LC_ALL": "C"}
        try:
            return subprocess.run(words, capture_output=True, text=True, check=False, env=environment).stdout
        except OSError:  # no apt: somebody's own machine
            return ""

    source = re.compile(r"(?m)^ +-?\d+ [a-z][a-z+]*:")
    output = policy(program)
    return (
        " /var/lib/dpkg/status\n" in output and not source.search(output) and bool(source.search(policy(own)))
    )


def is_gone(program: str) -> bool:
    """Whether the host has lost the Python that a release was built for, as by an upgrade of its system."""
    return program.startswith("/") and not os.path.exists(program)


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
        self.logs = f"{LOGS}/{self.name}"
        self.next_link = f"{self.home}/next"
        self.doing: Callable[[str], None] | None = None  # is told what each command is for
        self.transcript: Transcript | None = None  # gets what commands print

    @property
    def current(self) -> str | None:
        """Folder of the release that is live."""
        return self.resolve_link(f"{self.home}/current")

    def resolve_link(self, link: str) -> str | None:
        path = os.path.realpath(link)
        return path if os.path.islink(link) and os.path.isdir(path) else None

    def point(self, link: str, target: str) -> None:
        """Moves ``link`` to ``target`` in one step."""
        new = f"{link}.new"
        if os.path.lexists(new):
            os.unlink(new)
        os.symlink(target, new)
        os.rename(new, link)

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

    def has_followed(self) -> bool:
        """Whether the live release is not the app's first."""
        return bool(self.resolve_link(f"{self.home}/previous"))

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

    def own_folder(self, path: str) -> str:
        """A folder of the app's in one of root's, where the app cannot exchange it."""
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)
            os.chmod(path, 0o750)
            os.chown(path, *self.ids())
        return path


# The host's own settings for uv and npm (an index, a certificate store) and its proxies hold for its apps, too.
OF_THE_HOST = re.compile(
    r"UV_\w+|SSL_CERT_\w+|(HTTPS?|ALL|FTP|NO)_PROXY|(https?|all|ftp|no)_proxy"
    r"|NODE_EXTRA_CA_CERTS|npm_config_(registry|cafile)"
)
ENVIRONMENT = "/etc/environment"
# The host's certificate authorities, also those that its administrator has added.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def host_settings() -> dict[str, str]:
    """What of the host's environment commands of apps get, also where this run is no login that reads its file."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError), open(ENVIRONMENT, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            with contextlib.suppress(ValueError):  # quotes that are not closed
                for word in shlex.split(line, comments=True):
                    name, _sign, value = word.partition("=")
                    found[name] = value
    found.update(os.environ)
    return {key: value for key, value in found.items() if OF_THE_HOST.fullmatch(key)}


class Runner:
    """Runs commands as the app's user, and keeps what they print for the message when one fails."""

    def __init__(self, layout: Layout, seconds: float = math.inf) -> None:
        self.layout = layout
        self.end = time.monotonic() + seconds
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
        # Node.js has a list of its own, so that npm would refuse a registry which the host trusts, and uv, too.
        if os.path.isfile(AUTHORITIES):
            self.base["NODE_EXTRA_CA_CERTS"] = AUTHORITIES
        self.base.update(host_settings())

    def identity(self) -> dict[str, Any]:
        """Whom a command runs as, in the words of subprocess."""
        uid, gid = self.layout.ids()
        return {
            "user": uid,
            "group": gid,
            "extra_groups": os.getgrouplist(self.layout.user, gid),
            "umask": UMASK,
        }

    def words(self, argv: list[str], cwd: str = "/") -> list[str]:
        """A command of root's that runs ``argv`` as the app's user in ``cwd``, which that user enters itself."""
        user, gid = self.layout.user, str(self.layout.ids()[1])
        become = ["setpriv", "--reuid", user, "--regid", gid, "--init-groups", "--no-new-privs", "--"]
        return [*become, "env", "-C", cwd, *argv]

    def scope(self) -> Scope | None:
        return Scope(self.layout.name, self.layout.spec.get("most_processes", MOST_TASKS))

    def as_app(self, what: str, work: Callable[..., Any], *arguments: Any, seconds: float = LOOK) -> Any:
        """What ``work`` returns when the app's user calls it: the only way into folders where the app can write.

        The answer is JSON of the app's making: a claim.
        """
        try:
            return forked(self.identity(), min(seconds, self.left()), work, *arguments)
        except Refused as error:
            raise DeployError(f"{what}: {error}") from None

    def left(self) -> float:
        """Seconds until all of it has to be over: other apps wait for it."""
        return max(1.0, self.end - time.monotonic())

    def run(
        self,
        argv: list[str],
        what: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout: int = COMMAND,
        stdin: str = "",
    ) -> str:
        """The end of the standard output of ``argv``; raises DeployError with the end of what it printed."""
        seconds = min(timeout, self.left())
        with given(stdin) as stream:
            done = self._watched(argv, what, cwd, env, seconds, stdin=stream)
        if done.status:
            output = tail(done.stdout + done.stderr)
            error = DeployError(
                f"{what} failed (exit status {done.status}):\n{output}{limit_met(argv, output)}"
            )
            error.output = done.stdout + done.stderr
            raise error
        return done.stdout

    def pipe(
        self, argv: list[str], what: str, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
    ) -> str:
        """Runs ``argv`` on files that the app itself may not be able to open; returns what it says next to them."""
        with open(os.devnull, "r+b") as null:
            options: dict[str, Any] = {"stdin": stdin or null, "stdout": stdout or null}
            if stdout:
                options["silence"] = SILENCE
            done = self._watched(argv, what, None, None, DUMP, **options)
        if done.status:
            raise DeployError(f"{what} failed (exit status {done.status}):\n{tail(done.stderr)}")
        return done.stderr

    def _watched(
        self,
        argv: list[str],
        what: str,
        cwd: str | None,
        env: dict[str, str] | None,
        seconds: float,
        **options: Any,
    ) -> Ended:
        if self.layout.doing:
            self.layout.doing(what)
        if self.layout.transcript:
            self.layout.transcript.begin(what)
        home = f"{self.layout.home}/home"
        stdout = options.get("stdout")
        disks = [self.layout.home]
        if stdout and os.path.isfile(path := f"/proc/self/fd/{stdout.fileno()}"):
            disks.append(os.path.dirname(os.path.realpath(path)))
        try:
            done = watched(
                self.words(argv, cwd or home),
                {**self.base, **(env or {})},
                seconds,
                scope=self.scope(),
                disks=tuple(disks),
                transcript=self.layout.transcript,
                umask=UMASK,
                cwd="/",
                **options,
            )
        except OSError as error:
            raise DeployError(f"{what} could not be started: {error}") from error
        reasons = {
            "time": f"did not finish within {seconds:.0f} s",
            "silence": f"printed nothing for {SILENCE} s",
            "disk": f"was stopped, because {' or '.join(disks)} is almost full",
        }
        if done.stopped:
            output = tail(done.stdout + done.stderr)
            raise DeployError(f"{what} {reasons[done.stopped]}" + (f":\n{output}" if output else ""))
        return done

    def in_release(self, release: str, argv: list[str], what: str, **options: Any) -> str:
        """The same within a release: its environment, its virtual environment, its project folder."""
        return self.run([f"{LIBRARY}/run", release, *argv], what, **options)


def entries(folder: str, end: float = math.inf) -> Iterator[os.stat_result]:
    """Everything in a folder and the folder itself, however deep it goes, without following links, until ``end``."""
    yield os.lstat(folder)
    left = [folder]
    while left and time.monotonic() < end:
        with contextlib.suppress(OSError), os.scandir(left.pop()) as found:
            for entry in found:
                with contextlib.suppress(OSError):
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)


REMOVE = ("rm", "-rf", "--one-file-system", "--")


def remove(path: str, strict: bool = True) -> None:
    """Removes a folder of root's with what an app keeps below it: follows no link, however deep it goes."""
    done = watched([*REMOVE, path], {"PATH": PATH, "LC_ALL": "C"}, COMMAND, stdin=subprocess.DEVNULL)
    if strict and (done.status or done.stopped):
        raise DeployError(f"{path} cannot be removed:\n{tail(done.stderr, 5)}")


def remove_later(path: str) -> None:
    """The same, while the run goes on: a second for ten thousand files. What is left by a host that goes down meanwhile
    counts as an interrupted build."""
    if not os.path.isdir("/run/systemd/system"):
        remove(path, strict=False)
        return
    words = ["systemd-run", "--no-block", "--quiet", "--collect", "-p", "Nice=10", "--", *REMOVE, path]
    watched(words, {"PATH": PATH, "LC_ALL": "C"}, LOOK, stdin=subprocess.DEVNULL)


# What programs say that were refused memory, or another process or thread.
NO_MEMORY = r"MemoryError|[Cc]annot allocate memory|[Oo]ut of memory|std::bad_alloc"
NO_PROCESS = r"can't start new thread|BlockingIOError|[Rr]esource temporarily unavailable|[Cc]annot fork"


def limit_met(argv: list[str], output: str) -> str:
    """Which limit of the app's may have ended a command of a release; one without memory often says nothing."""
    if argv[0] != f"{LIBRARY}/run":
        return ""
    try:
        with open(f"{argv[1]}/config/limits", encoding="utf-8") as stream:
            limits = stream.read()  # root's, as all of config
    except OSError:
        return ""
    if "ulimit -d" in limits and (not output.strip() or re.search(NO_MEMORY, output)):
        return "\nlimits.memory: it may need more than the app is allowed, which holds for builds, too"
    if re.search(NO_PROCESS, output):
        return "\nlimits.processes: it may need more than the app is allowed, which holds for builds, too"
    return ""


def tail(text: str, lines: int = 25, width: int = 400) -> str:
    """The last lines of ``text``."""
    return "\n".join(line[:width] for line in text.rstrip().splitlines()[-lines:])
