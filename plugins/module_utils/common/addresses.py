# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Addresses, as users write them."""

from __future__ import annotations

import ipaddress
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.homeport.django.plugins.module_utils.common.engines import engine_of


def address_of(source: Mapping[str, Any]) -> str:
    """Where a host fetches code from by itself, as it is declared; empty where that is not by an address."""
    if "git" in source:
        return f"{source['git']} {source.get('version', 'HEAD')}"
    return str(source.get("archive", "")) if is_url(source.get("archive", "")) else ""


def is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


POSTGRES_PORT = 5432


def is_address(text: str) -> bool:
    """Whether it is an address of IPv4 or IPv6, and no name."""
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def parse_database_url(url: str) -> dict[str, Any]:
    """engine, name, user, password, host, port, sslmode and sslrootcert of a database's URL."""
    parts = urlsplit(url)
    engine = engine_of(url) or parts.scheme.partition("+")[0]
    options = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
    return {
        "engine": engine,
        "name": unquote(parts.path[1:]),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": unquote(parts.hostname or "") or unquote(options.get("host", "")),
        "port": parts.port or (POSTGRES_PORT if engine == "postgres" else ""),
        "sslmode": options.get("sslmode", ""),
        "sslrootcert": unquote(options.get("sslrootcert", "")),
    }


def proxies_of(environment: Mapping[str, str], address: str) -> dict[str, str]:
    """The proxies by which an app asks an address, by scheme; none where its ``no_proxy`` has the host."""
    direct = {"no": environment.get("no_proxy") or environment.get("NO_PROXY") or ""}
    if urllib.request.proxy_bypass_environment(urlsplit(address).netloc, direct):  # type: ignore[attr-defined]
        return {}
    return {
        scheme: proxy
        for scheme in ("http", "https")
        for variable in (f"{scheme}_proxy", f"{scheme}_proxy".upper())
        if (proxy := environment.get(variable))
    }
