#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""All files of one service, and the service itself, as one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_config
short_description: Bring all files of a service, and the service itself, to the declared state
description:
  - Compares a whole set of files, folders and links with the host in one task. Writes what differs, and removes what
    an earlier run has written and is no longer declared. The service's own parser checks the result. Then it reloads
    or restarts the service when that is needed.
  - It is one transaction. When O(validate) or the reload refuses the result, every file is restored. When the service
    does not start, changes that waited for that start are reverted, too.
  - What still has to be applied is recorded on the host. So the next run finishes one that was cancelled between
    writing and reloading.
options:
  name:
    description: Name of the set. What it put on the host is recorded in C(/var/lib/homeport/<name>.json).
    type: str
    required: true
  partial:
    description: O(files) are some of the set only. What an earlier run put on the host stays, and so do its
      units.
    type: bool
    default: false
  files:
    description: The files, folders and links. On the controller an entry may name a C(template) or
      C(src) instead of C(content), with C(vars) for the template.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path on the host.
        type: path
        required: true
      state:
        description: What is to be there. V(absent) also removes what Homeport did not put there; V(kept) leaves what
          is there, or is not, as it is.
        type: str
        choices: [file, directory, link, absent, kept]
        default: file
      content:
        description: Text of the file.
        type: str
      target:
        description: What a link points to.
        type: str
      owner:
        description: Owner by name.
        type: str
        default: root
      group:
        description: Group by name.
        type: str
        default: root
      mode:
        description: Permissions, in octal.
        type: str
      secret:
        description: Never show the content, not even as a difference.
        type: bool
        default: false
      on_change:
        description: What a change of this entry needs.
        type: str
        choices: [reload, restart, none]
        default: reload
      urgent:
        description: Whether the restart that a change of this entry needs is made whatever O(restart) says.
        type: bool
        default: false
      restarts:
        description: Those of O(units) that a change of this entry restarts, in place of what it does to
          O(service). One that was not running is only started.
        type: list
        elements: str
        default: []
      reloads:
        description: The same for those that a change of this entry reloads. One that cannot be reloaded is
          restarted.
        type: list
        elements: str
        default: []
      of:
        description: Whose file this is, such as the name of a site. Where O(validate) names a file of it in an error,
          all changes to its files are reverted, and the others are applied. RV(refused) has the reason.
        type: str
        default: ""
  secrets:
    description: Contents of the secret files, by path. The action plugin moves them here, out of
      O(files), so that they are logged nowhere.
    type: dict
    default: {}
  validate:
    description: Command that must succeed once the files are written.
    type: list
    elements: str
    default: []
  service:
    description: systemd unit that must be enabled and running.
    type: str
  units:
    description: Further systemd units (timers, instances of a template) that must be enabled and running.
      Units named by an earlier run and not any more are stopped and disabled, before others are started.
    type: list
    elements: str
    default: []
  masked:
    description: Units that must not run and that nothing may start, like the instance that a package brings.
      They stay masked when they are not named any more.
    type: list
    elements: str
    default: []
  reload:
    description: Command that makes the service read its files again. By default C(systemctl reload).
    type: list
    elements: str
    default: []
  restart:
    description:
      - Whether O(service) is restarted where a change needs that. With V(later) the change waits for the next start
        of the service, however that comes about, and is recorded on the host; M(homeport.django.status) reports it.
      - A service that this set has just come to is restarted in any case.
      - The action plugin takes it from C(-e restart=now), by default V(later).
    type: str
    choices: [now, later]
    default: now
  settings_of:
    description: The service reads its settings again by a reload, and knows which of them need a restart.
    type: str
    choices: [postgresql]
  daemon_reload:
    description: Have systemd read its unit files again when something changed.
    type: bool
    default: false
  probes:
    description: Commands (each a list of words) that print what is in force. When one of them prints something else
      than after the last run, somebody has changed that by hand, and the service reads its files again.
    type: list
    elements: list
    default: []
extends_documentation_fragment: [homeport.django.component]
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Serve the sites
  homeport.django.service_config:
    name: nginx
    service: nginx
    validate: [nginx, -t]
    files:
      - path: /etc/nginx/conf.d/limits.conf
        content: "limit_conn_zone $binary_remote_addr zone=clients:10m;\n"
"""

RETURN = r"""
paths:
  description: Paths that were changed.
  returned: always
  type: list
  elements: str
applied:
  description: What was done to the service (V(start), V(reload), V(restart) or an empty string).
  returned: always
  type: str
restart:
  description: The restart of the service that was made (C(when) is V(done)), is to be made (V(now), in check mode) or
    waits (V(later)), and C(why). Empty when there is none.
  returned: always
  type: dict
refused:
  description: What O(validate) says against the files of one (O(files[].of)), by its name. They are as before.
  returned: always
  type: dict
units:
  description: Which of the further units were stopped, started or restarted, or would be in check mode.
  returned: always
  type: list
  elements: str
"""

from ansible_collections.homeport.django.plugins.module_utils.host.module import HostModule
from ansible_collections.homeport.django.plugins.module_utils.host.service_config.transaction import run


def main() -> None:
    entry = {
        "path": {"type": "path", "required": True},
        "state": {
            "type": "str",
            "choices": ["file", "directory", "link", "absent", "kept"],
            "default": "file",
        },
        "content": {"type": "str", "no_log": False},
        "target": {"type": "str"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str"},
        "secret": {"type": "bool", "default": False, "no_log": False},
        "on_change": {"type": "str", "choices": ["reload", "restart", "none"], "default": "reload"},
        "urgent": {"type": "bool", "default": False},
        "restarts": {"type": "list", "elements": "str", "default": []},
        "reloads": {"type": "list", "elements": "str", "default": []},
        "of": {"type": "str", "default": ""},
    }
    commands = {"type": "list", "elements": "str", "default": []}
    module = HostModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "partial": {"type": "bool", "default": False},
            "files": {"type": "list", "elements": "dict", "options": entry, "default": []},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "validate": commands,
            "service": {"type": "str"},
            "units": commands,
            "masked": commands,
            "reload": commands,
            "restart": {"type": "str", "choices": ["now", "later"], "default": "now"},
            "settings_of": {"type": "str", "choices": ["postgresql"]},
            "daemon_reload": {"type": "bool", "default": False},
            "probes": {"type": "list", "elements": "list", "default": []},
            "given": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
