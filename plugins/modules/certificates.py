#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Gets the certificates that a host's sites lack."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates
short_description: Get the certificates that are missing
description:
  - Runs C(/usr/local/lib/homeport/certificates), which the role P(homeport.django.certificates#role) installs. It
    checks the certificate of every site, requests missing ones from the authority, and reloads the web server after a
    change. When nothing is missing, it sends no request.
  - A name that has no address yet, or that the authority does not validate, is a warning; the others get their
    certificate. Any other failure is an error, after all other sites are done.
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Get the certificates that are missing
  homeport.django.certificates:
"""

RETURN = r"""
sites:
  description: The certificate of each site, with its C(names), C(until) when it is good, and the names that it is
    C(missing) with the reason.
  returned: always
  type: dict
changes:
  description: The sites that got another certificate, or would in check mode.
  returned: always
  type: list
  elements: str
"""

import json
import os
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.module import HostModule

PROGRAM = "/usr/local/lib/homeport/certificates"
CONFIG = "/etc/homeport/certificates.json"


def warnings(sites: dict[str, dict[str, Any]]) -> list[str]:
    """What somebody has to see to, in sentences."""
    found = []
    for site, entry in sorted(sites.items()):
        for name, reason in sorted(entry["missing"].items()):
            found.append(f"{site}: the certificate does not have {name}, which {sentence(reason)}")
        if entry["kind"] == "acme" and entry["self_signed"]:
            found.append(
                f"{site}: is served with a self-signed certificate until an authority has signed one"
            )
    return found


def sentence(reason: str) -> str:
    return reason if reason.startswith("has no") else f"cannot be obtained: {reason}"


def problems(report: dict[str, Any]) -> list[str]:
    """What went wrong, by site."""
    found = {site: entry["error"] for site, entry in report["sites"].items() if entry["error"]}
    return [f"{site}: {text}" for site, text in sorted({**found, **report["errors"]}.items())]


def main() -> None:
    module = HostModule(argument_spec={}, supports_check_mode=True)
    if module.check_mode and not (os.path.exists(PROGRAM) and os.path.exists(CONFIG)):
        module.exit_json(changed=True, sites={}, changes=[])
    status, out, err = module.run_command([PROGRAM, "plan" if module.check_mode else "apply"])
    try:
        report = json.loads(out)
    except ValueError:
        module.fail_json(msg=f"{PROGRAM} failed with status {status}: {err.strip() or out.strip()}")
    for text in warnings(report["sites"]):
        module.warn(text)
    found = problems(report)
    result = {"changed": bool(report["changed"]), "sites": report["sites"], "changes": report["changed"]}
    if status or found:
        module.fail_json(
            msg="Some certificates could not be obtained:\n" + "\n".join(found or [err]), **result
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
