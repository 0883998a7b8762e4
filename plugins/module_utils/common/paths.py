# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where things are on servers."""

from __future__ import annotations

APPS_HOME = "/srv"
LOGS = "/var/log/homeport"
RUNTIME = "/run/homeport"
LIBRARY = "/usr/local/lib/homeport"
STATE = "/var/lib/homeport"
LAST_DUMPS = "/var/backups/homeport"  # the last dump of what was removed or upgraded
BACKUP = "/etc/homeport/backup"
ARCHIVE = "/etc/homeport/archive.json"
FIREWALL = "/etc/homeport/firewall.nft"
MOVE = f"{STATE}/moves/postgresql.json"  # how far a move of PostgreSQL to or from a host came
