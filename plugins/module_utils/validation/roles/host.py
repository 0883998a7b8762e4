# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of their hosts."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import (
    FOLDER,
    FOLDER_HINT,
    PACKAGE_NAME,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Choice,
    Field,
    List,
    Object,
    Str,
)

USER = r"[a-z_][a-z0-9_.-]{0,31}"


INPUTS: dict[str, Field] = {
    "host_packages": List(
        Str(pattern=rf"{PACKAGE_NAME}(\|{PACKAGE_NAME})*", hint="must be the name of a Debian package")
    ),
    "host_timezone": Str(
        pattern=r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*",
        hint="must be the name of a time zone, such as Europe/Vienna",
    ),
    "host_locale": Str(pattern=r"[A-Za-z0-9_@.-]+", hint="must be the name of a locale, such as en_US.UTF-8"),
    "host_users": List(
        Object(
            {
                "name": Str(
                    pattern=USER, hint="must be lower-case letters, digits, '_', '.' or '-'", required=True
                ),
                "authorized_keys": List(Str()),
                "groups": List(Str(pattern=USER, hint="must be the name of a group")),
                "shell": Str(pattern=FOLDER, hint=FOLDER_HINT),
                "state": Choice(["present", "absent"]),
            },
            others=True,
        )
    ),
}
