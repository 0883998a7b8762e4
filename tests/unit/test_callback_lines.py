"""What a run shows with the callback of a new site."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.homeport.django.plugins.callback import lines

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
    # on a busy machine any of them may take seconds, which are told then
    assert re.sub(r", \d+ s$", "", run(play), flags=re.MULTILINE) == SHOWN


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


def test_of_a_long_task_there_is_a_word_now_and_then_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []
    callback = lines.CallbackModule()
    monkeypatch.setattr(callback, "_display", SimpleNamespace(verbosity=0, display=shown.append))
    monkeypatch.setattr(callback, "ended", Waits(3))
    callback.v2_playbook_on_task_start(SimpleNamespace(name="Build the releases", action="", args={}), False)
    callback.started -= lines.SILENT + 2
    callback.tick()
    assert shown == [f"  Build the releases, {lines.SILENT + 2} s so far"]


class Waits:
    """An event that does not come until it was waited for some times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def wait(self, _seconds: float) -> bool:
        self.times -= 1
        return self.times < 0
