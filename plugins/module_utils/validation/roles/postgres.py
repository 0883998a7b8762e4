# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of PostgreSQL."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import (
    NAME,
    NAME_HINT,
    Network,
    Pem,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Field,
    Int,
    List,
    Map,
    Object,
    Scalar,
    Str,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import DatabasePassword

LISTEN = r"(\*|[A-Za-z0-9_.:-]+)"

INPUTS: dict[str, Field] = {
    "postgres_databases": List(
        Object(
            {
                "name": Str(pattern=r".{1,63}", hint="must have from 1 to 63 characters", required=True),
                "owner": Str(pattern=r".{1,63}", hint="must have from 1 to 63 characters", required=True),
                "password": DatabasePassword(default=""),
                "logins": List(
                    Object(
                        {
                            "name": Str(
                                pattern=r".{1,63}", hint="must have from 1 to 63 characters", required=True
                            ),
                            "password": DatabasePassword(required=True),
                        }
                    ),
                    default=[],
                ),
                "connection_limit": Int(low=-1, high=10000, default=-1),
                "extensions": List(Str(), default=[]),
            }
        )
    ),
    "postgres_extension_packages": Map(
        Str(
            pattern=r"([a-z0-9]|\{version\})([a-z0-9+.-]|\{version\})*",
            hint="must be the name of a Debian package, in which {version} is the version of PostgreSQL",
        ),
        key=r"[a-z][a-z0-9_-]{0,62}",
        key_hint="use the name of an extension",
    ),
    "postgres_clients": List(
        Object(
            {
                # what else may be in a name means something in pg_hba.conf, quotes or not
                "database": Str(pattern=rf"_?{NAME}", hint=NAME_HINT, required=True),
                "user": Str(pattern=rf"_?{NAME}", hint=NAME_HINT, required=True),
                "address": Network(required=True),
            }
        )
    ),
    "postgres_tls_certificate": Pem("a certificate"),
    "postgres_tls_key": Pem("a private key, without a passphrase,"),
    "postgres_listen_addresses": Str(
        pattern=rf"({LISTEN}(\s*,\s*{LISTEN})*)?",
        hint="must be addresses or host names with commas between them, or * for all",
    ),
    "postgres_memory_percent": Int(low=1, high=90),
    "postgres_max_connections": Int(low=4, high=100000),
    "postgres_settings": Map(
        Scalar(), key=r"[A-Za-z_][A-Za-z0-9_.]*", key_hint="use the name of a setting of PostgreSQL"
    ),
}
