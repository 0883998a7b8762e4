"""Those tests of Lynis that a server of Homeport's passes; docs/hosts.md says which ones it does not, and why."""

import re
from collections.abc import Callable
from typing import Any

PASSED = (
    "AUTH-9204 AUTH-9208 AUTH-9230 AUTH-9262 AUTH-9283 BANN-7126 BANN-7130 DBS-1880 FILE-6372 FIRE-4536 FIRE-4538 "
    "FIRE-4540 KRNL-5820 LOGG-2146 NETW-3012 PKGS-7370 PKGS-7392 PKGS-7420 SHLL-6220 SSH-7402 USB-1000"
)


def test_named_tests(host: Any, record_property: Callable[[str, object], None]) -> None:
    passed = set(PASSED.split())
    told = host.check_output("lynis audit system --quick --no-colors")
    report = host.file("/var/log/lynis-report.dat").content_string.splitlines()
    values = dict(line.partition("=")[::2] for line in report)
    assert set(values["tests_executed"].split("|")) >= passed
    objections = [line for line in report if re.match(r"(warning|suggestion)\[", line)]
    assert [line for line in objections if line.partition("=")[2].partition("|")[0] in passed] == []
    # Depends on the kernel of the machine and the version of Lynis: a report, not a gate.
    record_property("lynis_index", values["hardening_index"])
    assert f"Hardening index : {values['hardening_index']}" in told


def test_files_of_packages_are_compared_every_week(host: Any) -> None:
    assert host.check_output("sh -c '. /etc/default/debsums; echo $CRON_CHECK'") == "weekly"
    kept = host.check_output("mktemp")
    host.check_output(f"cp -p /usr/bin/rdebsums {kept}")
    try:
        host.check_output("sh -c 'echo >>/usr/bin/rdebsums'")
        host.check_output("/etc/cron.weekly/debsums")
        host.check_output("journalctl --sync")
        assert "/usr/bin/rdebsums" in host.check_output("journalctl --quiet --output=cat -t debsums")
    finally:
        host.check_output(f"mv {kept} /usr/bin/rdebsums")
