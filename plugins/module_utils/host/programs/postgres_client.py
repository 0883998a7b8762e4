# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The newest PostgreSQL client that is installed.

It reads the dumps of all others, and works with all servers that are not newer. Debian's own choice follows the
clusters of this host, and the dump may be of another one.
"""

from __future__ import annotations

import glob


def newest(program: str) -> str:
    found = glob.glob(f"/usr/lib/postgresql/*/bin/{program}")
    return max(found, key=lambda path: float(path.split("/")[4])) if found else program
