"""The playbook `local`: runserver on the operator's machine, for real."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.homeport.django.plugins.module_utils.wiring.local import local_apps
from ansible_collections.homeport.django.plugins.modules.local_app import LocalApp

from tests.unit.releases import write
from tests.unit.support import resolved

ROOT = Path(__file__).parents[2]
# As pyenv's where the folder asks for a version that is not there: nothing of it is JSON.
SHIM = '#!/bin/sh\necho "$0 $*" >>{log}\necho "pyenv: version \'3.99\' is not installed"\nexit 127\n'


class Site:
    """An operator's machine with an inventory, a working copy, and no Python of its own on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shims = folder / "shims.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        shutil.copytree(ROOT / "examples/notes", folder / "notes")
        for name in ("python", "python3"):
            write(folder / "shims" / name, SHIM.format(log=self.shims)).chmod(0o755)
        # what an inventory says of localhost is said of the servers' way, and this is the operator's machine
        hosts = {
            "localhost": {
                "ansible_connection": "ssh",
                "ansible_python_interpreter": "python3",
                "ansible_become": True,
            },
            "web1": {},
        }
        write(folder / "prod/hosts.yml", yaml.safe_dump({"app_servers": {"hosts": hosts}}))
        notes = {
            "domains": ["notes.example"],
            "source": {"path": "../notes"},
            "requirements": {"packages": ["Django~=5.2.0"]},
        }
        values = {"homeport_secret": "b" * 64, "homeport_setup": "simple", "django_apps": {"notes": notes}}
        write(folder / "prod/group_vars/all.yml", yaml.safe_dump(values))

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment = {
            **kept,
            "PATH": f"{self.folder / 'shims'}:{kept['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "NO_COLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
        }
        words = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "playbooks/local.yml",
            "-i",
            str(self.folder / "prod"),
        ]
        words += ["-e", f"folder={self.folder / 'kept'}", "-e", f"port={self.port}", *options]
        return subprocess.run(
            words,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def page(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10) as answer:
            return str(answer.read().decode())

    def pid(self) -> int:
        return int((self.folder / "kept/notes/runserver.pid").read_text())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.run("-e", "state=stopped")


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)


def changed(done: subprocess.CompletedProcess[str]) -> int:
    assert done.returncode == 0, done.stdout + done.stderr
    recap = [line for line in done.stdout.splitlines() if " changed=" in line]
    assert [line.split()[0] for line in recap] == ["localhost"]
    return int(recap[0].split("changed=")[1].split()[0])


def test_the_apps_run_on_the_operators_machine(site: Site) -> None:
    """With the Python that runs Ansible, whatever the inventory says of localhost."""
    started = site.run()
    assert changed(started) == 2, started.stdout
    assert f"notes: http://localhost:{site.port}/" in started.stdout
    assert "<html" in site.page()
    pid = site.pid()
    assert changed(site.run()) == 0
    assert site.pid() == pid
    # a change of the code needs no run
    template = site.folder / "notes/notes/templates/notes/notes.html"
    template.write_text(template.read_text().replace("</body>", "<p>Changed</p></body>"))
    wait_until(lambda: "Changed" in site.page(), 30)
    stopped = site.run("-e", "state=stopped")
    assert changed(stopped) == 1
    with pytest.raises(urllib.error.URLError):
        site.page()
    assert changed(site.run("-e", "state=stopped")) == 0
    # a port that is taken is told, and nothing is left running
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", site.port))
        other.listen()
        done = site.run()
    assert done.returncode != 0, done.stdout
    assert f"Port {site.port} is taken by another program" in " ".join(done.stdout.split()), done.stdout
    assert changed(site.run("-e", "state=stopped")) == 0
    assert not site.shims.exists(), site.shims.read_text()


def test_modules_in_src_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "code/manage.py", 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "blog.settings")')
    write(tmp_path / "code/src/blog/settings.py")
    apps = {"blog": resolved(source={"path": "code"}, migrate={"run": False})}
    (spec,) = local_apps(apps, str(tmp_path / "kept"))
    monkeypatch.setattr(LocalApp, "install", lambda *_words: False)
    monkeypatch.setattr(LocalApp, "serve", lambda *_words: None)
    monkeypatch.setenv("PYTHONPATH", "/own")
    found = LocalApp(spec, spec["environment"], str(tmp_path), "uv")
    assert found.start()
    assert found.runner.base["PYTHONPATH"] == f"{tmp_path}/code:{tmp_path}/code/src:/own"
