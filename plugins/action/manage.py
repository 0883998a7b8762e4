# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Reads the operator's command, asks what it would ask, and shows what it prints."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible import context
from ansible.errors import AnsibleActionFail, AnsiblePromptNoninteractive
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME, ENV_NAME
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest, printable
from ansible_collections.homeport.django.plugins.plugin_utils.operator import ask
from ansible_collections.homeport.django.plugins.plugin_utils.ssh_command import (
    ssh_command,
    ssh_words,
)
from ansible_collections.homeport.django.plugins.plugin_utils.terminal import converse, terminal
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import end_with_the_controller

MODULE = "homeport.django.manage"
SUPERUSER = "DJANGO_SUPERUSER_"
# Commands that are a conversation, each with the options by which it is none. A short one may be joined to its value.
TERMINALS = {
    "shell": ("-c", "--command"),
    "shell_plus": ("-c", "--command"),
    "dbshell": ("-c", "--command", "-f", "--file", "-l", "--list"),
    "changepassword": (),
}
TELL = ("-h", "--help", "--version")

SSH_FAILED = 255  # ssh's own exit status

# The other variables of the playbook
OTHERS = ("app=", "servers=", "seconds=", "input=", "env=", "release=", "terminal=")

display = Display()
Asker = Callable[[str, bool], str]


class ActionModule(ActionBase):
    TRANSFERS_FILES = False  # only with an input

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        end_with_the_controller()
        app = named_app(self._task.args.get("app"), self._known_apps(task_vars))
        given = plain(self._task.args.get("command"))
        if self._task.args.get("typed", False):
            given = typed(given, context.CLIARGS.get("extra_vars") or ())
        command = words(given)
        environment = variables(plain(self._task.args.get("environment") or {}))
        talks = needs_terminal(command, plain(self._task.args.get("terminal")))
        if talks and not self._task.args.get("input") and not self._task.check_mode:
            return {**result, **self._conversation(app, command, environment, task_vars)}
        source = given_file(self._task.args.get("input"))
        arguments = {"app": app, "seconds": self._task.args.get("seconds", 0)}
        arguments["release"] = str(self._task.args.get("release") or "")
        try:
            if command[0] == "createsuperuser" and not self._task.check_mode:
                own = {key: value for key, value in os.environ.items() if key.startswith(SUPERUSER)}
                environment = {**own, **environment}
                if not {"--noinput", "--no-input"} & set(command):
                    fields = self._superuser(arguments, {}, task_vars)["fields"]
                    environment.update(superuser(fields, command, environment, ask))
                    command.append("--noinput")
                self._check_password(arguments, command, environment, task_vars)
            if source and not self._task.check_mode:
                self._make_tmp_path()
                arguments["input"] = self._transfer_file(
                    source, self._connection._shell.join_path(self._connection._shell.tmpdir, "input")
                )
            found = self._ask_host({**arguments, "command": command}, environment, task_vars)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return {**result, **self._told(app, command, found, task_vars)}

    def _known_apps(self, task_vars: Mapping[str, Any]) -> list[str]:
        apps = self._templar.template(task_vars["django_apps"]) if "django_apps" in task_vars else {}
        return [str(name) for name in apps] if isinstance(apps, Mapping) else []

    def _ask_host(
        self, arguments: dict[str, Any], environment: dict[str, str], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        if environment:
            # without pipelining, the arguments of a module are in a file on the server for as long as it runs
            if self._connection.has_pipelining:
                self._connection.set_option("pipelining", True)
            if not self._is_pipelining_enabled("new"):
                raise AnsibleActionFail(
                    "Environment variables cannot be passed to the server without writing them into a file "
                    "there: use sudo to become root, and unset ANSIBLE_KEEP_REMOTE_FILES"
                )
        found: dict[str, Any] = self._execute_module(
            module_name=MODULE,
            module_args={**arguments, "environment": json.dumps(environment)},
            task_vars=task_vars,
        )
        return found

    def _superuser(
        self, arguments: dict[str, Any], environment: dict[str, str], task_vars: dict[str, Any]
    ) -> dict[str, list[str]]:
        """The fields that createsuperuser asks for, and what the project has against the password."""
        found = self._ask_host(
            {**arguments, "command": ["createsuperuser"], "superuser": True}, environment, task_vars
        )
        if "superuser" not in found:
            reason = found.get("module_stderr") or found.get("msg") or "the host gave no answer"
            raise AnsibleActionFail(f"{reason}\nNothing was run.")
        return dict(found["superuser"])

    def _conversation(
        self, app: str, command: list[str], environment: Mapping[str, str], task_vars: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What came of a command that is a conversation, at the terminal of the run; without one it is refused."""
        line = shlex.join(["manage.py", *command])
        release = str(self._task.args.get("release") or "")
        link = "next" if release == "next" else f"releases/{release}" if release else "current"
        run = (
            f'exec runuser -u {app} -- /usr/local/lib/homeport/run "$(readlink -e /srv/{app}/{link})" {line}'
        )
        become = boolean(self._play_context.become, strict=False)
        device, words = terminal(), ssh_words(self._connection, run, become, terminal=True)
        typed_instead = f"Type this instead:\n{ssh_command(self._connection, run, become)}\n"
        if not device or not words:
            by_option = "-c or " if "-c" in TERMINALS.get(command[0], ()) else ""
            raise AnsibleActionFail(
                f"{command[0]} needs a terminal, and this run has none. {typed_instead}"
                f"Or pass its input with {by_option}-e input=FILE. Nothing was run."
            )
        if environment or self._task.args.get("seconds"):
            raise AnsibleActionFail(
                f"{command[0]} at a terminal takes neither env nor seconds: leave them out; nothing was run"
            )
        if task_vars.get("servers") == "all" and len(task_vars.get("ansible_play_hosts") or []) > 1:
            raise AnsibleActionFail(
                f"{command[0]} runs on one server at a time: leave out servers=all, and name one with --limit"
            )
        display.display(f"On {task_vars.get('inventory_hostname')}: {line}")
        status = converse(words, device)
        result: dict[str, Any] = {"changed": True, "rc": status}
        if status == SSH_FAILED and self._connection.transport == "ssh":
            result.update(failed=True, msg=f"The ssh connection failed, or was interrupted. {typed_instead}")
        elif status:
            result.update(failed=True, msg=f"{line} ended with {meaning(status)}")
        return result

    def _check_password(
        self,
        arguments: dict[str, Any],
        command: list[str],
        environment: dict[str, str],
        task_vars: dict[str, Any],
    ) -> None:
        """Raises what the project's validators say, which createsuperuser asks only at a terminal of its own."""
        if f"{SUPERUSER}PASSWORD" not in environment:
            return
        given = {**named_values(command), **environment}
        problems = self._superuser(arguments, given, task_vars)["problems"]
        if problems:
            raise AnsibleActionFail(
                f"The project rejects this password: {' '.join(problems)} Nothing was run."
            )

    def _told(
        self, app: str, command: list[str], found: dict[str, Any], task_vars: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Shows what the command printed; the rest is the task's result."""
        kept = ("changed", "failed", "unreachable", "skipped", "msg", "exception", "module_stderr", "warnings",
                "release", "rc", "seconds", "deprecations")  # fmt: skip
        result = {key: found[key] for key in kept if key in found}
        where = f"{task_vars.get('inventory_hostname')}, {app} {found.get('release')}"
        line = shlex.join(["manage.py", *command])
        if self._task.check_mode and not found.get("failed"):
            display.display(f"Would run on {where}: {line}")
        if "stopped" not in found:
            return result
        if self._task.args.get("show", True):
            show(f"On {where}: {line}", str(found["stdout"]), str(found["stderr"]))
        else:
            result.update(stdout=found["stdout"], stderr=found["stderr"])
        status = int(found["rc"])
        if found["stopped"]:
            result.update(failed=True, msg=f"{line} was ended after {self._task.args.get('seconds')} s")
        elif status:
            result.update(failed=True, msg=f"{line} ended with {meaning(status)}")
        return result


def show(title: str, stdout: str, stderr: str) -> None:
    display.display(title)
    if stdout:
        display.display(stdout.rstrip("\n"))
    if stderr:
        display.display(stderr.rstrip("\n"), stderr=True)


def meaning(status: int) -> str:
    """An exit status in words."""
    return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"


def named_app(app: Any, known: list[str]) -> str:
    if not app:
        raise AnsibleActionFail(f"Say which app: -e app=NAME, one of {', '.join(known) or 'django_apps'}")
    name = str(app)
    if not re.fullmatch(APP_NAME, name) or name not in known:
        raise AnsibleActionFail(
            f"app: there is no {printable(name)} in django_apps{closest(name, known)}; nothing was run"
        )
    return name


def typed(command: Any, options: Iterable[str]) -> Any:
    """The command as it was typed after ``-e command=``, where Ansible keeps the first word alone."""
    lost = (
        "The command and the other variables each need an option of their own: -e app=NAME -e command='WORD WORD...'; "
        "nothing was run"
    )
    for option in options:
        start, sign, text = option.strip().partition("=")
        if option.strip().startswith(("@", "{", "[")) or not sign:
            continue
        if start != "command":
            if re.search(r"\scommand=", text):
                raise AnsibleActionFail(lost)
            continue
        try:
            found = shlex.split(text)
        except ValueError:
            return text  # which is for words() to say
        if any(word.startswith(OTHERS) for word in found):
            raise AnsibleActionFail(lost)
        command = found[0] if len(found) == 1 else found  # in quotes of its own it is one word
    return command


def words(command: Any) -> list[str]:
    """The arguments for manage.py."""
    if isinstance(command, str):
        try:
            found = shlex.split(command)
        except ValueError as error:
            raise AnsibleActionFail(
                f"command: is not a valid shell command: {error}; nothing was run"
            ) from error
    elif isinstance(command, list) and all(isinstance(word, (str, int, float)) for word in command):
        found = [str(word) for word in command]
    else:
        found = []
    if found and os.path.basename(found[0]) == "manage.py":
        found = found[1:]
    if not found:
        raise AnsibleActionFail("Say which command: -e command='showmigrations --plan'; nothing was run")
    return found


def variables(environment: Any) -> dict[str, str]:
    """Environment variables as text. Messages name a variable and never quote its value."""
    if not isinstance(environment, Mapping):
        raise AnsibleActionFail('env: must be a dictionary, such as -e \'{"env": {"NAME": "value"}}\'')
    result = {}
    for name, value in environment.items():
        if not re.fullmatch(ENV_NAME, str(name)):
            raise AnsibleActionFail(f"env: {printable(name)} cannot name an environment variable")
        if not isinstance(value, (str, int, float)) or "\0" in str(value):
            raise AnsibleActionFail(f"env.{name}: must be a string or a number")
        result[str(name)] = str(int(value)) if isinstance(value, bool) else str(value)
    return result


def given_file(path: Any) -> str:
    """A file of the controller, relative to where the operator is."""
    if not path:
        return ""
    found = os.path.abspath(os.path.expanduser(str(path)))
    if not os.path.isfile(found):
        raise AnsibleActionFail(f"input: there is no file {found} on this machine; nothing was run")
    return found


def superuser(
    fields: list[str], command: list[str], environment: Mapping[str, str], asker: Asker
) -> dict[str, str]:
    """What createsuperuser has to be told and is told neither by ``command`` nor by ``environment``."""
    told = {word.partition("=")[0] for word in command}
    missing = [
        name for name in fields if f"--{name}" not in told and f"{SUPERUSER}{name.upper()}" not in environment
    ]
    result = {}
    try:
        for name in missing:
            result[f"{SUPERUSER}{name.upper()}"] = answered(name, asker, False)
        if f"{SUPERUSER}PASSWORD" not in environment:
            result[f"{SUPERUSER}PASSWORD"] = answered("password", asker, True)
            if asker("The same password again", True) != result[f"{SUPERUSER}PASSWORD"]:
                raise AnsibleActionFail("The two passwords are not the same; nothing was run")
    except AnsiblePromptNoninteractive as error:
        names = ", ".join(f"{SUPERUSER}{name.upper()}" for name in [*fields, "password"])
        raise AnsibleActionFail(
            f"createsuperuser has questions, and there is no terminal to ask at; set {names} in the environment "
            "of this command, or run it at a terminal"
        ) from error
    return result


def needs_terminal(command: list[str], asked: Any = None) -> bool:
    """Whether a command is a conversation; ``asked`` is what the operator says of it."""
    if asked not in (None, ""):
        try:
            return boolean(asked)
        except TypeError as error:
            raise AnsibleActionFail("terminal: must be true or false; nothing was run") from error
    if command[0] not in TERMINALS:
        return False
    options = (*TERMINALS[command[0]], *TELL)
    return not any(
        word.partition("=")[0] == option if option.startswith("--") else word.startswith(option)
        for word in command[1:]
        for option in options
    )


def named_values(command: list[str]) -> dict[str, str]:
    """The fields of a superuser that stand on the command line, as createsuperuser's variables."""
    found = {}
    for number, word in enumerate(command):
        name, sign, value = word.partition("=")
        if name.startswith("--") and (sign or number + 1 < len(command)):
            key = f"{SUPERUSER}{name[2:].upper()}"
            if re.fullmatch(ENV_NAME, key):
                found[key] = value if sign else command[number + 1]
    return found


def answered(name: str, asker: Asker, hidden: bool) -> str:
    text = asker(name.replace("_", " ").capitalize(), hidden)
    if not text:
        raise AnsibleActionFail(f"The {name} of a superuser cannot be empty; nothing was run")
    return text
