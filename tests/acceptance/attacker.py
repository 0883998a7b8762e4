"""Whoever has the user, the repository and the database of one app, and wants more."""

from __future__ import annotations

import os
import shlex
import shutil
import uuid
from pathlib import Path
from typing import Any

from tests.acceptance.operator import Operator, Run

# Everything that is not the attacker's, with its owner and its rights.
OTHERS = (
    "find /etc /root /usr/local /opt /srv/victim /var/lib/homeport /run/homeport /var/log -xdev "
    "-ignore_readdir_race -not -path '/run/homeport/evil*' -printf '%p\\t%u %g %m\\n'"
)
# Where any user may have files on Debian, and where Homeport gives some to the app.
OWN = (
    "/srv/evil",
    "/run/homeport/evil",
    "/run/homeport/evil.sock",
    "/tmp",
    "/var/tmp",
    "/dev",
    "/proc",
    "/sys",
)
PROGRAMS = "/opt/attack"


class Evil:
    """The attacker on the host, and at the repository from which the operator deploys."""

    def __init__(self, host: Any, operator: Operator, programs: Path) -> None:
        self.host = host
        self.operator = operator
        self.apps: dict[str, dict[str, Any]] = host.ansible.get_variables()["django_apps"]
        self.source = operator.source
        shutil.rmtree(self.source)
        shutil.copytree(Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "evil", self.source)
        self.nonce = uuid.uuid4().hex  # no release of an earlier run is taken for what is wanted now
        self.append("notes/settings.py", f"# {self.nonce}\n")
        host.check_output(f"mkdir -p {PROGRAMS}")
        for path in programs.iterdir():
            host.check_output(f"printf %s {shlex.quote(path.read_text())} > {PROGRAMS}/{path.name}")
        self.before = self.others()

    def run(self, command: str) -> Any:
        return self.host.run(f"cd / && runuser -u evil -- sh -c {shlex.quote(command)}")

    def do(self, command: str) -> str:
        done = self.run(command)
        assert done.rc == 0, done.stdout + done.stderr
        return str(done.stdout)

    def lives(self, name: str, command: str) -> None:
        """A process that goes on while others work."""
        words = f"systemd-run --quiet --collect --unit=attack-{name} --uid=evil --gid=evil"
        self.host.check_output(f"{words} sh -c {shlex.quote(command)}")

    def play(self, playbook: str, *options: str, evil: dict[str, Any] | None = None, **victim: Any) -> Run:
        """A playbook of the operator's, with changes of either app."""
        mine = {**self.apps["evil"], "source": {"path": str(self.source)}, **(evil or {})}
        apps = {"evil": mine, "victim": {**self.apps["victim"], **victim}}
        return self.operator.run(playbook, *options, apps=apps)

    def append(self, name: str, text: str) -> None:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            stream.write(text)

    def others(self) -> dict[str, str]:
        found = self.host.run(OTHERS).stdout
        return dict(line.split("\t") for line in found.splitlines() if "\t" in line)

    def gained(self) -> list[str]:
        """What is the attacker's now, or has other rights than before, where nothing should be or have."""
        after = self.others()
        found = [f"{path}: {rights}" for path, rights in after.items() if "evil" in rights.split()[:1]]
        found += [
            f"{path}: {self.before[path]} -> {rights}"
            for path, rights in after.items()
            if self.before.get(path, rights) != rights
        ]
        pruned = " -o ".join(f"-path {path}" for path in OWN)
        left = self.host.run(rf"find / \( {pruned} \) -prune -o -user evil -print").stdout
        return found + left.split()

    def end(self) -> None:
        self.host.run("systemctl stop 'attack-*'; pkill -u evil -f /opt/attack")
        for path in ("uploads", "uploads.link"):
            self.host.run(f"rm -rf /srv/evil/shared/files/{path}")
