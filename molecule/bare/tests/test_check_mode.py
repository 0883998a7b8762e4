"""A run in check mode on bare servers succeeds and changes nothing, whatever the setup."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.operator import ROOT

testinfra_hosts = ["ansible://web1"]

SHARED = ROOT / "molecule" / "shared"
# The playbook of each inventory, and which of the two servers each of its hosts is.
SETUPS = {
    "inventories/simple": ("simple", {"simple1": "web1"}),
    "inventories/typical": ("typical", {"web1": "web1"}),
    "inventories/multi_app": ("multi_app", {"web1": "web1"}),
    "inventories/cache": ("cache", {"web1": "web1"}),
    "inventories/worker": ("worker", {"web1": "web1"}),
    "inventories/external_services": ("external_services", {"web1": "web1", "db1": "web2", "store1": "web2"}),
    "inventories/two_workers": ("worker", {"web1": "web1", "web2": "web2"}),
    "molecule/site/inventory": ("site", {"web1": "web1"}),
}


def test_every_setup_is_tried() -> None:
    shipped = {f"inventories/{path.parent.name}" for path in (ROOT / "inventories").glob("*/hosts.yml")}
    assert shipped <= set(SETUPS)
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml") if is_setup(path)}
    assert playbooks == {playbook for playbook, _hosts in SETUPS.values()}


def is_setup(playbook: Path) -> bool:
    imported = {play.get("ansible.builtin.import_playbook") for play in yaml.safe_load(playbook.read_text())}
    # a verb that sets up on its way has plays of its own
    return {"components/host.yml", "components/release.yml"} <= imported and None not in imported


@pytest.mark.parametrize("setup", SETUPS)
def test_check_mode_changes_nothing(setup: str, host: Any, tmp_path: Path) -> None:
    playbook, names = SETUPS[setup]
    inventory = Path(host.backend.ansible_runner.inventory_file) / "zz-test-hosts.yml"
    servers = yaml.safe_load(inventory.read_text())["all"]
    base = {"homeport_base": str(ROOT / setup)} if setup.startswith("inventories/") else {}
    servers["hosts"] = {name: {**servers["hosts"][server], **base} for name, server in names.items()}
    own = tmp_path / "servers.yml"
    own.write_text(yaml.safe_dump({"all": servers}))
    playbooks = [SHARED / "check_begins.yml", ROOT / f"playbooks/{playbook}.yml", SHARED / "check_ends.yml"]
    done = subprocess.run(
        [
            "ansible-playbook",
            "-i",
            ROOT / setup / "hosts.yml",
            "-i",
            own,
            "--check",
            "--diff",
            "-vvv",
            *playbooks,
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_LOG_PATH": f"{os.environ['MOLECULE_EPHEMERAL_DIRECTORY']}/ansible.log",
            "NO_COLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
