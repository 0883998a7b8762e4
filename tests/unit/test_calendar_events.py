"""What systemd takes for a calendar expression; each was tried with systemd-analyze, of version 252."""

import pytest
from ansible_collections.homeport.django.plugins.module_utils.common.calendar_events import is_calendar

TAKEN = """daily|Daily|DAILY UTC|weekly Europe/Vienna|Mon|Mon..Fri|Mon-Fri|Mon,Tue|Mon..Wed,Fri|monday|TUE|*-*-* 06:30
*-*-* 06:30:00|06:30|6:5|*:0/15|*:*:*|*:*|*-*-*|*-*|2-3|2026-02-30|*-02~03|*-02~03 8:00|1/2-1|*-1..3-1|*-1,3,5-*
Mon *-*-* 00:00 Europe/Vienna|Mon *-*-* 00:00 UTC|*-*-* 00/6:00:00|Sun *-*-* 04:30|Mon..Sat *-*-* 01:15|0..5:00
Sat,Sun 12-05 8:05|*-12-05 12,14:10/5|minutely|quarterly|semiannually|hourly America/New_York|*-*-1/10|*-*-1..10/2
*:00/15|*:*:0/10|0/2:00|2026..2028-1-1|Thu,Fri 2012-*-1,5 11:12:13|tue-thu|mon..fri 8..17:00|0:0,30|*~1|2~1"""
REFUSED = """Mond|Sun..Mon|Mon..Wed..Fri|24:00|23:60|23:59:60|13-1|0-1|2-0|2-32|1969-1-1|2200-1-1|*/2-1|*-*/2-1|*-3..1-1
*-*,1-*|Mon *-*-* 00:00 Europe/Nowhere|Mon Tue 8:00|8:00 Mon|never|32:00|-|1|*|**|*:0/0|5..0:00|*:5/70| daily|daily 8:00
Mon daily|UTC|Europe/Vienna|Mon..|..Mon|Mon~Fri|*-2~31|*-2~|+1|Mon/2|Jan-01|8:00 AM|1:2:3:4|Montag|Sat..Thu,Mon-Wed|a
*:*/15|*:*:*/10|*/2:00|*-*-* */6:00:00|*/15:*|Mon..Fri *:*/5"""


@pytest.mark.parametrize("text", [text for line in TAKEN.splitlines() for text in line.split("|")])
def test_taken(text: str) -> None:
    assert is_calendar(text)


@pytest.mark.parametrize("text", [text for line in REFUSED.splitlines() for text in line.split("|")])
def test_refused(text: str) -> None:
    assert not is_calendar(text)


@pytest.mark.parametrize(
    "text", ["", " ", "daily\nOnBootSec=1", "daily\n", "*-*-* 06:30\0", "٣:00", "Mon\t8:00", "daily;"]
)
def test_nothing_slips_in(text: str) -> None:
    assert not is_calendar(text)
