"""multi_app: a host that looks after itself, and who gets in."""

import asyncio
import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.album import Album
from tests.acceptance.operator import Operator
from tests.acceptance.under_load import wait_for

LIBRARY = "/usr/local/lib/homeport"
# An address that is not the controller's, in a network of its own.
STRANGER, GATEWAY = "198.51.100.2", "198.51.100.1"


@pytest.fixture
def address(host: Any) -> str:
    found: str = host.ansible.get_variables()["ansible_host"]
    return found


@pytest.fixture
def stranger(host: Any) -> Iterator[str]:
    """How to run a command as another machine would."""
    commands = [
        "ip netns add stranger",
        "ip link add to-stranger type veth peer name eth0 netns stranger",
        f"ip address add {GATEWAY}/24 dev to-stranger",
        "ip link set to-stranger up",
        f"ip netns exec stranger ip address add {STRANGER}/24 dev eth0",
        "ip netns exec stranger ip link set eth0 up",
    ]
    try:
        for command in commands:
            host.check_output(command)
        yield "ip netns exec stranger "
    finally:
        host.check_output("ip netns delete stranger")


def reachable(address: str, ports: Iterator[int] | range | list[int]) -> set[int]:
    """Which TCP ports of a host answer."""

    async def answers(port: int, places: asyncio.Semaphore, seconds: float) -> bool:
        async with places:
            try:
                _reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), seconds)
            except (OSError, asyncio.TimeoutError):
                return False
            writer.close()
            return True

    async def ask() -> set[int]:
        places = asyncio.Semaphore(500)
        wanted = list(ports)
        found = await asyncio.gather(*(answers(port, places, 1) for port in wanted))
        return {port for port, answered in zip(wanted, found, strict=True) if answered}

    return asyncio.run(ask())


def log_in(variables: dict[str, Any], user: str, *options: str) -> subprocess.CompletedProcess[str]:
    words = [
        "ssh", *shlex.split(variables["ansible_ssh_common_args"]), "-o", "BatchMode=yes", "-o", "ControlPath=none",
        "-o", "ConnectTimeout=15", "-i", variables["ansible_ssh_private_key_file"], *options,
        f"{user}@{variables['ansible_host']}", "true",
    ]  # fmt: skip
    return subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_only_what_is_needed_is_open(host: Any, address: str) -> None:
    host.check_output("systemd-run --unit=forgotten python3 -m http.server 9999")
    try:
        listens = "import socket; socket.create_connection(('127.0.0.1', 9999), 1)"
        wait_for(lambda: host.run(f'python3 -c "{listens}"').rc == 0, 60)
        known = [*range(1, 1025), 5432, 6379, 5672, 9001, 9999, 11211, 14000, 25672]
        wait_for(lambda: reachable(address, known) == {22, 80}, 60)
    finally:
        host.check_output("systemctl stop forgotten")


def test_ports_are_opened_by_variables_and_closed_without(
    host: Any, address: str, operator: Operator, tmp_path: Path
) -> None:
    apps = host.ansible.get_variables()["django_apps"]
    wrong = operator.run(
        "multi_app", "-e", '{"host_firewall_rules": [{"port": 70000}], "host_swap": "big"}', apps=apps
    )
    assert wrong.status != 0
    assert wrong.changed == 0
    assert "host_firewall_rules[0].port[0]: must be a port from 1 to 65535" in wrong.output
    assert "host_swap: must be auto or a whole number" in wrong.output
    host.check_output("systemd-run --unit=wanted python3 -m http.server 9999")
    try:
        done = operator.run("multi_app", "-e", '{"host_firewall_rules": [{"port": 9999}]}', apps=apps)
        assert (done.status, done.changed) == (0, 1), done.output
        wait_for(lambda: reachable(address, [9998, 9999]) == {9999}, 60)
        done = operator.run("multi_app", apps=apps)
        assert (done.status, done.changed) == (0, 1), done.output
        assert reachable(address, [9999]) == set()
    finally:
        host.check_output("systemctl stop wanted")


def test_rules_that_lock_everybody_out_are_reverted(host: Any, address: str) -> None:
    rules = "/etc/homeport/firewall.nft"
    before = host.file(rules).content_string
    closed = r"table inet homeport {\n chain input {\n type filter hook input priority filter; policy drop;\n }\n}\n"
    host.check_output(f"printf '{closed}' >{rules}")
    # once this connection has its answer, and for longer than the next try of a packet that was dropped
    trial = f"{LIBRARY}/trial apply firewall {rules} {LIBRARY}/firewall load"
    host.check_output(
        f"systemd-run --quiet --on-active=2 --timer-property=AccuracySec=100ms --collect "
        f"--setenv=HOMEPORT_CONFIRM_SECONDS=20 {trial}"
    )
    wait_for(lambda: not reachable(address, [22, 80]), 60)
    wait_for(lambda: reachable(address, [22, 80]) == {22, 80}, 60)
    assert host.file(rules).content_string == before
    assert not host.file("/var/lib/homeport/trials/firewall/pending").exists
    late = host.run(f"{LIBRARY}/trial confirm firewall")
    assert (late.rc, "came too late" in late.stderr) == (1, True)


def test_a_run_that_locks_everybody_out_fails_and_is_reverted(
    host: Any, address: str, operator: Operator
) -> None:
    apps = host.ansible.get_variables()["django_apps"]
    rules = "/etc/homeport/firewall.nft"
    before = host.file(rules).content_string
    without_ssh = [{"port": 80, "protocol": "tcp", "sources": ["any"], "service": "nginx"}]
    wrong = {"homeport_exposure": without_ssh, "__host_confirm_seconds": 30}
    done = operator.run("multi_app", "-e", json.dumps(wrong), apps=apps)
    assert done.status != 0
    assert "accepts no login with its new firewall" in done.output
    wait_for(lambda: reachable(address, [22, 80]) == {22, 80}, 40)
    assert host.file(rules).content_string == before
    done = operator.run("multi_app", apps=apps)
    assert done.status == 0, done.output
    assert host.file(rules).content_string == before


def test_a_reboot_reverts_a_pending_change(host: Any) -> None:
    rules = "/etc/homeport/firewall.nft"
    before = host.file(rules).content_string
    pending = "/var/lib/homeport/trials/firewall/pending"
    host.check_output(f"sh -c 'echo nonsense >{rules}; : >{pending}'")
    host.check_output("systemctl restart homeport-trials.service homeport-firewall.service")
    assert host.file(rules).content_string == before
    assert not host.file(pending).exists


def test_one_gets_in_with_a_key_and_only_as_an_administrator(host: Any) -> None:
    variables = host.ansible.get_variables()
    assert log_in(variables, "admin").returncode == 0
    refused = log_in(variables, "root")
    assert "Permission denied (publickey)" in refused.stderr
    by_password = log_in(variables, "admin", "-o", "PubkeyAuthentication=no")
    assert "Permission denied (publickey)" in by_password.stderr
    host.check_output("fail2ban-client unban --all")
    settings = host.check_output("sshd -T").splitlines()
    assert {"passwordauthentication no", "permitrootlogin no", "x11forwarding no"} <= set(settings)


def test_settings_that_shut_out_who_is_logged_in_are_refused(host: Any, operator: Operator) -> None:
    apps = host.ansible.get_variables()["django_apps"]
    before = host.check_output("sshd -T")
    # the keys are looked for where there are none, as a file of somebody else's may say
    own = "/etc/ssh/sshd_config.d/50-own.conf"
    host.check_output(f"sh -c 'echo AuthorizedKeysFile /etc/ssh/keys/%u >{own}'")
    try:
        done = operator.run("multi_app", "-e", "host_ssh_agent_forwarding=true", apps=apps)
        assert done.status != 0
        assert "admin, who is logged in now, would be shut out: there is no key for admin" in done.output
    finally:
        host.check_output(f"rm {own}")
    assert host.check_output("sshd -T") == before


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("AllowUsers nobody root", True),
        ("AllowUsers nobody adm*@192.0.2.*", False),
        ("AllowGroups root", True),
        ("AllowGroups root admin", False),
        ("DenyUsers admin", True),
        ("DenyGroups admin", True),
        ("DenyUsers root admin@192.0.2.7", False),
        ("Match LocalPort 22", False),
    ],
)
def test_who_may_log_in_is_looked_at_before_sshd_reads_it(host: Any, line: str, refused: bool) -> None:
    own = "/etc/ssh/sshd_config.d/50-own.conf"
    host.check_output(f"sh -c 'echo {line} >{own}'")
    try:
        checked = host.run(f"sh {LIBRARY}/sshd-check admin no")
        assert (checked.rc != 0) == refused, checked.stderr
        assert line.split()[0] in checked.stderr or not refused
    finally:
        host.check_output(f"rm {own}")


def test_root_who_is_logged_in_is_not_shut_out(host: Any) -> None:
    checked = host.run(f"sh {LIBRARY}/sshd-check root no")
    assert checked.rc == 1
    assert "root may not log in (host_ssh_root_login)" in checked.stderr


def test_who_keeps_failing_to_log_in_is_shut_out(host: Any, address: str, stranger: str) -> None:
    options = "-o StrictHostKeyChecking=no -o BatchMode=yes -o ConnectTimeout=15"
    # Who is shut out in the middle of a login gets no answer any more. ssh's own exit status would be taken for one of
    # the connection to the host.
    ssh = f"{stranger} timeout 60 ssh {options} nobody@{GATEWAY}; true"
    assert "Permission denied" in host.run(ssh).stderr

    def is_listed() -> bool:
        return STRANGER in host.check_output("fail2ban-client status sshd")

    try:
        # On a busy machine not every attempt gets as far as to be refused.
        wait_for(lambda: is_listed() or (host.run(ssh) and is_listed()), 400)
        # its rule comes after the entry in its list
        wait_for(lambda: STRANGER in host.check_output("nft list ruleset"), 60)
        assert "Permission denied" not in host.run(ssh).stderr
        wait_for(lambda: reachable(address, [22]) == {22}, 60)
        # where sshd listens, and not what a package takes that for
        assert host.check_output("fail2ban-client get sshd action nftables-multiport port") == "22"
    finally:
        host.check_output("fail2ban-client unban --all")


def test_updates_are_installed_at_their_time(host: Any) -> None:
    timer = host.check_output("systemctl show --property=TimersCalendar apt-daily-upgrade.timer")
    assert "OnCalendar=*-*-* 04:00:00" in timer
    # a package of the distribution, as it was before an update
    script = (
        "cd $(mktemp -d) && chmod 755 . && apt-get -qq download hostname && dpkg-deb -R *.deb package && "
        "sed -i 's/^Version: .*/Version: 0.1/' package/DEBIAN/control && dpkg-deb -b package old.deb && "
        "apt-get -qq -o DPkg::Lock::Timeout=300 --allow-downgrades -y install ./old.deb"
    )
    version = host.package("hostname").version
    host.check_output(f'sh -c "{script}"')
    assert host.package("hostname").version == "0.1"
    host.check_output("rm -f /var/lib/apt/periodic/*stamp")
    host.check_output("systemctl start apt-daily-upgrade.service")
    assert host.package("hostname").version == version, host.check_output(
        "tail -n 30 /var/log/unattended-upgrades/unattended-upgrades.log"
    )


def test_logs_do_not_fill_the_disk(host: Any, album: Album) -> None:
    log = "/var/log/nginx/memories.access.log"
    host.check_output(f"truncate -s 101M {log}")
    host.check_output("systemctl start logrotate.service")
    assert host.file(log).size < 1 << 20
    assert host.file(f"{log}.1").size >= 101 << 20
    host.check_output("rm -f " + log + ".1")
    # nginx writes to the new one, each of its processes once it has been told
    wait_for(lambda: album.get("/").status_code == 200 and host.file(log).size > 0, 60)
    assert (
        "SystemMaxUse=500M"
        in host.check_output("systemd-analyze cat-config systemd/journald.conf").splitlines()
    )


def test_the_kernel_refuses_what_no_server_needs(host: Any) -> None:
    # the test host's network is its own, other settings of the kernel are the machine's
    mount = "mount --bind /proc/sys/net /proc/sys/net && mount -o remount,bind,rw /proc/sys/net"
    host.check_output(f"unshare --mount sh -c '{mount} && /usr/lib/systemd/systemd-sysctl; true'")
    for key in ("ipv4.conf.default.accept_redirects", "ipv4.conf.all.send_redirects"):
        assert host.check_output(f"cat /proc/sys/net/{key.replace('.', '/')}") == "0", key


def test_the_host_is_in_order(host: Any) -> None:
    time.sleep(1)
    assert host.check_output("systemctl is-system-running") == "running"
