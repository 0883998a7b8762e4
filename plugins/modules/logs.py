#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Reads the last lines of an app's logs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: logs
short_description: Show the last lines of an app's logs
description:
  - Shows the last lines that the processes and schedules of an app have printed, and nginx's logs of its site. It
    reads rotated files, too. It changes nothing.
  - Characters that would move the cursor or change colours are replaced.
options:
  app:
    description: Name of the app.
    type: str
    required: true
  folder:
    description: Folder of its logs.
    type: str
    required: true
  processes:
    description: Names of its processes, C(web) among them.
    type: list
    elements: str
    default: []
  schedules:
    description: Names of its schedules.
    type: list
    elements: str
    default: []
  only:
    description: The process or schedule to show, V(build) (all output of the last build), or V(nginx). Empty shows
      all but builds.
    type: str
    default: ""
  lines:
    description: How many lines of each log to show.
    type: int
    default: 100
  since:
    description: Show only lines since then - so long ago (V(30m), V(2h), V(3d)), or a date with or without a time, in
      the host's own. A line without an offset is in the project's C(TIME_ZONE). Lines that do not say when they were
      written belong to the line before them.
    type: str
    default: ""
  follow:
    description:
      - Then show what is added to these logs, until the run is interrupted. Without a terminal, only the command that
        does so.
    type: bool
    default: false
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Show what the web process said in the last hour
  homeport.django.logs:
    app: blog
    folder: /var/log/homeport/blog
    processes: [web]
    only: web
    since: 1h
"""

RETURN = r"""
logs:
  description: The logs that were read; the action plugin shows their lines and returns how many there were.
  returned: always
  type: list
  elements: dict
"""

import os
import time

from ansible_collections.homeport.django.plugins.module_utils.host.layout import Layout
from ansible_collections.homeport.django.plugins.module_utils.host.log_files import (
    last_lines,
    logs_of,
    newer,
    since_when,
)
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "app": {"type": "str", "required": True},
            "folder": {"type": "str", "required": True},
            "processes": {"type": "list", "elements": "str", "default": []},
            "schedules": {"type": "list", "elements": "str", "default": []},
            "only": {"type": "str", "default": ""},
            "lines": {"type": "int", "default": 100},
            "since": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    if given["lines"] < 1:
        module.fail_json(msg="lines: must be a whole number from 1 up")
    since = None
    if given["since"]:
        try:
            since = since_when(given["since"], time.time())
        except ValueError as error:
            module.fail_json(msg=f"since: {error}")
    layout = Layout({"name": given["app"], "user": given["app"], "home": f"/srv/{given['app']}"})
    zone = str(layout.record(layout.current).get("time_zone", ""))
    found = []
    for log in logs_of(given["app"], given["folder"], given["processes"], given["schedules"]):
        if log.source != given["only"] and (given["only"] or log.source == "build"):
            continue
        lines = last_lines(log.path, given["lines"])
        if since is not None:
            own = "" if log.source == "nginx" else zone
            lines = newer(lines, since, os.stat(log.path).st_mtime, own)
        found.append({"title": log.title, "path": log.path, "lines": lines})
    module.exit_json(changed=False, logs=found)


if __name__ == "__main__":
    main()
