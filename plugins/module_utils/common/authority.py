# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where a host has the certificates of the site's authority: what clients trust, and those of its own servers."""

from __future__ import annotations

FOLDER = "/etc/ssl/homeport"
AUTHORITY = f"{FOLDER}/authority.pem"
# For clients that take no file of their own: the system's authorities, and this folder.
TRUSTED_FOLDERS = f"/etc/ssl/certs:{FOLDER}"
# Patterns of paths.
CERTIFICATES = (
    AUTHORITY,
    "/etc/postgresql-common/homeport.crt",
    "/etc/redis/redis-*/tls.crt",
    "/etc/valkey/valkey-*/tls.crt",
    "/etc/rabbitmq/homeport.crt",
)
