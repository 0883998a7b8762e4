#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether a host can fetch the code of apps, before anything is changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: reachability
short_description: Look whether code and names can be reached, before anything is changed
description:
  - Asks for the code of apps that the host fetches itself (git, an archive's address), with the declared key or
    token. It does so as the app's user where there is one. It changes nothing, and works in check mode.
  - Opens a connection to services that somebody else runs, shakes hands where their address asks for TLS, and logs
    in. Asks a PostgreSQL for its version, and for what the role of the app may do there.
  - Stores, reads and removes an object in buckets, with the app's keys, and asks for it without a key. Not in check
    mode.
  - The action plugin of the same name fails with what cannot be fetched, with field, file and line. It looks in the
    DNS, too, and warns of domains that do not lead to the host.
options:
  apps:
    description: The apps whose code is asked for, as the filter P(homeport.django.release_specs#filter) gives them.
    type: list
    elements: dict
    default: []
  secrets:
    description: What leads to private code, as the filter P(homeport.django.release_secrets#filter) gives it.
    type: dict
    default: {}
  services:
    description: >-
      Services that somebody else runs, by the place in the definitions. The action plugin takes them as the filter
      P(homeport.django.unproven#filter) gives them, reads the file of C(ca), and moves what is secret to
      O(service_secrets).
    type: dict
    default: {}
  service_secrets:
    description: Addresses of the services, which may have a password, by the place in the definitions.
    type: dict
    default: {}
  buckets:
    description: >-
      Buckets for uploads, by app. The action plugin takes them as the filter
      P(homeport.django.untried_buckets#filter) gives them, and moves what is secret to O(bucket_secrets).
    type: dict
    default: {}
  bucket_secrets:
    description: Keys of the buckets, and proxies, which may have a password, by app.
    type: dict
    default: {}
  base:
    description: Folder on the controller that C(ca) is relative to. Read by the action plugin.
    type: str
    default: ""
  names:
    description: Domains that are looked for in the DNS, by app, each with whether an authority will ask for it. Read by
      the action plugin.
    type: dict
    default: {}
  addresses:
    description: Under which names or addresses the app servers are known. Read by the action plugin.
    type: list
    elements: str
    default: []
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Look whether the code can be fetched
  homeport.django.reachability:
    apps: "{{ homeport_apps | homeport.django.release_specs }}"
    secrets: "{{ homeport_apps | homeport.django.release_secrets }}"
"""

RETURN = r"""
problems:
  description: What keeps the host from fetching the code of an app, by app. Begins with the field.
  returned: always
  type: dict
unreached:
  description: What keeps the host from a service, as lists by the place in the definitions.
  returned: always
  type: dict
unusable:
  description: What keeps apps from their buckets, by app. Begins with the field.
  returned: always
  type: dict
addresses:
  description: The host's own addresses.
  returned: always
  type: list
  elements: str
"""

import os
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.homeport.django.plugins.module_utils.host.bought import service_problems
from ansible_collections.homeport.django.plugins.module_utils.host.bucket import bucket_problem
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.release.source_look import source_problem


def main() -> None:
    module = Module(
        argument_spec={
            "apps": {"type": "list", "elements": "dict", "default": []},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "services": {"type": "dict", "default": {}},
            "service_secrets": {"type": "dict", "default": {}, "no_log": True},
            "buckets": {"type": "dict", "default": {}},
            "bucket_secrets": {"type": "dict", "default": {}, "no_log": True},
            "base": {"type": "str", "default": ""},
            "names": {"type": "dict", "default": {}},
            "addresses": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    apps, secrets = module.params["apps"], module.params["secrets"]
    folders = {app["name"]: os.path.join(module.tmpdir, f"source-{app['name']}") for app in apps}
    for folder in folders.values():
        os.mkdir(folder, 0o700)
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = {
            app["name"]: pool.submit(source_problem, app, secrets.get(app["name"], {}), folders[app["name"]])
            for app in apps
        }
        asked = {
            field: pool.submit(service_problems, {**service, **module.params["service_secrets"][field]})
            for field, service in module.params["services"].items()
        }
        tried = {
            name: pool.submit(
                bucket_problem,
                {**bucket, **module.params["bucket_secrets"][name]},
                f"django_apps.{name}.media.s3",
                f"vault_django_apps.{name}",
            )
            for name, bucket in ({} if module.check_mode else module.params["buckets"]).items()
        }
        problems = {name: answer.result() for name, answer in found.items()}
        unreached = {field: answer.result() for field, answer in asked.items()}
        unusable = {name: answer.result() for name, answer in tried.items()}
    own = module.run_command(["hostname", "-I"])[1].split()
    module.exit_json(
        changed=False,
        problems={name: problem for name, problem in problems.items() if problem},
        unreached={field: problem for field, problem in unreached.items() if problem},
        unusable={name: problem for name, problem in unusable.items() if problem},
        addresses=own,
    )


if __name__ == "__main__":
    main()
