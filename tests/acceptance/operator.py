"""An operator at the controller: runs the shipped playbooks against a scenario's servers."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Run:
    """A playbook run that has ended."""

    def __init__(self, status: int, output: str) -> None:
        self.status = status
        self.output = output

    @property
    def changed(self) -> int:
        """Changed tasks over all hosts."""
        lines = [line for line in self.output.splitlines() if " changed=" in line]
        return sum(int(line.split("changed=")[1].split()[0]) for line in lines)


class Operator:
    """Keeps an app's source in a folder of its own, so that a test can change it."""

    def __init__(self, inventory: str, folder: Path, app: dict[str, Any]) -> None:
        self.inventory = inventory
        self.source = folder / "source"
        self.variables = folder / "variables.json"
        self.app = app
        self.command = "ansible-playbook"
        self.others: dict[str, dict[str, Any]] = {}  # further apps, with the same source
        shutil.copytree(
            ROOT / "examples" / "memories", self.source, ignore=shutil.ignore_patterns("__pycache__")
        )

    def write(self, changes: dict[str, Any] | None = None) -> None:
        source = {"source": {"path": str(self.source)}}
        apps = {name: {**app, **source} for name, app in self.others.items()}
        apps["memories"] = {**self.app, **source, **(changes or {})}
        self.variables.write_text(json.dumps({"django_apps": apps}))

    def start(
        self,
        playbook: str,
        *options: str,
        changes: dict[str, Any] | None = None,
        apps: dict[str, dict[str, Any]] | None = None,
    ) -> "subprocess.Popen[str]":
        """Starts a playbook with ``changes`` of the app, or with other ``apps`` altogether."""
        if apps is None:
            self.write(changes)
        else:
            self.variables.write_text(json.dumps({"django_apps": apps}))
        command = [
            self.command,
            f"playbooks/{playbook}.yml",
            "-i",
            self.inventory,
            "-e",
            f"@{self.variables}",
        ]
        return subprocess.Popen(
            [*command, *options],
            cwd=ROOT,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                # where secrets are searched for once all is done (molecule/shared/tests)
                "ANSIBLE_LOG_PATH": f"{os.environ['MOLECULE_EPHEMERAL_DIRECTORY']}/ansible.log",
                "NO_COLOR": "1",
                "ANSIBLE_FORCE_COLOR": "0",  # which molecule sets where it has a terminal
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        playbook: str,
        *options: str,
        changes: dict[str, Any] | None = None,
        apps: dict[str, dict[str, Any]] | None = None,
    ) -> Run:
        process = self.start(playbook, *options, changes=changes, apps=apps)
        output = process.communicate(timeout=600)[0]
        return Run(process.returncode, output)

    def run_and_kill(self, playbook: str, play: str, seconds: float, *options: str) -> None:
        """Starts a playbook, and kills the controller some seconds after a play of it has begun."""
        process = self.start(playbook, *options)
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith(f"PLAY [{play}]"):
                break
        else:
            raise AssertionError("".join(said))
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.source / name
        text = path.read_text()
        assert old in text, f"{name} does not contain {old!r}"
        path.write_text(text.replace(old, new, 1))

    def append(self, name: str, text: str) -> None:
        with (self.source / name).open("a") as stream:
            stream.write(text)
