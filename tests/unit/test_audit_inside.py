"""What an audit reads on a host."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.filter.host import site_tls
from ansible_collections.homeport.django.plugins.module_utils.host.audit import (
    deploy_check as audit_deploy_check,
)
from ansible_collections.homeport.django.plugins.module_utils.host.audit import files as audit_files
from ansible_collections.homeport.django.plugins.module_utils.host.audit import firewall as audit_firewall
from ansible_collections.homeport.django.plugins.module_utils.host.audit import network as audit_network
from ansible_collections.homeport.django.plugins.module_utils.host.audit import upkeep as audit_upkeep
from ansible_collections.homeport.django.plugins.module_utils.host.audit.deploy_check import (
    deploy_check,
    issues,
)
from ansible_collections.homeport.django.plugins.module_utils.host.audit.files import (
    app_files,
    host_files,
    named,
    reachable,
    too_open,
)
from ansible_collections.homeport.django.plugins.module_utils.host.audit.firewall import (
    accepted,
    dropping,
    firewall,
    legacy,
)
from ansible_collections.homeport.django.plugins.module_utils.host.audit.inside import looked
from ansible_collections.homeport.django.plugins.module_utils.host.audit.logins import (
    accounts,
    sshd,
    sshd_settings,
)
from ansible_collections.homeport.django.plugins.module_utils.host.audit.network import (
    client,
    endpoint,
    sockets,
    stores,
)
from ansible_collections.homeport.django.plugins.module_utils.host.audit.services import inet_interfaces
from ansible_collections.homeport.django.plugins.module_utils.host.audit.upkeep import (
    clock,
    failed_units,
    kernel,
    pending,
    replaced,
    stale,
    unit_of,
    updates,
)

from tests.unit.audits import accept
from tests.unit.releases import write
from tests.unit.support import SECRET

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(address: str, state: str, inode: int, uid: int = 0) -> str:
    return f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 1 0 0\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0100007F:1538", ("127.0.0.1", 5432)),
        ("00000000:0050", ("0.0.0.0", 80)),
        ("030011AC:0016", ("172.17.0.3", 22)),
        ("00000000000000000000000000000000:01BB", ("::", 443)),
        ("00000000000000000000000001000000:0019", ("::1", 25)),
        ("B80D01200000000000000000070000C0:0035", ("2001:db8::c000:7", 53)),
        ("0000000000000000FFFF00000100007F:1F90", ("127.0.0.1", 8080)),  # of an IPv4 client
    ],
)
def test_addresses_as_the_kernel_writes_them(text: str, found: tuple[str, int]) -> None:
    assert endpoint(text) == found


def test_what_listens_and_who_does(tmp_path: Path) -> None:
    write(
        tmp_path / "net/tcp",
        HEAD
        + line("00000000:0050", "0A", 1)
        + line("0100007F:0016", "01", 2)
        + line("0100007F:18EB", "0A", 3, 4321),
    )
    write(tmp_path / "net/udp", HEAD + line("00000000:0035", "07", 4) + line("00000000:D431", "01", 5))
    write(tmp_path / "17/comm", "nginx\n")
    (tmp_path / "17/fd").mkdir()
    (tmp_path / "17/fd/6").symlink_to("socket:[1]")
    (tmp_path / "17/fd/7").symlink_to("socket:[99]")
    (tmp_path / "17/fd/8").symlink_to("/dev/null")
    assert [tuple(entry.values()) for entry in sockets(str(tmp_path))] == [
        ("udp", "0.0.0.0", 53, "root", ""),
        ("tcp", "0.0.0.0", 80, "root", "nginx"),
        ("tcp", "127.0.0.1", 6379, "4321", ""),
    ]


@pytest.mark.parametrize(
    ("answer", "is_open"),
    [(b"+PONG\r\n", True), (b"-NOAUTH Authentication required.\r\n", False), (b"", None)],
)
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_store_that_answers_anybody(
    answer: bytes, is_open: bool | None, encrypted: bool, tmp_path: Path
) -> None:
    made = site_tls([SECRET], "10.0.0.3")
    (tmp_path / "server.pem").write_text(made["key"] + made["certificate"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _address = server.accept()
            with connection:
                assert connection.recv(64) == b"PING\r\n"
                connection.sendall(b"" if encrypted else answer)
            if answer and not encrypted:
                return
            plain, _address = server.accept()
            if not answer:
                plain.close()
                return
            with context.wrap_socket(plain, server_side=True) as connection:
                assert connection.recv(64) == b"PING\r\n"
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        entry = {
            "protocol": "tcp",
            "address": "0.0.0.0",
            "port": port,
            "user": "redis",
            "program": "redis-server",
        }
        other = {**entry, "user": "postgres"}
        assert stores([other, entry, entry]) == [{"program": "redis-server", "port": port, "open": is_open}]
        thread.join()


@pytest.mark.parametrize(
    ("listening", "found"),
    [
        ([("127.0.0.1", 6379), ("127.0.0.1", 6380)], [(6379, None), (6380, True)]),
        # of two addresses of one
        ([("127.0.0.1", 6379), ("192.0.2.1", 6379)], [(6379, True)]),
        ([("192.0.2.1", 6379), ("127.0.0.1", 6379)], [(6379, True)]),
    ],
)
def test_a_store_that_does_not_answer_hides_no_other(
    listening: Any, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(address: str, port: int, _greeting: bytes) -> bool:
        if (address, port) == ("127.0.0.1", 6379):
            raise ConnectionRefusedError
        return True

    monkeypatch.setattr(audit_network, "answers", answers)
    entry = {"protocol": "tcp", "user": "redis", "program": "redis-server"}
    told = stores([{**entry, "address": address, "port": port} for address, port in listening])
    assert [(store["port"], store["open"]) for store in told] == found


@pytest.mark.parametrize(
    ("environments", "found"),
    [
        (["A=1\0SSH_CONNECTION=203.0.113.10 50000 192.0.2.1 22\0B=2\0", "", ""], "203.0.113.10"),
        # sudo has taken it out
        (
            ["A=1\0", "XSSH_CONNECTION=x\0", "SSH_CONNECTION=2001:db8::1 50000 2001:db8::2 22\0"],
            "2001:db8::1",
        ),
        (["A=1\0", "", ""], ""),
    ],
)
def test_who_has_logged_in(
    environments: list[str], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 30)
    for pid, parent, environment in zip((30, 20, 10), (20, 10, 0), environments, strict=True):
        write(tmp_path / f"{pid}/environ", environment)
        write(tmp_path / f"{pid}/status", f"Name:\tx\nPid:\t{pid}\nPPid:\t{parent}\n")
    assert client(str(tmp_path)) == found


def chain(**fields: Any) -> str:
    base = {"family": "inet", "table": "homeport", "type": "filter", "hook": "input", "policy": "drop"}
    return json.dumps({"nftables": [{"metainfo": {}}, {"chain": {**base, **fields}}, {"rule": {}}]})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("not JSON", []),
        (chain(), ["inet homeport"]),
        (chain(family="ip", table="filter"), ["ip filter"]),
        (chain(policy="accept"), []),
        (chain(hook="output"), []),
    ],
)
def test_tables_that_drop(text: str, found: list[str]) -> None:
    assert dropping(text) == found


def rules(*rules: list[Any], table: str = "homeport") -> str:
    """What nft 1.0.6 prints of them."""
    own = {"family": "inet", "table": table}
    ports = {"set": {**own, "name": "mosh", "elem": [{"range": [60000, 61000]}, {"elem": {"val": 9}}]}}
    chains = [{"rule": {**own, "chain": "input", "handle": 7, "expr": rule}} for rule in rules]
    return json.dumps({"nftables": [{"metainfo": {}}, {"table": own}, ports, *chains]})


def match(protocol: str, field: str, right: Any, op: str = "==") -> dict[str, Any]:
    if protocol in ("meta", "ct"):
        return {"match": {"op": op, "left": {protocol: {"key": field}}, "right": right}}
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


LET_IN: dict[str, Any] = {"accept": None}
FROM = match("ip", "saddr", {"set": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, "192.0.2.7"]})


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ([match("tcp", "dport", 22), LET_IN], [accept(22)]),
        ([match("tcp", "dport", {"set": [80, 443]}), LET_IN], [accept(80), accept(443)]),
        ([match("udp", "dport", {"range": [6000, 6010]}), LET_IN], [accept(6000, 6010, "udp")]),
        ([match("udp", "dport", "@mosh"), LET_IN], [accept(60000, 61000, "udp"), accept(9, 9, "udp")]),
        ([match("tcp", "dport", "@gone"), LET_IN], [accept(0, 65535, some=True)]),
        ([match("tcp", "dport", 23, "!="), {"counter": {}}, LET_IN], [accept(0, 65535)]),
        ([FROM, match("tcp", "dport", 5432), LET_IN], [accept(5432, some=True)]),
        (
            [match("meta", "l4proto", {"set": ["tcp", "udp"]}), match("th", "dport", 53), LET_IN],
            [accept(53), accept(53, 53, "udp")],
        ),
        ([match("ct", "state", "new", "in"), match("tcp", "dport", 54), LET_IN], [accept(54)]),
        ([match("ip", "protocol", "tcp"), LET_IN], [accept(0, 65535)]),
        ([match("meta", "iifname", "wg0"), LET_IN], [accept(0, 65535, p, some=True) for p in ("tcp", "udp")]),
        ([LET_IN], [accept(0, 65535), accept(0, 65535, "udp")]),
        # what Homeport's own lets in besides
        ([match("ct", "state", ["established", "related"], "in"), LET_IN], []),
        ([match("meta", "iif", "lo"), LET_IN], []),
        ([match("icmp", "type", {"set": ["echo-request"]}), LET_IN], []),
        ([match("tcp", "dport", 9999), {"drop": None}], []),
    ],
)
def test_what_a_firewall_lets_in(rule: Any, found: Any) -> None:
    assert accepted(rules(rule)) == found
    assert accepted(rules(rule, rule)) == found
    assert accepted(rules(rule, table="filter")) == []


def test_older_tables_are_not_made_by_looking_for_them(tmp_path: Path) -> None:
    asked: list[str] = []

    def run(command: list[str]) -> tuple[int, str]:
        asked.append(command[0])
        return 0, "-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n"

    assert legacy(run, str(tmp_path)) == []
    write(tmp_path / "net/ip_tables_names", "nat\n")
    assert legacy(run, str(tmp_path)) == []
    assert asked == []
    write(tmp_path / "net/ip_tables_names", "nat\nfilter\n")
    write(tmp_path / "net/ip6_tables_names", "filter\n")
    assert legacy(run, str(tmp_path)) == ["ip filter (iptables-legacy)", "ip6 filter (ip6tables-legacy)"]
    assert legacy(lambda _command: (0, "-P INPUT ACCEPT\n"), str(tmp_path)) == []


@pytest.mark.parametrize(
    ("status", "iptables", "known"),
    [(0, None, True), (1, None, False), (127, None, True), (127, "/usr/sbin/iptables", False)],
)
def test_whether_the_firewall_is_known(
    status: int, iptables: str | None, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_words, **_options: iptables)
    monkeypatch.setattr(audit_firewall, "legacy", lambda _run: [])
    found = firewall(lambda _command: (status, chain() if status == 0 else ""))
    assert (found["known"], found["dropping"]) == (known, ["inet homeport"] if status == 0 else [])


def test_sshd_is_asked_for_each_account_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "exists", lambda _path: True)
    asked = []

    def run(command: list[str]) -> tuple[int, str]:
        if command[0] == "systemctl":
            return 0, "Listen=0.0.0.0:2224 (Stream)\nListen=[::]:2224 (Stream)\nActiveState=active\n"
        who = dict(word.split("=") for word in command[-1].split(","))
        assert who.keys() == {"user", "host", "addr", "laddr", "lport"}
        asked.append((who["user"], who["lport"]))
        text = "port 22\nlistenaddress 0.0.0.0:2222\nlistenaddress [::]:2222\nlistenaddress [::]:2223\n"
        password = "yes" if (who["user"], who["lport"]) == ("anna", "2223") else "no"
        return 0, f"{text}passwordauthentication {password}\npermitrootlogin no\n"

    found = sshd(run, {"password": ["anna", "root"], "empty": ["guest"], "roots": []})
    assert found
    assert found["ports"] == [2222, 2223, 2224]
    assert found["passwordauthentication"] == ["no"]
    assert found["accounts"].keys() == {"root", "anna", "guest"}
    assert found["accounts"]["anna"]["passwordauthentication"] == ["no", "yes"]
    assert {port for user, port in asked if user == "guest"} == {"2222", "2223", "2224"}


def test_the_settings_of_sshd() -> None:
    found = sshd_settings("Port 22\nPasswordAuthentication yes\nx11forwarding no\nusepam yes\n")
    assert found["passwordauthentication"] == ["yes"]
    assert "x11forwarding" not in found
    # before OpenSSH 8.7
    assert sshd_settings("challengeresponseauthentication no\n")["kbdinteractiveauthentication"] == ["no"]


def test_accounts_with_and_without_a_password() -> None:
    passwd = (
        "root:x:0:0::/root:/bin/bash\nanna:x:1000:1000::/home/anna:/bin/bash\nbob:x:1001:1001::/home/bob:/bin/sh\n"
        "guest:x:1002:1002::/:/bin/sh\ntoor:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n"
    )
    shadow = (
        "root:*:1:::\nanna:$y$j9T$abc:1:::\nbob:!$6$x:1:::\nguest::1:::\ntoor:!:1:::\nwww-data:$6$x:1:::\n"
    )
    assert accounts(passwd, shadow) == {"password": ["anna"], "empty": ["guest"], "roots": ["toor"]}


# Files


@pytest.mark.parametrize(
    ("mode", "mask", "good"),
    [
        (0o640, 0o027, None),
        (0o644, 0o027, "0640"),
        (0o660, 0o027, "0640"),
        (0o600, 0o077, None),
        (0o640, 0o077, "0600"),
        (0o750, 0o007, None),
        (0o2755, 0o007, "2750"),
    ],
)
def test_modes_that_are_too_open(mode: int, mask: int, good: str | None, tmp_path: Path) -> None:
    path = write(tmp_path / "file")
    path.chmod(mode)
    found = too_open(str(path), mask, True)
    assert (found and found["expected"]) == good
    if found:
        assert found["mode"] == f"{mode:04o}"


def test_links_and_missing_files_are_nobodys_fault(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert too_open(str(tmp_path / "link"), 0o777, True) is None
    assert too_open(str(tmp_path / "none"), 0o777, True) is None


def test_a_configuration_that_is_not_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "env")
    path.chmod(0o640)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    found = too_open(str(path), 0o027, True)
    assert found
    assert found["mode"] == found["expected"]
    assert too_open(str(path), 0o027, False) is None


def test_the_secrets_of_a_host(tmp_path: Path) -> None:
    for name, mode in {
        "etc/homeport/certificates/blog/1/privkey.pem": 0o640,
        "etc/homeport/certificates/blog/1/fullchain.pem": 0o644,
        "etc/homeport/acme/accounts/x/private_key.json": 0o400,
        "etc/homeport/backup/password": 0o600,
        "etc/redis/redis.conf": 0o644,
        "etc/redis/redis-blog-cache/users.acl": 0o644,
        "etc/valkey/valkey-shop-cache/users.acl": 0o640,
        "etc/valkey/valkey-shop-cache/reload": 0o640,
        "home/anna/.vault_pass": 0o644,
        "home/anna/prod/group_vars/all/vault.yml": 0o644,
        "home/anna/prod/group_vars/all/more/vault.yml": 0o644,  # further down than is looked
        "home/anna/safe/vault.yml": 0o644,
        "home/anna/blog/.env": 0o640,
        "root/.ssh/id_ed25519": 0o644,
    }.items():
        path = write(tmp_path / name)
        path.chmod(mode)
        for folder in path.relative_to(tmp_path).parents:
            (tmp_path / folder).chmod(0o755)
    (tmp_path / "root").chmod(0o700)  # nobody comes that far
    (tmp_path / "home/anna/safe/vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    found = host_files(str(tmp_path))
    assert found["count"] == 7
    assert found["unseen"] == []
    opened = {entry["path"][len(str(tmp_path)) :] for entry in found["open"]}
    assert opened == {
        "/etc/homeport/certificates/blog/1/privkey.pem",
        "/etc/redis/redis.conf",
        "/etc/redis/redis-blog-cache/users.acl",
        "/etc/valkey/valkey-shop-cache/reload",
        "/home/anna/.vault_pass",
        "/home/anna/prod/group_vars/all/vault.yml",
    }
    assert not reachable(str(tmp_path / "root/.ssh/id_ed25519"), str(tmp_path))


def test_a_pipe_hides_nothing_else(tmp_path: Path) -> None:
    """Somebody has it open for writing, and writes nothing."""
    write(tmp_path / "srv/web/.env").chmod(0o644)
    pipe = tmp_path / "srv/shop/.env"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    pipe.chmod(0o644)
    for folder in (tmp_path, tmp_path / "srv", tmp_path / "srv/web", pipe.parent):
        folder.chmod(0o755)
    writer = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        found = host_files(str(tmp_path))
    finally:
        os.close(writer)
    assert str(tmp_path / "srv/web/.env") in [entry["path"] for entry in found["open"]]


def test_the_secrets_of_an_app(tmp_path: Path) -> None:
    modes = {
        "config/env": 0o644,
        "config/limits": 0o644,
        "config/processes/queue": 0o640,
        "releases/1/config/release.env": 0o640,
        "releases/1/config/overlay.d/90_settings.py": 0o646,
        "releases/1/config/application": 0o644,
        "releases/1/src/.env": 0o644,  # in a folder that is the app's alone
        "log/web.log": 0o640,
        "shared/data/db.sqlite3": 0o644,
    }
    for name, mode in modes.items():
        write(tmp_path / name).chmod(mode)
    for name, mode in {"log": 0o750, "shared/data": 0o755, "home": 0o700}.items():
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name).chmod(mode)
    found = app_files({"home": str(tmp_path), "logs": str(tmp_path / "log")})
    assert found["count"] == 7
    assert {entry["path"][len(str(tmp_path)) + 1 :] for entry in found["open"]} == {
        "config/env",
        "releases/1/config/overlay.d/90_settings.py",
        "shared/data",
    }


def test_a_search_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        write(tmp_path / name / ".env")
    paths = [str(tmp_path / name / ".env") for name in "abc"]
    assert named(str(tmp_path), r"\.env", 3) == (paths, False)
    assert named(str(tmp_path), r"\.env", 3, lambda path: path.endswith("/b")) == (
        [paths[0], paths[2]],
        False,
    )
    assert named(str(tmp_path), r"\.env", 0) == ([], False)
    monkeypatch.setattr(audit_files, "MOST", 3)
    assert named(str(tmp_path), r"\.env", 3) == (paths[:1], True)
    monkeypatch.setattr(audit_files, "MOST", 5)
    assert named(str(tmp_path), r"\.env", 3) == (paths, False)


def test_many_files_of_one_app_hide_nothing_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_files, "MOST", 10)
    many = [str(number) for number in range(20)]
    for name in (
        ".env",
        "album/.env",
        *(f"album/shared/media/{number}" for number in many),
        "album/web/.env",
        *(f"blog/{number}/x" for number in many),
        "blog/.env",
        *(f"closed/{number}/x" for number in many),
        "shop/.env",
        "shop/one/two/.env",
        "shop/one/two/three/.env",  # further down than is looked
        "shop/node_modules/.env",
    ):
        write(tmp_path / "srv" / name).chmod(0o644)
    for folder, _folders, _files in os.walk(tmp_path):
        Path(folder).chmod(0o755)
    (tmp_path / "srv/closed").chmod(0o750)
    found = host_files(str(tmp_path))
    base = str(tmp_path / "srv")
    assert [entry["path"][len(base) + 1 :] for entry in found["open"]] == [
        ".env",
        "album/.env",
        "album/web/.env",
        "blog/.env",
        "shop/.env",
        "shop/one/two/.env",
    ]
    assert found["unseen"] == [f"{base}/blog"]


# What has to be kept up to date


def test_pending_upgrades() -> None:
    text = (
        "Reading package lists...\nThe following packages will be upgraded:\n  libssl3 tzdata\n"
        "Inst libssl3 [3.0.14-1] (3.0.15-1~deb12u1 Debian-Security:12/stable-security [amd64])\n"
        "Inst tzdata [2024a-0] (2025b-0+deb12u1 Debian:12.11/stable, Debian:12-updates/stable-updates [all])\n"
        "Inst linux-image-6.8 [6.8.0-49.49] (6.8.0-50.51 Ubuntu:24.04/noble-updates, "
        "Ubuntu:24.04/noble-security [amd64])\n"
        "Inst brand-new (1.0 Debian:12.11/stable [all])\nConf libssl3 (3.0.15-1~deb12u1 Debian:12 [amd64])\n"
    )
    assert pending(text) == {
        "packages": ["libssl3", "tzdata", "linux-image-6.8"],
        "security": ["libssl3", "linux-image-6.8"],
    }
    assert pending("0 upgraded, 0 newly installed") == {"packages": [], "security": []}


@pytest.mark.parametrize(
    ("program", "periodic", "timer", "automatic"),
    [
        (True, "UPGRADE='1'\n", 0, True),
        (True, "ENABLE='1'\nUPGRADE='always'\n", 0, True),
        (True, "ENABLE='1'\nUPGRADE='7d'\n", 0, True),
        (True, "ENABLE='0'\nUPGRADE='1'\n", 0, False),
        (True, "ENABLE='1'\nUPGRADE='0'\n", 0, False),
        (True, "ENABLE='1'\n", 0, False),
        (True, "", 0, False),
        (True, "UPGRADE='1'\n", 3, False),  # stopped, or masked
        (False, "UPGRADE='1'\n", 0, False),
    ],
)
def test_what_installs_upgrades(
    program: bool, periodic: str, timer: int, automatic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "exists", lambda _path: program)
    monkeypatch.setattr(audit_upkeep, "lists_age", lambda: 60)
    told = {"apt-get": (0, ""), "apt-config": (0, periodic), "systemctl": (timer, "")}
    assert updates(lambda command: told[command[0]])["automatic"] is automatic


@pytest.mark.parametrize(
    ("installed", "running", "newer"),
    [
        ([], "6.1.0-28-amd64", ""),
        (["6.1.0-28-amd64"], "6.1.0-28-amd64", ""),
        (["6.1.0-9-amd64", "6.1.0-28-amd64"], "6.1.0-9-amd64", "6.1.0-28-amd64"),
        (["6.1.0-9-amd64", "6.1.0-28-cloud-amd64"], "6.1.0-9-amd64", ""),
        (["6.8.0-51-generic"], "5.15.0-1-generic", "6.8.0-51-generic"),
    ],
)
def test_a_newer_kernel(installed: list[str], running: str, newer: str, tmp_path: Path) -> None:
    for name in installed:
        write(tmp_path / f"boot/vmlinuz-{name}")
    assert kernel(str(tmp_path), running)["newer"] == newer


def test_a_reboot_that_is_asked_for(tmp_path: Path) -> None:
    assert kernel(str(tmp_path), "1")["asked"] is False
    write(tmp_path / "run/reboot-required")
    write(tmp_path / "run/reboot-required.pkgs", "libc6\nlinux-base\nlibc6\n")
    found = kernel(str(tmp_path), "1")
    assert (found["asked"], found["packages"]) == (True, ["libc6", "linux-base"])


@pytest.mark.parametrize(
    ("path", "old"),
    [
        ("/usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)", True),
        ("/lib64/ld-linux.so.2 (deleted)", True),
        ("/usr/sbin/nginx (deleted)", True),
        ("/usr/lib/x86_64-linux-gnu/libssl.so.3", False),
        ("/dev/zero (deleted)", False),
        ("/SYSV001a048a (deleted)", False),
        ("/memfd:x (deleted)", False),
        ("/srv/blog/releases/1/venv/lib/x.so (deleted)", False),
    ],
)
def test_libraries_that_are_not_there_any_more(path: str, old: bool) -> None:
    assert (
        replaced(f"7f0-7f1 r-xp 00000000 00:2f 1   /usr/bin/dash\n7f2-7f3 r-xp 00000000 00:2f 2   {path}\n")
        is old
    )


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/nginx.service\n", "nginx.service"),
        ("9:name=systemd:/\n0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n",
         "postgresql@15-main.service"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_unit_of_a_process(text: str, unit: str) -> None:
    assert unit_of(text) == unit


def test_who_uses_what_is_gone(tmp_path: Path) -> None:
    old = "7f2-7f3 r-xp 0 00:2f 2   /usr/lib/libssl.so.3 (deleted)\n"
    for pid, maps, cgroup in (
        (1, "", ""),
        (2, old, "0::/system.slice/a.service\n"),
        (3, old, "0::/user.slice\n"),
    ):
        write(tmp_path / f"{pid}/maps", maps)
        write(tmp_path / f"{pid}/cgroup", cgroup)
        write(tmp_path / f"{pid}/comm", "bash\n")
    assert stale(str(tmp_path)) == ["a.service", "bash"]


def test_units_and_clock() -> None:
    assert failed_units(lambda _command: (0, "a.service loaded failed failed A\n\n")) == ["a.service"]
    told = {"systemd-detect-virt": (1, ""), "timedatectl": (0, "yes\n")}
    assert clock(lambda command: told[command[0]]) == {"container": False, "synchronized": True}


# Services


def test_supervisord_over_tcp(tmp_path: Path) -> None:
    config = tmp_path / "supervisord.conf"
    assert inet_interfaces(str(config)) is None
    write(config, "[supervisord]\n; [inet_http_server]\n[include]\nfiles = conf.d/*.conf\n")
    write(tmp_path / "conf.d/a.conf", "[program:a]\n")
    assert inet_interfaces(str(config)) == {"files": []}
    write(tmp_path / "conf.d/b.conf", "x=1\n[inet_http_server]\nport=:9001\n")
    assert inet_interfaces(str(config)) == {"files": [str(tmp_path / "conf.d/b.conf")]}


# Apps


CHECKS = """\
System check identified some issues:

ERRORS:
shop.Order.user: (fields.E304) Reverse accessor clashes with canary.
\tHINT: (not.E000) Add a related_name.

WARNINGS:
?: (security.W018) You should not have DEBUG set to True in deployment.
shop.Order: (models.W042) Auto-created primary key used.
?: (my-app.W1) The key canary is short.
an issue without an id

INFOS:
?: (shop.I001) canary

System check identified 5 issues (1 silenced).
"""


def test_the_ids_of_issues_and_nothing_else() -> None:
    assert issues(CHECKS) == {
        "CRITICAL": [],
        "ERROR": ["fields.E304"],
        "WARNING": ["security.W018", "models.W042", "my-app.W1"],
    }
    assert not any(issues("System check identified no issues (0 silenced).\n").values())


class Ended:
    stdout, stopped = "", False

    def __init__(self, status: int, stderr: str, stopped: bool = False) -> None:
        self.status, self.stderr, self.stopped = status, stderr, stopped


@pytest.mark.parametrize(
    ("ended", "failed", "warnings"),
    [
        (Ended(0, ""), "", []),
        (Ended(0, CHECKS.replace("ERRORS", "INFOS")), "", ["security.W018", "models.W042", "my-app.W1"]),
        (Ended(1, "Traceback\nImproperlyConfigured: canary"), "ended with exit status 1", []),
        (Ended(-15, "", stopped=True), "did not end within 90 s", []),
    ],
)
def test_the_checks_of_an_app(
    ended: Ended, failed: str, warnings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"name": "blog", "user": "blog", "home": str(tmp_path)}
    assert deploy_check(spec) is None
    (tmp_path / "releases/1").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/1")
    asked: list[Any] = []

    def in_release(*words: Any, **_options: Any) -> Ended:
        asked.append(words)
        return ended

    monkeypatch.setattr(audit_deploy_check, "in_release", in_release)
    found = deploy_check(spec)
    assert found == {"issues": {"CRITICAL": [], "ERROR": [], "WARNING": warnings}, "failed": failed}
    assert asked[0][1:3] == (str(tmp_path / "releases/1"), ["manage.py", "check", "--deploy", "--no-color"])


def test_what_cannot_be_looked_at_says_why_and_quotes_nothing() -> None:
    def missing() -> None:
        raise FileNotFoundError(2, "No such file", "/etc/x")

    assert looked(int, "canary") == {"found": None, "error": "ValueError"}
    assert "/etc/x" in looked(missing)["error"]
    assert looked(int, "7") == {"found": 7, "error": ""}

    def late() -> None:
        raise subprocess.TimeoutExpired(["x", "canary"], 60)

    assert looked(late) == {"found": None, "error": "no answer within 60 s"}
