# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which names the sites of nginx on this host serve."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterator

FOLDER = "/etc/nginx/sites-enabled"
# Of nginx's configuration: a quoted text, a comment, a sign, or a word.
WORD = r"""(?s)"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|#[^\n]*|[{};]|(?:\$\{\w+\}|[^\s{};"'])+|["']"""


def configurations(folder: str) -> Iterator[tuple[str, str]]:
    """The name and text of each site, in the order in which nginx reads them."""
    for path in sorted(glob.glob(f"{folder}/*.conf")):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
            yield os.path.basename(path)[: -len(".conf")], stream.read()


def names_served(folder: str = FOLDER) -> dict[str, list[str]]:
    """The names of each site (an app's by its own name), in the order in which nginx reads them: the first answers."""
    return {
        site: sorted({name for server in servers_of(text) for name in server.get("server_name", [])})
        for site, text in configurations(folder)
    }


def who_serves(domain: str, port: int, folder: str = FOLDER) -> str:
    """The site that answers for a domain at a port; empty when none does."""
    for site, text in configurations(folder):
        for server in servers_of(text):
            if domain in server.get("server_name", []) and port in ports_of(server.get("listen", ["80"])):
                return site
    return ""


def servers_of(text: str) -> list[dict[str, list[str]]]:
    """What the server_name and listen directives of each server block say."""
    found: list[dict[str, list[str]]] = []
    opened: list[str] = []
    words: list[str] = []
    for word in re.findall(WORD, text):
        if word == "{":
            opened.append(words[0] if words else "")
            if opened[-1] == "server":
                found.append({})
        elif word == "}":
            del opened[-1:]
        elif word == ";" and opened[-1:] == ["server"] and words:
            given = words[1:] if words[0] == "server_name" else words[1:2]  # options come after an address
            found[-1].setdefault(words[0], []).extend(given)
        elif word.startswith("#"):
            continue
        elif word != ";":
            words.append(word.strip("\"'"))
            continue
        words = []
    return found


def ports_of(addresses: list[str]) -> set[int]:
    """The TCP ports of listen directives."""
    found: set[int] = set()
    for address in addresses:
        ports = re.fullmatch(r"(?:.*:)?(\d+)(?:-(\d+))?", address)
        if ports:
            found.update(range(int(ports[1]), int(ports[2] or ports[1]) + 1))
        elif not address.startswith("unix:"):
            found.add(80)
    return found
