"""layouts: workers that are restarted and killed while they have work. `make bench-workers` does more of it."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.workers import MANAGE, PROCESSES, PRODUCED, STOP_PRODUCER, produce, wrong

ROOT = Path(__file__).parents[3]
RELEASES, RESTARTS = 4, 11
RATE = 10  # tasks a second
ANOTHER = json.dumps({"layouts_broken": {"queues": {"env": {"GENERATION": str(time.time())}}}})


def play(host: Any, playbook: str, *words: str) -> None:
    inventory = Path(host.backend.ansible_runner.inventory_file)
    inventory = inventory if inventory.is_dir() else inventory.parent
    command = ["ansible-playbook", f"playbooks/{playbook}.yml", "--inventory", str(inventory), *words]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def tally(host: Any, *words: str) -> dict[str, int]:
    return dict(json.loads(host.check_output(f"{MANAGE} tally {' '.join(words)} 2>/dev/null")))


def within(seconds: float, condition: Any) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.3)


def clusters(host: Any) -> set[str]:
    """The processes of the cluster: the main one, its guard, two workers, the monitor and the pusher."""
    return set(host.run("pgrep -u queues -f '[m]anage.py qcluster'").stdout.split())


def all_done(host: Any, submitted: int) -> None:
    """Everything that was handed in was done; what a killed worker had comes back after 20 seconds. As long as more is
    done, the machine is slow and nothing is lost."""
    done, since = -1, time.monotonic()
    while (now := tally(host)["done"]) < submitted:
        if now > done:
            done, since = now, time.monotonic()
        assert time.monotonic() - since < 180, f"{done} of {submitted}, and no more within 180 s"
        time.sleep(2)  # each look starts Django
    assert now == submitted


def test_restarts_under_load_lose_no_task_and_leave_nothing_behind(host: Any) -> None:
    play(host, "deploy", "-e", "app=queues", "-e", ANOTHER)
    tally(host, "--forget")
    host.check_output(produce("django-q2", RATE, "--seconds", "0.02"))
    live = set()
    for _ in range(RELEASES):
        play(host, "rollback", "-e", "app=queues", "-e", "again=true")
        seen = host.check_output(PROCESSES)
        assert wrong(seen) == []
        live.add(json.loads(seen)["live"])
    assert len(live) == 2
    for _ in range(RESTARTS):
        host.check_output("supervisorctl restart queues.queue:0")
        assert wrong(host.check_output(PROCESSES)) == []
        time.sleep(1)
    host.check_output(STOP_PRODUCER)
    submitted = int(host.check_output(PRODUCED))
    assert submitted > RATE * (RELEASES + RESTARTS)
    all_done(host, submitted)
    assert tally(host)["twice"] == 0


def test_a_killed_worker_leaves_no_process_and_no_task_behind(host: Any) -> None:
    tally(host, "--forget")
    host.check_output(produce("django-q2", 100, "--count", "300", "--seconds", "0.02"))
    time.sleep(2)
    before = clusters(host)
    assert len(before) >= 6
    host.check_output("kill -KILL $(pgrep -P $(supervisorctl pid queues.queue:0))")
    within(180, lambda: not before & clusters(host))
    within(180, lambda: len(clusters(host)) >= 6)
    assert wrong(host.check_output(PROCESSES)) == []
    submitted = int(host.check_output(PRODUCED))
    assert submitted == 300
    all_done(host, submitted)


def test_the_next_run_starts_what_a_killed_deploy_had_stopped(host: Any) -> None:
    host.check_output("supervisorctl stop 'queues.queue:*'")
    play(host, "deploy", "-e", "app=queues", "-e", ANOTHER)
    within(180, lambda: "RUNNING" in host.run("supervisorctl status queues.queue:0").stdout)
    assert wrong(host.check_output(PROCESSES)) == []
