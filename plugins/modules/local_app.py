#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Apps on the operator's own machine: a virtual environment, SQLite, runserver. No root."""

from __future__ import annotations

DOCUMENTATION = r"""
module: local_app
short_description: Run Django apps on this machine with runserver
description:
  - Creates a virtual environment for each app, installs its dependencies, and migrates SQLite databases. Starts
    runserver on the working copy, which it reloads when the code changes.
  - Everything it makes is in one folder; nothing needs root.
options:
  apps:
    description: The apps, as the filter P(homeport.django.local_apps#filter) gives them. Each runs from its
      C(source.path), or from a clone of its C(source.git).
    type: list
    elements: dict
    required: true
  environments:
    description: Environment variables of the apps, by app. Kept apart because they hold secrets.
    type: dict
    required: true
  base:
    description: Folder that C(source.path) is relative to.
    type: path
    required: true
  uv:
    description: The program uv.
    type: path
    required: true
  state:
    description: Whether the apps run.
    type: str
    choices: [started, stopped]
    default: started
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Run the apps here
  homeport.django.local_app:
    apps: "{{ homeport_apps | homeport.django.local_apps(folder) }}"
    environments: "{{ environments }}"
    base: "{{ inventory_dir }}"
    uv: "{{ folder }}/uv/bin/uv"
"""

import hashlib
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    Runner,
    tail,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.project import (
    find_manage,
    import_folders,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.requirements import Requirements

TIMEOUT = 30


class LocalLayout(Layout):
    def ids(self) -> tuple[int, int]:
        return os.getuid(), os.getgid()


class LocalRunner(Runner):
    """Runs commands as the operator, in the operator's environment and the app's."""

    def __init__(self, layout: Layout, environment: dict[str, str]) -> None:
        super().__init__(layout)
        self.base = {**os.environ, **environment, "UV_NO_PROGRESS": "1", "VIRTUAL_ENV": f"{layout.home}/venv"}
        self.base["PATH"] = f"{layout.home}/venv/bin:{os.environ.get('PATH', '')}"

    def words(self, argv: list[str], cwd: str = "/") -> list[str]:
        return ["sh", "-c", 'cd "$0" && exec "$@"', cwd, *argv]

    def scope(self) -> None:
        """The operator's own commands have no limits."""

    def as_app(self, what: str, work: Callable[..., Any], *arguments: Any, seconds: float = 0) -> Any:
        try:
            return work(*arguments)
        except OSError as error:
            raise DeployError(f"{what}: {error}") from error


class LocalApp:
    def __init__(self, spec: dict[str, Any], environment: dict[str, str], base: str, uv: str) -> None:
        self.spec, self.uv = spec, uv
        self.layout = LocalLayout(spec)
        self.home = spec["home"]
        self.environment = dict(environment)
        if spec.get("settings"):
            self.environment["DJANGO_SETTINGS_MODULE"] = spec["settings"]
        self.runner = LocalRunner(self.layout, self.environment)
        self.log = f"{self.home}/runserver.log"
        self.base = base

    def start(self) -> bool:
        for name in ("", "cache", "home", "media"):
            os.makedirs(f"{self.home}/{name}", exist_ok=True)
        source = self.source()
        found, project, named = find_manage(source, self.spec.get("manage") or "", False, self.environment)
        changed = self.install(source, project)
        package = (self.spec.get("settings") or named).partition(".")[0]
        folders = import_folders(project, source, package) if package else []
        base = self.runner.base
        base["PYTHONPATH"] = ":".join(filter(None, [*folders, base.get("PYTHONPATH")]))
        manage = shlex.split(found)
        if manage[0] == "python":
            manage[0] = f"{self.home}/venv/bin/python"
        if self.spec["migrate"]["run"]:
            aliases = [alias for alias, further in self.spec["databases"].items() if further["migrate"]]
            for words in ([], *(["--database", alias] for alias in aliases)):
                out = self.runner.run([*manage, "migrate", "--noinput", *words], "migrate", cwd=project)
                changed = changed or "Applying " in out
        mark = hashlib.sha256(
            json.dumps([self.environment, manage, project], sort_keys=True).encode()
        ).hexdigest()
        if self.pid() and mark != self.read("runserver.mark"):
            self.stop()
        if not self.pid():
            changed = True
            self.serve([*manage, "runserver", f"127.0.0.1:{self.spec['port']}"], project, mark)
        return changed

    def source(self) -> str:
        source = self.spec["source"]
        if "path" in source:
            path = os.path.normpath(os.path.join(self.base, os.path.expanduser(source["path"])))
        elif "git" in source:
            path = f"{self.home}/src"
            if not os.path.isdir(path):
                branch = ["--branch", source["version"]] if source.get("version", "HEAD") != "HEAD" else []
                self.runner.run(
                    ["git", "clone", "--quiet", *branch, "--", source["git"], path],
                    f"Cloning {source['git']}",
                )
        else:
            raise DeployError("source: only path and git can run on this machine")
        return f"{path}/{source['subdirectory']}" if source.get("subdirectory") else path

    def install(self, source: str, project: str) -> bool:
        """Installs the dependencies when what declares them is not as it was; says whether it did."""
        wanted = Requirements(self.layout, self.runner, self.home, source, project, self.uv)
        kind, path = wanted.find()
        digest = hashlib.sha256(
            json.dumps([kind, self.spec.get("python"), self.spec["requirements"]], sort_keys=True).encode()
        )
        for name in (
            [path] if path else [f"{source}/{name}" for name in self.spec["requirements"].get("files", [])]
        ):
            with open(name, "rb") as stream:
                digest.update(stream.read())
        if self.read("requirements.mark") == digest.hexdigest():
            return False
        subprocess.run(["rm", "-rf", f"{self.home}/venv"], check=True)
        wanted.install()
        self.write("requirements.mark", digest.hexdigest())
        return True

    def serve(self, argv: list[str], project: str, mark: str) -> None:
        if not self.port_is_free():
            raise DeployError(
                f"Port {self.spec['port']} is taken by another program; end it, or choose another first port "
                "with -e port=NUMBER"
            )
        with open(self.log, "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                argv,
                cwd=project,
                env=self.runner.base,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.write("runserver.pid", str(process.pid))
        self.write("runserver.mark", mark)
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            if process.poll() is not None:
                break
            if not self.port_is_free():
                return
            time.sleep(0.1)
        with open(self.log, encoding="utf-8", errors="replace") as stream:
            printed = stream.read()
        self.stop()
        raise DeployError(f"runserver does not start:\n{tail(printed)}")

    def port_is_free(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.spec["port"])) != 0

    def pid(self) -> int:
        """Of the runserver that an earlier run started, as long as it lives."""
        text = self.read("runserver.pid")
        if not text:
            return 0
        try:
            with open(f"/proc/{int(text)}/cmdline", "rb") as stream:
                return int(text) if b"runserver" in stream.read() else 0
        except OSError:
            return 0

    def stop(self) -> bool:
        pid = self.pid()
        if not pid:
            return False
        os.killpg(pid, signal.SIGTERM)
        end = time.monotonic() + 10
        while self.pid() and time.monotonic() < end:
            time.sleep(0.05)
        if self.pid():
            os.killpg(pid, signal.SIGKILL)
        return True

    def read(self, name: str) -> str:
        try:
            with open(f"{self.home}/{name}", encoding="utf-8") as stream:
                return stream.read().strip()
        except OSError:
            return ""

    def write(self, name: str, text: str) -> None:
        with open(f"{self.home}/{name}", "w", encoding="utf-8") as stream:
            stream.write(text)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "apps": {"type": "list", "elements": "dict", "required": True},
            "environments": {"type": "dict", "required": True, "no_log": True},
            "base": {"type": "path", "required": True},
            "uv": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
        },
        supports_check_mode=True,
    )
    # DEBUG=1 is no secret, and every 1 of a message would be masked
    module.no_log_values = {value for value in module.no_log_values if len(value) > 3}
    params = module.params
    changed, problems = False, []
    for spec in params["apps"]:
        app = LocalApp(spec, params["environments"].get(spec["name"], {}), params["base"], params["uv"])
        if module.check_mode:
            changed = changed or bool(app.pid()) != (params["state"] == "started")
            continue
        try:
            changed = (app.start() if params["state"] == "started" else app.stop()) or changed
        except DeployError as error:
            problems.append(f"{spec['name']}: {error}")
    if problems:
        module.fail_json(msg="\n\n".join(problems), changed=changed)
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
