# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a run has changed, what went wrong, and how it ended; with -v everything, as Ansible's own output has it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lines
type: stdout
short_description: A line for what a run changes, and each failure once
description:
  - Shows a line for each task that has changed something, the messages of tasks, and each failure once, as text. Of a
    task that takes long it shows the seconds while it runs, on a terminal in one line, elsewhere in a line each
    minute.
  - With C(-v) it is the callback P(ansible.builtin.default#callback).
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - "C(stdout_callback = homeport.django.lines) in C(ansible.cfg)"
"""

import sys
import threading
import time
from typing import Any

from ansible import constants as C
from ansible.plugins.callback.default import CallbackModule as Default

# Tasks that show something of their own while they run.
SHOWING = ("homeport.django.manage", "homeport.django.logs")
QUIET = 3  # seconds of a task before it is worth a word
SILENT = 60  # seconds between two words about it where each is a line


class CallbackModule(Default):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "homeport.django.lines"

    def __init__(self) -> None:
        super().__init__()
        self.play = self.shown = self.task = ""
        self.started = 0.0
        self.word = SILENT  # seconds of the task at the next line about it
        self.told: set[tuple[str, str]] = set()  # failures of items, which their task repeats
        self.ended = threading.Event()
        self.ticking = False

    @property
    def verbose(self) -> bool:
        return bool(self._display.verbosity)

    def line(self, text: str, color: str | None = None) -> None:
        """Below the name of its play, which is shown with its first line."""
        self.clear()
        if self.play != self.shown:
            self.shown = self.play
            self._display.display(f"\n{self.play}", color=C.COLOR_HIGHLIGHT)
        for part in text.rstrip().splitlines():
            self._display.display(f"  {part}".rstrip(), color=color)

    def failure(self, host: str, task: Any, found: dict[str, Any]) -> None:
        self.line(f"{host}: {task.name or task.action}: FAILED", C.COLOR_ERROR)
        self.line(failure_of(found), C.COLOR_ERROR)

    def clear(self) -> None:
        """Removes the line with the seconds."""
        if self.ticking:
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()

    def took(self) -> str:
        seconds = time.monotonic() - self.started
        return f", {seconds:.0f} s" if seconds >= QUIET else ""

    # plays and tasks

    def v2_playbook_on_start(self, playbook: Any) -> None:
        super().v2_playbook_on_start(playbook)
        if not self.verbose:
            self.ticking = sys.stdout.isatty()
            threading.Thread(target=self.tick, daemon=True).start()

    def tick(self) -> None:
        """The seconds of a task that takes long; on a terminal in a line that the next one is written over."""
        while not self.ended.wait(1):
            seconds = time.monotonic() - self.started
            if self.task and not self.ticking and seconds >= self.word:
                self.word += SILENT
                self._display.display(f"  {self.task}, {seconds:.0f} s so far")
            if self.task and self.ticking and seconds >= QUIET:
                sys.stdout.write(f"\033[K  {self.task}, {seconds:.0f} s\r")
                sys.stdout.flush()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if self.verbose:
            super().v2_playbook_on_play_start(play)
        self.play = play.get_name().strip()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        if self.verbose:
            super().v2_playbook_on_task_start(task, is_conditional)
        # nothing is written over a question, a conversation or lines that come by themselves
        shows = task.action in SHOWING or task.args.get("phase") == "ask"
        self.task, self.started, self.word = (
            "" if shows else task.name or task.action,
            time.monotonic(),
            SILENT,
        )

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.v2_playbook_on_task_start(task, False)

    # results

    def v2_runner_on_ok(self, result: Any) -> None:
        if self.verbose:
            super().v2_runner_on_ok(result)
            return
        host, task, found = parts(result)
        self._handle_warnings(found)
        if found.get("changed"):
            self.line(f"{host}: {task.name or task.action}{self.took()}", C.COLOR_CHANGED)
        if found.get("_ansible_verbose_always") and "msg" in found:
            self.line(text_of(found["msg"]))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if self.verbose:
            super().v2_runner_on_failed(result, ignore_errors)
            return
        host, task, found = parts(result)
        self._handle_warnings(found)
        if ignore_errors or (found.get("results") and (host, task._uuid) in self.told):
            return
        self.failure(host, task, found)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if self.verbose:
            super().v2_runner_on_unreachable(result)
            return
        host, task, found = parts(result)
        if not getattr(task, "ignore_unreachable", False):
            self.line(f"{host}: cannot be reached: {failure_of(found)}", C.COLOR_UNREACHABLE)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        if self.verbose:
            super().v2_runner_item_on_ok(result)
            return
        found = parts(result)[2]
        if found.get("_ansible_verbose_always") and "msg" in found:
            self.line(text_of(found["msg"]))

    def v2_runner_item_on_failed(self, result: Any) -> None:
        if self.verbose:
            super().v2_runner_item_on_failed(result)
            return
        host, task, found = parts(result)
        self.told.add((host, task._uuid))
        self.failure(host, task, found)

    def v2_on_file_diff(self, result: Any) -> None:
        if self.verbose:
            super().v2_on_file_diff(result)
            return
        _host, _task, found = parts(result)
        for one in found.get("results") or [found]:
            if one.get("diff") and one.get("changed"):
                told = self._get_diff(one["diff"])
                if told:
                    self.line(told)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self.ended.set()
        if self.verbose:
            super().v2_playbook_on_stats(stats)
            return
        self.clear()
        self._display.display("")
        for host in sorted(stats.processed):
            found = stats.summarize(host)
            bad = "cannot be reached" if found["unreachable"] else "failed" if found["failures"] else ""
            count = found["changed"]
            changes = f"{count} change{'' if count == 1 else 's'}" if count else "no change"
            self._display.display(
                f"{host}: {', '.join(filter(None, [bad, changes]))}",
                color=C.COLOR_ERROR if bad else C.COLOR_OK,
            )


def quiet(name: str) -> None:
    """What is said with -v only."""

    def method(self: CallbackModule, *words: Any, **options: Any) -> None:
        if self.verbose:
            getattr(Default, name)(self, *words, **options)

    setattr(CallbackModule, name, method)


for each in (
    "v2_runner_on_skipped", "v2_runner_item_on_skipped", "v2_playbook_on_include",
    "v2_playbook_on_no_hosts_matched", "v2_playbook_on_no_hosts_remaining", "v2_runner_retry",
):  # fmt: skip
    quiet(each)


def parts(result: Any) -> tuple[str, Any, dict[str, Any]]:
    """Host, task and what was returned; ansible-core names them anew in 2.19."""
    if hasattr(result, "result"):
        return result.host.get_name(), result.task, dict(result.result)
    return result._host.get_name(), result._task, dict(result._result)


def text_of(message: Any) -> str:
    return "\n".join(str(line) for line in message) if isinstance(message, (list, tuple)) else str(message)


def failure_of(found: dict[str, Any]) -> str:
    """What an operator can go by."""
    told = [text_of(found.get("msg") or found.get("censored") or "failed without a message")]
    told += [
        str(found[key]) for key in ("stderr", "stdout", "module_stderr", "module_stdout") if found.get(key)
    ]
    return "\n".join(dict.fromkeys(part.strip() for part in told))
