"""fail2ban, which reads what processes say of themselves."""

import re
import shlex
import subprocess
from typing import Any

from tests.acceptance.attacker import Evil
from tests.acceptance.under_load import wait_for

VISITOR = "203.0.113.66"
# As sshd and sshd-session, over syslog and over the journal's own protocol with fields that only journald sets.
FORGE = f"""
import ctypes, socket
def send(path, text):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text.encode(), path)
for name in ("sshd", "sshd-session"):
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
    for port in range(2000, 2020):
        for text in (
            f"Failed password for root from {VISITOR} port {{port}} ssh2",
            f"Connection closed by authenticating user root {VISITOR} port {{port}} [preauth]",
        ):
            send("/dev/log", f"<86>{{name}}[4242]: {{text}}")
            fields = f"SYSLOG_IDENTIFIER={{name}}\\nSYSLOG_PID=4242\\nPRIORITY=6\\n_UID=0\\n_SYSTEMD_UNIT=ssh.service"
            send("/run/systemd/journal/socket", f"MESSAGE={{text}}\\n{{fields}}\\n")
"""


def failed(host: Any) -> int:
    """Failed logins that fail2ban has counted."""
    return int(re.findall(r"Total failed:\s+(\d+)", host.check_output("fail2ban-client status sshd"))[0])


def test_an_app_says_that_a_visitor_fails_to_log_in(evil: Evil, host: Any) -> None:
    evil.do(f"python3 -c {shlex.quote(FORGE)}")
    host.check_output("journalctl --sync")
    forged = host.check_output(f"journalctl --no-pager -o cat _UID=$(id -u evil) | grep -c {VISITOR}")
    assert int(forged) >= 160
    # what comes later is real, and counts
    before = failed(host)
    address = host.ansible.get_variables()["ansible_host"]
    options = [
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "ConnectTimeout=15",
    ]
    options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "PubkeyAuthentication=no"]
    done = subprocess.run(
        ["ssh", *options, f"root@{address}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Permission denied" in done.stderr
    wait_for(lambda: failed(host) > before, 60)
    assert VISITOR not in host.check_output("fail2ban-client status sshd")
    assert VISITOR not in host.check_output("cat /var/log/fail2ban.log")
