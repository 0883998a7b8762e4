# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where things are on servers."""

from __future__ import annotations

APPS_HOME = "/srv"
SOCKETS = "/run/homeport"
LOGS = "/var/log/homeport"
