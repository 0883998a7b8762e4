"""What a run shows with the callback of a new site."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLAY = """
- name: Nothing to tell
  hosts: localhost
  gather_facts: false
  tasks:
    - {name: Ask, ansible.builtin.command: "true", changed_when: false}
    - {name: Skip, ansible.builtin.command: "true", when: false}
- name: Something to tell
  hosts: localhost
  gather_facts: false
  tasks:
    - {name: Change, ansible.builtin.command: "true", changed_when: true}
    - {name: Say, ansible.builtin.debug: {msg: [one, two]}}
    - {name: Say each, ansible.builtin.debug: {msg: "{{ item }}"}, loop: [three, four]}
    - {name: Forgive, ansible.builtin.fail: {msg: forgiven}, ignore_errors: true}
    - {name: Hide, ansible.builtin.command: echo hidden, changed_when: true, no_log: true}
    - {name: Each, ansible.builtin.fail: {msg: "bad {{ item }}"}, when: item == 2, loop: [1, 2, 3]}
    - {name: Never, ansible.builtin.fail: {msg: never}}
"""
SHOWN = """
Something to tell
  localhost: Change
  one
  two
  three
  four
  localhost: Hide
  localhost: Each: FAILED
  bad 2

localhost: failed, 2 changes
"""


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines") / "play.yml"
    path.write_text(PLAY)
    return path


def run(play: Path, *options: str) -> str:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "homeport.django.lines",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
    }
    words = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        "-i",
        "localhost,",
        "-c",
        "local",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
        str(play),
        *options,
    ]
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2, done.stderr
    return done.stdout


def test_what_has_changed_and_each_failure_once(play: Path) -> None:
    assert run(play) == SHOWN


def test_all_of_it_with_v(play: Path) -> None:
    shown = run(play, "-v")
    for text in (
        "PLAY [Nothing to tell]",
        "TASK [Ask]",
        "ok: [localhost]",
        "...ignoring",
        "PLAY RECAP",
        "failed=1",
    ):
        assert text in shown
