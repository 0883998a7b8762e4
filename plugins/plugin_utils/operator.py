# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The operator at the controller: the name, answers to questions, and the confirmation of what cannot be undone."""

from __future__ import annotations

import getpass
import socket

from ansible.errors import AnsibleActionFail, AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.module_utils.common.words import printable

display = Display()


def operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def ask(question: str, hidden: bool) -> str:
    """What the operator answers."""
    try:
        return str(display.prompt_until(f"{question}:", private=hidden).decode().strip("\r\n"))
    except AnsiblePromptInterrupt as error:
        raise AnsibleActionFail("Interrupted; nothing was run") from error


def confirmed(wanted: str, answer: str, what: str, aim: str) -> None:
    """Goes on only if the operator has typed ``wanted``; ``what`` is its kind, and ``aim`` what it confirms."""
    if not answer:
        try:
            answer = ask(f"Type {what} ({wanted}) to {aim}", False)
        except AnsiblePromptNoninteractive as error:
            raise AnsibleActionFail(
                f"There is no terminal to ask at: add -e confirm={wanted} to {aim}; nothing was changed"
            ) from error
    if answer.strip() != wanted:
        raise AnsibleActionFail(f"That is not {what} ({printable(wanted)}); nothing was changed")
