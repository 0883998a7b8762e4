"""What an app's processes can do to those of root's that started them, or that wait for them."""

from typing import Any

from tests.acceptance.attacker import PROGRAMS, Evil

HAND_OVER = """
import socket, sys
if "-c" in sys.argv:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("\\0evil-hold")
        socket.send_fds(sender, [b"x"], [1, 2])
"""


def live(host: Any, app: str) -> str:
    return str(host.check_output(f"readlink /srv/{app}/current"))


def test_a_live_process_keeps_the_output_of_a_build_open(evil: Evil, host: Any) -> None:
    """It is outside of the build's scope, and never stops to write."""
    evil.lives("hold", f"exec python3 {PROGRAMS}/hold.py")
    evil.append("notes/settings.py", HAND_OVER)
    before = live(host, "victim")
    evil.play("deploy", env={"X": evil.nonce})
    assert live(host, "victim") != before


def test_the_answer_of_the_module_is_its_own(evil: Evil, host: Any) -> None:
    """What root has the app's user run can be traced by the app's live processes, and has nothing of root's open."""
    evil.lives("steal", f"exec python3 {PROGRAMS}/steal.py 1500")
    hooks = {"before_build": ["mkdir -p uploads/big; cd uploads/big; seq 30000 | xargs touch"]}
    before = live(host, "victim")
    done = evil.play("deploy", evil={"hooks": hooks}, env={"X": evil.nonce})
    assert "forged by evil" not in done.output, done.output
    assert live(host, "victim") != before
