#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A management command in the live release of an app."""

from __future__ import annotations

DOCUMENTATION = r"""
module: manage
short_description: Run a management command in the live release of an app
description:
  - Runs C(manage.py) as the app's user, in the environment and the project folder of the live release. Shows its
    unchanged output. An app that has never been live is handled in the release that the last deploy has built.
  - The task fails when the command ends with another status than 0.
  - It is always reported as a change, since what a command of the project's own does cannot be known.
  - A command that waits for an answer gets the end of its input at once, unless it has a O(terminal).
    C(createsuperuser) is the exception, for which the action plugin asks on the controller, unless the variables
    C(DJANGO_SUPERUSER_...) of the operator's own environment answer.
  - When the controller is interrupted or killed, the command and all it started in its session end within
    seconds.
options:
  app:
    description: Name of the app.
    type: str
    required: true
  command:
    description: The command and its arguments, with or without C(manage.py). The action plugin splits a text
      like a shell would, and uses no shell.
    type: list
    elements: str
    required: true
  input:
    description: File on the controller that the command gets as its standard input.
    type: path
  environment:
    description: Environment variables of the command, over those of the release. Never shown, and on the
      server nowhere but in the command's environment.
    type: dict
    default: {}
  release:
    description:
      - Name of another release that is kept, or V(next), the one that the last deploy has built or rolled back to.
    type: str
    default: ""
  seconds:
    description: Seconds after which the command is ended. 0 lets it run for as long as it takes.
    type: int
    default: 0
  superuser:
    description: Run nothing, and return what C(createsuperuser) asks for and what the project says of its
      password, E(DJANGO_SUPERUSER_PASSWORD) in O(environment). For the action plugin.
    type: bool
    default: false
  terminal:
    description: Whether the command is a conversation at the operator's terminal. By default C(shell), C(shell_plus),
      C(dbshell) and C(changepassword) are, unless an option such as C(-c) says what to do.
    type: bool
  typed:
    description: Read the command as it was typed after C(-e command=), where Ansible itself keeps the first
      word alone. For the playbook.
    type: bool
    default: false
  show:
    description: Show what the command prints. It is in the result, too, when this is V(false).
    type: bool
    default: true
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Forget sessions that have ended
  homeport.django.manage:
    app: blog
    command: clearsessions
"""

RETURN = r"""
rc:
  description: Exit status of the command.
  returned: when it was run
  type: int
release:
  description: Release that it ran in.
  returned: always
  type: str
stdout:
  description: What it printed.
  returned: when O(show=false)
  type: str
stderr:
  description: What it printed to standard error.
  returned: when O(show=false)
  type: str
seconds:
  description: How long it took.
  returned: when it was run
  type: float
superuser:
  description: The C(fields) that C(createsuperuser) asks for, and the C(problems) that the project's validators
    have with the password.
  returned: when O(superuser)
  type: dict
"""

import json
import os
import signal
import subprocess
import sys
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host import claims
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import Ended
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    Runner,
    tail,
)
from ansible_collections.homeport.django.plugins.module_utils.host.management import Disconnected, in_release
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import MARK, argv_of

SUPERUSER = {"fields": [str], "problems": [str]}  # the form of the answer (claims.answer)


def interrupted(number: int, _frame: Any) -> None:
    raise Disconnected(signal.strsignal(number))


def chosen(layout: Layout, wanted: str) -> tuple[str, str]:
    """The release to run it in, or why there is none."""
    known = layout.known_releases()
    built = layout.resolve_link(layout.next_link)
    newest = built if built in known else None
    if not wanted:
        found = layout.current or newest
    elif wanted == "next":
        found = newest
    else:
        found = next((path for path in known if os.path.basename(path) == wanted), None)
    if found:
        return found, ""
    if not known:
        return "", f"{layout.name} has no release here to run it in; deploy the app first"
    names = ", ".join(os.path.basename(path) for path in known)
    return "", f"{layout.name} has no live release and none called {wanted or 'next'} here; kept are {names}"


def answer_of_superuser(module: Module, ended: Ended) -> None:
    what = "Reading the user model"
    if ended.status:
        module.fail_json(msg=f"{what} failed: {tail(ended.stderr)}")
    try:
        answer = claims.answer(ended.stdout, MARK, SUPERUSER, what)
    except DeployError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, superuser=answer)


def main() -> None:
    module = Module(
        argument_spec={
            "app": {"type": "str", "required": True},
            "command": {"type": "list", "elements": "str", "required": True},
            "input": {"type": "path"},
            # JSON, from the action plugin: as a dictionary, each of its values would be blotted out in the output
            "environment": {"type": "str", "default": "{}", "no_log": True},
            "release": {"type": "str", "default": ""},
            "seconds": {"type": "int", "default": 0},
            "superuser": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    name = params["app"]
    layout = Layout({"name": name, "user": name, "home": f"/srv/{name}"})
    release, problem = chosen(layout, params["release"])
    if problem:
        module.fail_json(msg=problem)
    result = {"changed": True, "release": os.path.basename(release)}
    if module.check_mode:
        module.exit_json(**result)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, interrupted)
    program = argv_of("superuser", release=release) if params["superuser"] else []
    try:
        with open(params["input"] or os.devnull, "rb") as stdin:
            ended = in_release(
                Runner(layout),
                release,
                program or ["manage.py", *params["command"]],
                json.loads(params["environment"]),
                stdin=stdin,
                seconds=params["seconds"],
            )
    except Disconnected:
        sys.exit(1)  # nobody reads the answer
    except (OSError, KeyError, subprocess.SubprocessError) as error:
        module.fail_json(msg=f"The command cannot be started: {error}", **result)
    if program:
        answer_of_superuser(module, ended)
    module.exit_json(
        **result,
        rc=ended.status,
        stopped=ended.stopped,
        stdout=ended.stdout,
        stderr=ended.stderr,
        seconds=ended.seconds,
    )


if __name__ == "__main__":
    main()
