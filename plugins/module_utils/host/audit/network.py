# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What listens on a host, and where its operator comes from."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import ssl
import struct
from collections.abc import Iterable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS
from ansible_collections.homeport.django.plugins.module_utils.host.audit.files import user_name
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import read

LISTEN, UNCONNECTED = "0A", "07"  # states in /proc/net
# By the accounts that packages make for them.
STORES = {facts.account: facts.probe for facts in FACTS.values() if facts.probe}


def sockets(proc: str = "/proc") -> list[dict[str, Any]]:
    """What listens, and who is behind it: C(protocol), C(address), C(port), C(user), C(program)."""
    found = {}
    for name in ("tcp", "tcp6", "udp", "udp6"):
        protocol, state = name[:3], LISTEN if name.startswith("tcp") else UNCONNECTED
        for line in read(f"{proc}/net/{name}", -1).splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == state:
                address, port = endpoint(fields[1])
                found[protocol, address, port] = (int(fields[7]), fields[9])
    programs = holders({inode for _uid, inode in found.values()}, proc)
    return [
        {
            "protocol": protocol,
            "address": address,
            "port": port,
            "user": user_name(uid),
            # root in a container does not see what others hold
            "program": programs.get(inode, ""),
        }
        for (protocol, address, port), (uid, inode) in sorted(
            found.items(), key=lambda row: (row[0][2], row[0])
        )
    ]


def endpoint(text: str) -> tuple[str, int]:
    """Address and port as /proc/net writes them: each word of the address in the machine's own order."""
    raw, _colon, port = text.partition(":")
    words = [raw[start : start + 8] for start in range(0, len(raw), 8)]
    packed = b"".join(struct.pack("=I", int(word, 16)) for word in words)
    address = ipaddress.ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), int(port, 16)


def holders(inodes: set[str], proc: str) -> dict[str, str]:
    """The programs that hold some sockets."""
    found: dict[str, str] = {}
    for pid in sorted((name for name in os.listdir(proc) if name.isdigit()), key=int):
        with contextlib.suppress(OSError):
            for descriptor in os.scandir(f"{proc}/{pid}/fd"):
                with contextlib.suppress(OSError):
                    match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor.path))
                    if match and match[1] in inodes:
                        found.setdefault(match[1], read(f"{proc}/{pid}/comm").strip())
    return found


def client(proc: str = "/proc") -> str:
    """The address that the operator has logged in from, or nothing; sudo leaves it to the parent processes."""
    pid = str(os.getpid())
    while pid not in ("0", ""):
        found = re.search(r"(?:^|\0)SSH_CONNECTION=(\S+)", read(f"{proc}/{pid}/environ"))
        if found:
            return found[1]
        parent = re.search(r"^PPid:\s*(\d+)", read(f"{proc}/{pid}/status"), re.MULTILINE)
        pid = parent[1] if parent else ""
    return ""


def stores(listening: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Caches and brokers that speak TCP, and whether they answer somebody who names no password.

    C(open) is nothing where one does not answer at all.
    """
    found: dict[int, dict[str, Any]] = {}
    for entry in listening:
        greeting = STORES.get(entry["user"])
        known = found.get(entry["port"], {}).get("open")
        # one instance listens on several addresses, and several on one port of different ones: one that is open counts
        if greeting and entry["protocol"] == "tcp" and not known:
            name, is_open = entry["program"] or entry["user"], known
            with contextlib.suppress(OSError):
                is_open = answers(entry["address"], entry["port"], greeting)
            found[entry["port"]] = {"program": name, "port": entry["port"], "open": is_open}
    return list(found.values())


def answers(address: str, port: int, greeting: bytes) -> bool:
    """Whether a store does what it is asked by anybody, in the clear or, where it hangs up on that, over TLS."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    place = (everywhere.get(address, address), port)
    with socket.create_connection(place, timeout=3) as connection:
        said = said_to(connection, greeting)
    if not said:
        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(place, timeout=3) as plain, anybody.wrap_socket(plain) as connection:
            said = said_to(connection, greeting)
    return said.startswith((b"+PONG", b"VERSION"))


def said_to(connection: socket.socket, greeting: bytes) -> bytes:
    """The first words of an answer; none where the connection is closed."""
    connection.sendall(greeting)
    try:
        return connection.recv(64)
    except ConnectionResetError:
        return b""
