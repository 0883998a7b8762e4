# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether systemd would understand a calendar expression (OnCalendar), told without systemd."""

from __future__ import annotations

import functools
import re
import zoneinfo

# fmt: off
WORDS = frozenset((
    "minutely", "hourly", "daily", "monthly", "weekly", "yearly", "annually", "quarterly", "semiannually", "biannually",
    "semi-annually", "bi-annually", "anually",
))
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# fmt: on
DAY_NAMES = {name for day in DAYS for name in (day, day[:3])}
HINT = (
    "must be a calendar expression of systemd, such as daily, '*-*-* 06:30' or 'Mon..Fri 08:00 Europe/Vienna'; a step "
    "begins at a number, so every 15 minutes is '*:00/15' and not '*:*/15'"
)


def is_calendar(text: str) -> bool:
    """Whether systemd takes ``text`` for points in time: ``[days] [date] [time] [time zone]``, or a word for them."""
    words = text.split(" ")
    if "" in words:  # systemd takes several spaces in some places, and not in others
        return False
    if len(words) > 1 and is_zone(words[-1]):
        words.pop()
    if len(words) == 1 and words[0].lower() in WORDS:
        return True
    found = 0
    for is_part in (are_days, is_date, is_time):
        if words and is_part(words[0]):
            words.pop(0)
            found += 1
    return found > 0 and not words


def is_zone(word: str) -> bool:
    """A time zone, as far as that can be told here: where the controller knows any, it has to know this one."""
    if word == "UTC":
        return True
    if not re.fullmatch(r"[A-Z][A-Za-z]+(/[A-Za-z0-9_+-]+)*", word) or word.lower() in DAY_NAMES | WORDS:
        return False
    known = zones()
    return word in known or not known


@functools.cache
def zones() -> set[str]:
    """The time zones that the controller knows; it looks through a thousand files for them."""
    return zoneinfo.available_timezones()


def are_days(word: str) -> bool:
    """Days and ranges of them (Mon..Fri, or as before Mon-Fri), with commas between them."""
    for part in word.lower().split(","):
        ends = re.split(r"\.\.|-", part)
        if len(ends) > 2 or not DAY_NAMES.issuperset(ends):
            return False
        numbers = [next(number for number, day in enumerate(DAYS) if day.startswith(end)) for end in ends]
        if numbers != sorted(numbers):
            return False
    return True


def is_date(word: str) -> bool:
    found = re.fullmatch(r"(?:([^-~]+)-)?([^-~]+)([-~])([^-~]+)", word)
    if not found:
        return False
    year, month, sign, day = found.groups()
    # counted from the end of a month, at most as many as the shortest has
    last = 31 if sign == "-" else 28
    return is_component(year or "*", 1970, 2199) and is_component(month, 1, 12) and is_component(day, 1, last)


def is_time(word: str) -> bool:
    parts = word.split(":")
    if len(parts) not in (2, 3):
        return False
    limits = (23, 59, 59)
    return all(is_component(part, 0, last) for part, last in zip(parts, limits))


def is_component(text: str, first: int, last: int) -> bool:
    """``*``, or numbers and ranges (a..b) with commas between them, each with a step (/n) or without.

    A step of ``*`` (``*:*/15``) is one for later versions of systemd; Debian 12's refuses it.
    """
    if text == "*":
        return True
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]{1,4})(?:\.\.([0-9]{1,4}))?(?:/([0-9]{1,4}))?", part)
        if not found:
            return False
        start, end = int(found[1]), int(found[2] or found[1])
        step = int(found[3] or 0)
        if not first <= start <= end <= last or (found[3] and not 0 < step <= last - start):
            return False
    return True
