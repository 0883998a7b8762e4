# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What an entry of ``vault_django_apps`` may say."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.app.fields.env import env_rule
from ansible_collections.homeport.django.plugins.module_utils.app.fields.services import ALIAS
from ansible_collections.homeport.django.plugins.module_utils.common.names import ENV_NAME
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    List,
    Map,
    Object,
    Scalar,
    Str,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import (
    WEB_ADDRESS,
    WEB_ADDRESS_HINT,
    DatabasePassword,
)

SECRETS = Object(
    {
        "env": Map(
            Scalar(),
            key=ENV_NAME,
            key_hint="use letters, digits and '_', not starting with a digit",
            rule=env_rule,
            doc="secret environment variables",
            default={},
        ),
        "secret_key": List(
            Str(
                "a key",
                pattern=r"[\x21-\x7e]{32,}",
                hint="must be at least 32 printable characters without spaces",
            ),
            doc="Django's SECRET_KEY, or several: the first is used, the others are SECRET_KEY_FALLBACKS "
            "(default: derived)",
            unique=True,
            least=1,
        ),
        **{
            f"{service}_password": List(
                shape("a password", pattern=pattern, hint=f"must be at least 16 {characters}"),
                doc=f"password of the app's own {service}, or several: the first is used, the others are accepted as "
                "well (default: derived)",
                unique=True,
                least=1,
            )
            for service, shape, pattern, characters in (
                ("database", DatabasePassword, r".{16,}", "characters"),
                ("cache", Str, r"[\x21-\x7e]{16,}", "printable characters without spaces"),
                ("broker", Str, r"[\x21-\x7e]{16,}", "printable characters without spaces"),
            )
        },
        "database_url": Str("address of a database that exists already"),
        "database_urls": Map(
            Str("an address"),
            key=ALIAS,
            key_hint="use an alias of the app's databases",
            doc="addresses of further databases that exist already, by their aliases in databases",
            default={},
        ),
        "database_direct_url": Str(
            "address of the PostgreSQL itself, where database_url leads to a pooler in transaction mode: for "
            "migrations, dumps and restores"
        ),
        "database_direct_urls": Map(
            Str("an address"),
            key=ALIAS,
            key_hint="use an alias of the app's databases",
            doc="the same for further databases, by their aliases in databases",
            default={},
        ),
        "cache_url": Str("address of a cache that exists already"),
        "broker_url": Str("address of a broker that exists already"),
        **{
            f"s3_{part}_key": Str(
                f"{part} key of the bucket that media.s3 names",
                pattern=r"[\x21-\x7e]{3,}",
                hint="must be at least 3 printable characters without spaces",
            )
            for part in ("access", "secret")
        },
        "notify_url": Str(
            "address that the outcome of a deploy is posted to",
            pattern=WEB_ADDRESS,
            hint=WEB_ADDRESS_HINT,
        ),
        "tls_key": Str(
            "private key (PEM) of the app's own certificate",
            pattern=r"\s*-----BEGIN [A-Z ]*PRIVATE KEY-----[^\0]+-----END [A-Z ]*PRIVATE KEY-----\s*",
            hint="must be a private key in PEM, without a passphrase",
            multiline=True,
        ),
        "deploy_key": Str(
            "private SSH key that may read the git repository",
            pattern=r"\s*-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[^\0]*",
            hint="must be a private key as ssh-keygen writes it",
            multiline=True,
        ),
        "git": Str(
            "address of the git repository with a token in it, used instead of source.git",
            pattern=r"[^\s-]\S*[:/]\S*",
            hint="is not the address of a git repository",
        ),
    }
)
