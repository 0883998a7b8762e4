"""Those tests of Lynis that a server of Homeport's passes; docs/hosts.md says which ones it does not, and why."""

from typing import Any

PASSED = (
    "AUTH-9204 AUTH-9208 AUTH-9283 DBS-1880 FILE-6372 FIRE-4536 FIRE-4538 FIRE-4540 KRNL-5820 LOGG-2146 NETW-3012 "
    "PKGS-7392 PKGS-7420 SSH-7402"
)


def test_named_tests(host: Any) -> None:
    host.check_output(f"lynis audit system --quick --no-colors --tests '{PASSED}'")
    report = host.check_output(
        "grep -E '^(warning|suggestion|tests_executed)' /var/log/lynis-report.dat"
    ).splitlines()
    executed = next(line for line in report if line.startswith("tests_executed"))
    assert {"FIRE-4540", "PKGS-7420", "PKGS-7392"} <= set(executed.partition("=")[2].split("|"))
    # of itself it says that it is old
    assert [line for line in report if "=LYNIS" not in line and line != executed] == []
