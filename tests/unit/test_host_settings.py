"""What users say of their hosts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import malformed
from ansible_collections.homeport.django.plugins.module_utils.validation.roles.host import INPUTS
from ansible_collections.homeport.django.plugins.module_utils.wiring.host import swap_size
from ansible_collections.homeport.django.plugins.module_utils.wiring.inputs import input_problems

ROOT = Path(__file__).parents[2]
SWAP = ROOT / "roles/host/files/usr/local/lib/homeport/swap"
FREE = 100_000


def facts(**changes: Any) -> dict[str, Any]:
    swap = {"own_mb": 0, "other_mb": 0, "filesystem": "ext4", **changes.pop("swap", {})}
    return {"container": False, "memory_mb": 2048, "free_mb": FREE, "swap": swap, **changes}


def test_the_defaults_are_right() -> None:
    defaults = yaml.safe_load((ROOT / "roles/host/defaults/main.yml").read_text())
    assert malformed(defaults) == []
    assert INPUTS.keys() <= defaults.keys(), "checks of what is no variable"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host_firewall_rules", [{}]),
        ("host_ssh_root_login", "maybe"),
        ("host_ssh_root_login", False),
        ("host_fail2ban_ignored", ["everybody"]),
        ("host_fail2ban_ignored", "192.0.2.1"),
        ("host_updates_at", 400),
        ("host_updates_at", "24:00"),
        ("host_updates_at", "04:00\nOnCalendar=minutely"),
        ("host_updates_spread", -1),
        ("host_updates_spread", True),
        ("host_updates_days", ["Monday"]),
        ("host_updates_days", "Mon"),
        ("host_updates_except", ['x"; }; APT::Update::Pre-Invoke { "reboot']),
        ("host_time_servers", [""]),
        ("host_time_servers", ["pool server"]),
        ("host_time_servers", ["-x.example.org"]),
        ("host_swap", "large"),
        ("host_swap", "2G"),
        ("host_swap", -1),
        ("host_journal_mb", "1\nStorage=none"),
        ("host_log_mb", "100k"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: Any) -> None:
    found = malformed({name: value})
    assert len(found) == 1
    assert found[0].startswith(name)


def test_a_variable_without_a_value_switches_nothing_off() -> None:
    variables: dict[str, Any] = {"host_firewall": None, "host_users": [], "nginx_http_extra": None}
    assert input_problems(variables, {}) == ["host_firewall: has no value; leave it out for the default"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host_fail2ban_ignored", ["192.0.2.0/24", "2001:db8::1"]),
        ("host_updates_at", "23:59"),
        ("host_updates_days", ["Mon", "Sun"]),
        ("host_updates_except", ["linux-image-.*", "libstdc\\+\\+6$"]),
        ("host_time_servers", ["0.pool.ntp.org", "192.0.2.1", "2001:db8::1"]),
        ("host_swap", 512),
        ("host_swap", "0"),
        ("host_something_of_the_users_own", object()),
    ],
)
def test_what_is_right_is_taken(name: str, value: Any) -> None:
    assert malformed({name: value}) == []


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (facts(), 2048),
        (facts(memory_mb=400), 1024),
        (facts(memory_mb=64_000), 4096),
        (facts(free_mb=2000), 256),
        (facts(free_mb=800), 0),
        (facts(container=True), 0),
        (facts(swap={"other_mb": 100}), 0),
        (facts(swap={"filesystem": "btrfs"}), 0),
        # what is there stays as it is, although the free disk has become less
        (facts(swap={"own_mb": 1024}, free_mb=800), 1024),
    ],
)
def test_swap_is_sized_to_the_host(given: dict[str, Any], size: int) -> None:
    assert swap_size("auto", given) == size


def test_swap_of_a_given_size() -> None:
    assert swap_size(512, facts(container=True)) == 512
    assert swap_size("0", facts()) == 0


class Machine:
    """A folder of programs that only write down how they were called; a real swap would be the machine's own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "swapfile"
        self.calls = folder / "calls"
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name in ("mkswap", "swapon", "swapoff"):
            program = self.programs / name
            program.write_text(f'#!/bin/sh\necho {name} "$@" >>{self.calls}\n')
            program.chmod(0o755)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        found = {
            **os.environ,
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOMEPORT_SWAP_FILE": str(self.file),
            **environment,
        }
        return subprocess.run(
            ["sh", str(SWAP), *words], env=found, capture_output=True, text=True, check=False
        )

    def called(self) -> list[str]:
        found = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [line.split()[0] for line in found]

    def answers(self, name: str, text: str) -> None:
        program = self.programs / name
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' {text}\n")
        program.chmod(0o755)


def test_a_swap_file_is_made_once_and_resized(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.answers("stat", '"$(/usr/bin/stat "$@" | sed s/overlayfs/ext4/)"')
    assert machine.run("on", "2").returncode == 0
    assert machine.called() == ["mkswap", "swapon"]
    assert machine.file.stat().st_size == 2 << 20
    assert machine.file.stat().st_mode & 0o777 == 0o600
    assert machine.run("on", "2").returncode == 0
    assert machine.called() == ["swapon"]
    assert machine.run("on", "3").returncode == 0
    assert machine.called() == ["mkswap", "swapon"]
    assert machine.file.stat().st_size == 3 << 20
    assert machine.run("off").returncode == 0
    assert not machine.file.exists()


@pytest.mark.parametrize(
    ("program", "answer", "reason"), [("stat", "zfs", "zfs"), ("df", "900", "only 900 MiB are free")]
)
def test_a_swap_file_that_cannot_be(tmp_path: Path, program: str, answer: str, reason: str) -> None:
    machine = Machine(tmp_path)
    machine.answers(program, answer)
    if program == "df":
        machine.answers("stat", "ext4")
    done = machine.run("on", "2")
    assert done.returncode == 1
    assert reason in done.stderr
    assert "host_swap" in done.stderr
    assert machine.called() == []
    assert not machine.file.exists()
