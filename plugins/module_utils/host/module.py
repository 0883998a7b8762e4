# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the modules that run on hosts have in common."""

from __future__ import annotations

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homeport.django.plugins.module_utils.common.plain import plain


class HostModule(AnsibleModule):
    """A module that leaves files for other users, whatever the umask of the login that Ansible came by."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        os.umask(0o022)
        super().__init__(*arguments, **options)


class Module(HostModule):
    """A module whose answers may hold what an app has printed, named or written."""

    def exit_json(self, **answer: Any) -> None:
        super().exit_json(**plain(answer))

    def fail_json(self, msg: str, **answer: Any) -> None:
        super().fail_json(plain(msg), **plain(answer))

    def warn(self, warning: str, **options: Any) -> None:
        super().warn(plain(warning), **options)
