# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which run of ansible-playbook this is, and whether another one is still there."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

from ansible.errors import AnsibleActionFail


def this_run() -> str:
    """What tells this run of ansible-playbook from all others: its machine, process and start.

    A worker outlives a controller that is killed. It must not begin anything then: nobody could tell that the run
    has ended, since the worker's parent is now one that never does.
    """
    pid = controller()
    if os.getppid() != pid:
        raise AnsibleActionFail("ansible-playbook has been killed; nothing more of it is begun")
    return f"{machine()} {pid} {start_of(pid)}"


def controller() -> int:
    """The process of ansible-playbook that started this worker, whether or not it is still there."""
    parent = multiprocessing.parent_process()
    return parent.pid if parent and parent.pid else os.getppid()


def end_with_the_controller() -> None:
    """Has this worker end when the controller is killed: it would go on waiting for the host.

    What the host runs ends as soon as nobody reads its output.
    """
    threading.Thread(target=_end_without, args=[controller()], daemon=True).start()


def _end_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def has_ended(run: str) -> bool:
    """Whether a run is one of this machine's that is no more."""
    name, _space, rest = run.partition(" ")
    pid, _space, start = rest.partition(" ")
    return name == machine() and pid.isdigit() and start_of(int(pid)) != start


def machine() -> str:
    """This machine since it was started; containers have process numbers of their own."""
    found = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            found.append(os.readlink(path) if path.endswith("/pid") else Path(path).read_text().strip())
        except OSError:
            continue
    return "/".join(found)


def start_of(pid: int) -> str:
    """When a process was started; empty when there is none. A minimal Linux has no ps, and macOS no /proc."""
    if os.path.isdir("/proc/self"):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        except OSError:
            return ""
    words = ["ps", "-o", "lstart=", "-p", str(pid)]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False).stdout.strip()
