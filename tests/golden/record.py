"""What a setup playbook would put on the hosts of an inventory, as text: every question to a module, and no host.

    python -m tests.golden.record [NAME...]

writes tests/golden/NAME/HOST.txt for the inventories of that name, or for all. The shipped playbooks run with the
shipped roles and action plugins; in the place of the modules, which run on the hosts, their arguments are written down.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"

OTHERS: dict[str, Any] = {
    "accounts": {}, "folders": [], "commands": [], "listeners": {}, "local": [], "units": {}, "nginx": [],
    "hidden": {}, "sites": [], "programs": {}, "services": [], "postgres": {},
}  # fmt: skip
UNDECLARED: dict[str, Any] = {
    "apps": [], "process": [], "schedule": [], "units": [], "stores": {}, "vhosts": [], "databases": {},
    "backup": False, "archive": False,
}  # fmt: skip
# What the module host_facts would find on a bare Debian 13.
FACTS: dict[str, Any] = {
    "distribution": "debian", "version": "13", "architecture": "x86_64", "systemd": True,
    "ipv6": True, "setup": "", "sets": [], "tls": "", "login": "admin", "ssh_ports": [22], "pending_changes": [],
    "container": False, "time_daemon": "",
    "swap": {"own_mb": 0, "other_mb": 0, "filesystem": "ext4"}, "certificates": {}, "logins": {}, "databases": {},
    "buckets": {},
    "revisions": {}, "domains": {}, "others": OTHERS, "backup": {}, "archive": {}, "given": {}, "parts": {},
    "packages": [], "run": "",
    "cores": 2, "memory_mb": 8000, "free_mb": 50_000, "nginx": "1.26.3", "nginx_brotli": False, "postgres": "17",
    "postgres_cluster": "main", "postgres_move": "", "postgres_unserved": "", "postgres_extensions": [], "sources": {},
    "undeclared": UNDECLARED,
    "set_up_by": "", "set_up_cores": 0, "collection": {"version": "0.1.0", "newer": ""},
    "site": {},
    "redis": "8.0.2", "valkey": "8.1.1",
}  # fmt: skip
# What differs from run to run, or with the operator's machine.
OF_THE_RUN = {"run", "holder", "given", "uploads", "digest"}
OF_THE_CLONE = "homeport.django.site_record"


def inventories() -> dict[str, Path]:
    """By name: shipped ones, without those whose apps and services others have, and those of this folder."""
    shipped = ("simple", "typical", "worker", "external_services")
    paths = [ROOT / "inventories" / name / "hosts.yml" for name in shipped]
    return {path.parent.name: path for path in [*paths, *sorted(GOLDEN.glob("inventories/*/hosts.yml"))]}


def questions(name: str) -> list[dict[str, Any]]:
    """What a run of the setup playbook asks of the modules, in the order of the tasks."""
    setup = name if (ROOT / "playbooks" / f"{name}.yml").exists() else "site"
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as stream:
        command = [
            sys.executable,
            "-m",
            "tests.golden.record",
            "--play",
            stream.name,
            str(inventories()[name]),
            setup,
        ]
        environment = {
            **os.environ,
            "ANSIBLE_FORKS": "1",
            "PYTHONPATH": str(ROOT),
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        asked = [json.loads(line) for line in stream]
        return [question for question in asked if question["module"] != OF_THE_CLONE]


def play(out: str, inventory: str, setup: str) -> int:
    """Runs a setup playbook; a program of its own, since it puts something else in the place of Ansible's calls."""
    from ansible.cli.playbook import PlaybookCLI
    from ansible.plugins.action import ActionBase

    def ask(
        self: Any, module_name: Any = None, module_args: Any = None, task_vars: Any = None, **_options: Any
    ) -> dict[str, Any]:
        name = module_name or self._task.action
        question = {
            "host": task_vars["inventory_hostname"],
            "task": str(self._task.get_name()),
            "module": name,
            "arguments": self._task.args if module_args is None else module_args,
        }
        with open(out, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(question, default=str) + "\n")
        return {"changed": False, **answer(name, question["arguments"])}

    ActionBase._execute_module = ask
    ActionBase._make_tmp_path = lambda self, *_: self._connection._shell.__dict__.setdefault(
        "tmpdir", "/tmp/x"
    )
    ActionBase._transfer_file = lambda self, local, remote: remote
    ActionBase._remove_tmp_path = lambda self, *_, **__: None
    given = {
        "homeport_secret": "0123456789abcdef" * 4,
        "homeport_address": "192.0.2.{{ 11 + groups['all'].index(inventory_hostname) }}",
    }
    words = ["ansible-playbook", f"playbooks/{setup}.yml", "-i", inventory, "-e", json.dumps(given)]
    return int(PlaybookCLI(words).run())


def answer(module: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What a host would answer, as far as later tasks ask for it."""
    if module == "homeport.django.host_facts":
        return {"ansible_facts": {"homeport": FACTS}}
    if module == "homeport.django.release":
        names = [app["name"] for app in arguments["apps"]]
        releases = {name: f"/srv/{name}/releases/new" for name in names}
        return {
            "pending": names,
            "releases": releases,
            "outcomes": {},
            "failed_apps": {},
            "visits": {},
            "unasked": [],
        }
    return (
        {"addresses": [], "problems": {}, "unreached": {}, "unusable": {}}
        if module == "homeport.django.reachability"
        else {}
    )


def texts(name: str) -> dict[str, str]:
    """The golden files of an inventory, by host."""
    found: dict[str, list[str]] = {}
    files = {
        hashlib.sha256(path.read_bytes()).hexdigest(): str(path.relative_to(ROOT))
        for folder in ("roles", "plugins")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    said: dict[str, dict[str, Any]] = {}
    for question in questions(name):
        host = question["host"]
        found.setdefault(host, []).extend(lines(question, files, said.setdefault(host, {})))
    return {
        host: "\n".join(told).replace(str(ROOT), "${root}") + "\n" for host, told in sorted(found.items())
    }


def lines(question: dict[str, Any], known: dict[str, str], said: dict[str, Any]) -> Iterator[str]:
    arguments = without(question["arguments"])
    secrets = arguments.pop("secrets", {})
    files = arguments.pop("files", [])
    module = question["module"].removeprefix("homeport.django.")
    for key, value in arguments.items():
        if len(str(value)) > 200 and said.get(key) == value:
            arguments[key] = "(as before)"
        said[key] = value
    yield f"#### {question['task']}: {module}"
    if arguments:
        yield yaml.safe_dump(arguments, sort_keys=True, width=150, allow_unicode=True).rstrip()
    for entry in files:
        content = secrets.get(entry["path"], entry.pop("content", None))
        yield f"## {entry.pop('path')} {json.dumps(entry, sort_keys=True, ensure_ascii=False)}"
        if content is not None:
            # no two signatures are the same, and keys look as if they were to be kept
            content = re.sub(
                r"(?s)(BEGIN (?:CERTIFICATE|PRIVATE KEY)-----).*?(-----END)", r"\1 ... \2", content
            )
            same = known.get(hashlib.sha256(content.encode()).hexdigest())
            yield f"(as {same})" if same else content.rstrip("\n")


def without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without(entry) for key, entry in value.items() if key not in OF_THE_RUN}
    return [without(entry) for entry in value] if isinstance(value, list) else value


def main(names: list[str]) -> int:
    if names[:1] == ["--play"]:
        return play(*names[1:])
    for name in names or inventories():
        for host, text in texts(name).items():
            path = GOLDEN / name / f"{host}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
