"""What of the files beside an inventory names hosts, and how the demo writes its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.releases import write

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "playbooks/templates/new_site/ansible.cfg.j2"


def section(path: Path) -> str:
    text = path.read_text()
    return text[text.index("[inventory]") :].split("\n\n")[0]


def test_new_sites_read_an_inventory_as_the_clone_does() -> None:
    assert section(TEMPLATE) == section(ROOT / "ansible.cfg")


def test_files_of_apps_name_no_hosts(tmp_path: Path) -> None:
    write(tmp_path / "prod/hosts.yml", "all: {hosts: {web1: }}\n")
    write(tmp_path / "prod/zz-addresses.yaml", "all: {hosts: {web2: }}\n")
    write(tmp_path / "prod/inventory.ini", "[app_servers]\nweb3\n")
    write(tmp_path / "prod/hosts", "web4\n")
    for name, text in (
        ("certs/README", "body\n"),
        ("config/app.env", "TOKEN=abc\n"),
        ("local_settings.py", "DEBUG=False\n"),
        ("logo.svg", "<svg/>\n"),
        ("dump.sql", "SELECT\n"),
        ("robots", "x\n"),
        ("hosts.yml.orig", "web5\n"),
        ("tls/hosts.pem", "web6\n"),
    ):
        write(tmp_path / "prod" / name, text)
    config = write(tmp_path / "ansible.cfg", section(ROOT / "ansible.cfg") + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "inventory", "-i", str(tmp_path / "prod"), "--list"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "ANSIBLE_CONFIG": str(config)},
        timeout=120,
    )
    groups = json.loads(done.stdout)
    hosts = {host for group in groups.values() for host in group.get("hosts", [])}
    assert hosts == {"web1", "web2", "web3", "web4"}
    assert "WARNING" not in done.stderr


@pytest.mark.parametrize("folder", ["/srv/R&D|x", '/srv/a"b\\c', "/srv/with space"])
def test_the_demo_in_any_folder(folder: str, tmp_path: Path) -> None:
    bash = shutil.which("bash") or "bash"
    write(tmp_path / ".venv/bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n').chmod(0o755)
    text = (ROOT / "bin/demo").read_text()
    function = text[text.index("filled_in() {") : text.index("# The setup's inventory, with")]
    # the program is that of the test, the folder is only a name
    function = function.replace('"$HOMEPORT/.venv/bin/python"', f'"{tmp_path}/.venv/bin/python"')
    given = 'apps: {domains: ["@ADDRESS@"], source: {path: "@REPOSITORY@/examples/x"}}\n'
    done = subprocess.run(
        [bash, "-c", f"{function}\nfilled_in 192.0.2.1"],
        input=given,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOMEPORT": folder},
        timeout=60,
    )
    apps = yaml.safe_load(done.stdout)["apps"]
    assert apps == {"domains": ["192.0.2.1"], "source": {"path": f"{folder}/examples/x"}}
