# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What an audit has seen of a host, and the problems that a check finds in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.homeport.django.plugins.module_utils.reports import levels
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import Problem

Verdict = tuple[str, list[Problem]]
Checked = Optional[Verdict]
AGAIN = "run the setup playbook, which restores it"


@dataclass(frozen=True)
class Seen:
    """Of one host: what it says itself, what it looks like from outside, and what the inventory wants of it."""

    inside: Mapping[str, Any]
    outside: Mapping[str, Any]
    wanted: Mapping[str, Any]
    app: str = ""  # the app or the site that is judged

    def part(self, name: str) -> Any:
        return self.inside[name]["found"]

    def own(self, name: str) -> Any:
        return self.inside["apps"][self.app][name]["found"]

    @property
    def site(self) -> Mapping[str, Any]:
        return self.wanted["sites"].get(self.app, {})

    def seen(self, question: str) -> Mapping[str, Any]:
        """What the site has answered a question; its C(found) is nothing where there was no answer."""
        return self.outside.get("sites", {}).get(self.app, {}).get(question) or {"found": None, "error": ""}


def failure(text: str, do: str) -> Problem:
    return {**levels.failure(text), "do": do}


def warning(text: str, do: str) -> Problem:
    return {**levels.warning(text), "do": do}


def listed(items: Iterable[Any], most: int = 6) -> str:
    """Some names in a sentence; of many the first."""
    names = [str(item) for item in items]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
