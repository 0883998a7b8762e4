# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Questions to the operator."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleActionFail, AnsiblePromptNoninteractive
from ansible_collections.homeport.django.plugins.plugin_utils import operator
from ansible_collections.homeport.django.plugins.plugin_utils.operator import confirmed

REMOVAL = ("the app's name", "remove all of this")


@pytest.mark.parametrize("answer", ["blog", " blog\n"])
def test_what_is_wanted_is_a_yes(answer: str) -> None:
    confirmed("blog", answer, *REMOVAL)


def test_anything_else_is_a_no() -> None:
    with pytest.raises(AnsibleActionFail, match=r"That is not the app's name \(blog\); nothing was changed"):
        confirmed("blog", "yes", *REMOVAL)


@pytest.mark.parametrize(("typed", "goes"), [("blog", True), ("", False)])
def test_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, typed: str, goes: bool) -> None:
    asked = []

    def ask(question: str, _hidden: bool) -> str:
        asked.append(question)
        return typed

    monkeypatch.setattr(operator, "ask", ask)
    if goes:
        confirmed("blog", "", *REMOVAL)
    else:
        with pytest.raises(AnsibleActionFail, match="nothing was changed"):
            confirmed("blog", "", *REMOVAL)
    assert asked == ["Type the app's name (blog) to remove all of this"]


def test_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_question: str, _hidden: bool) -> str:
        raise AnsiblePromptNoninteractive("no")

    monkeypatch.setattr(operator, "ask", nobody)
    with pytest.raises(AnsibleActionFail, match="add -e confirm=blog to remove all of this"):
        confirmed("blog", "", *REMOVAL)
