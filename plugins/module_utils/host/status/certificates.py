# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The certificates that nginx serves apps with."""

from __future__ import annotations

import json
import re
import socket
import ssl
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.status.places import (
    Places,
    Run,
    read,
)


def certificate(spec: dict[str, Any], run: Run, places: Places) -> dict[str, Any] | None:
    r"""What nginx serves the app with: its names and its validity \(empty where it cannot be read\)."""
    if spec.get("certificate", "none") == "none":
        return None
    path = f"{places.certificates}/{spec['name']}/live/fullchain.pem"
    status, out = run(
        ["openssl", "x509", "-noout", "-dates", "-issuer", "-subject", "-ext", "subjectAltName", "-in", path]
    )
    found = dict(re.findall(r"^(\w+) ?= ?(.+)$", out, re.MULTILINE)) if status == 0 else {}
    try:
        start, end = (int(ssl.cert_time_to_seconds(found[key])) for key in ("notBefore", "notAfter"))
    except (KeyError, ValueError):
        return {"names": [], "from": None, "until": None, "self_signed": False, "served": True}
    return {
        "names": re.findall(r"DNS:([^\s,]+)", out),
        "from": start,
        "until": end,
        "self_signed": found.get("issuer") == found.get("subject"),
        "served": serves(spec, read(path)),
    }


def serves(spec: dict[str, Any], text: str) -> bool:
    """Whether nginx serves an app with the certificate of ``text``; where nginx does not answer, visits report it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", spec["visit"]["port"]), timeout=5) as connection,
            context.wrap_socket(connection, server_hostname=spec["domains"][0]) as answered,
        ):
            given = answered.getpeercert(binary_form=True)
    except (OSError, KeyError):
        return True
    end = "-----END CERTIFICATE-----"
    return given == ssl.PEM_cert_to_DER_cert(text.partition(end)[0].strip() + f"\n{end}")


def given_certificates(places: Places) -> dict[str, dict[str, Any]]:
    """What the role certificates was given for each site that has one."""
    try:
        sites = dict(json.loads(read(f"{places.certificates}.json"))["sites"])
    except (ValueError, KeyError):
        return {}
    return {
        name: {**site, "chain": read(f"{places.own_certificates}/{name}.crt")}
        if site["kind"] == "own"
        else site
        for name, site in sites.items()
    }
