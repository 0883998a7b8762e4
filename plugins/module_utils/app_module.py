# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The modules whose answers may hold text of an app's."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homeport.django.plugins.module_utils.plain import plain


class Module(AnsibleModule):
    """A module whose answers may hold what an app has printed, named or written."""

    def exit_json(self, **answer: Any) -> None:
        super().exit_json(**plain(answer))

    def fail_json(self, msg: str, **answer: Any) -> None:
        super().fail_json(plain(msg), **plain(answer))

    def warn(self, warning: str, **options: Any) -> None:
        super().warn(plain(warning), **options)
