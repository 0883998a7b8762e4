# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which names the sites of nginx on this host serve."""

from __future__ import annotations

import contextlib
import glob
import os
import re

FOLDER = "/etc/nginx/sites-enabled"


def names_served(folder: str = FOLDER) -> dict[str, list[str]]:
    """The names of each site (an app's by its own name), in the order in which nginx reads them: the first answers."""
    found = {}
    for path in sorted(glob.glob(f"{folder}/*.conf")):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
            lines = re.findall(r"^\s*server_name\s+([^;]+);", stream.read(), re.MULTILINE)
            found[os.path.basename(path)[: -len(".conf")]] = sorted(
                {name for line in lines for name in line.split()}
            )
    return found


def who_serves(domain: str, folder: str = FOLDER) -> str:
    """The site that answers for a domain; empty when none names it."""
    return next((site for site, names in names_served(folder).items() if domain in names), "")
