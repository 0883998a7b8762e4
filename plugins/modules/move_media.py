#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""An app's uploads between the folder of its host and a bucket."""

from __future__ import annotations

DOCUMENTATION = r"""
module: move_media
short_description: Copy the uploads of an app into a bucket, or back
description:
  - The steps of the playbook C(move_media). It copies every file of C(/srv/NAME/shared/media) that the bucket does not
    have, as the app's user, and compares all of them by size and digest. It can be repeated at any time.
  - An object with other content is not replaced, but named. Exception is one that this module has stored of the same
    file of the same host, which has changed since.
options:
  phase:
    description:
      - V(look) counts the files. V(ask) shows on the controller what is removed, and asks for the app's name.
      - V(copy) copies and compares. In check mode it compares alone.
      - V(remove) removes the files that the bucket has with the same content from the folder.
    type: str
    choices: [look, ask, copy, remove]
    required: true
  app:
    description: Name of the app.
    type: str
    required: true
  bucket:
    description: >-
      The bucket that the app is to use, as the filter P(homeport.django.untried_buckets#filter) gives it. Where it is
      empty, the objects of the bucket that a release has used go back into the folder. The action plugin moves what is
      secret to O(bucket_secrets).
    type: dict
    default: {}
  bucket_secrets:
    description: Keys of the bucket, and proxies, which may have a password. Set by the action plugin.
    type: dict
    default: {}
  overwrite:
    description: Replace objects, or files on the way back, that have other content.
    type: bool
    default: false
  finish:
    description: For V(look), fail where the live release does not use the bucket yet.
    type: bool
    default: false
  confirm:
    description: For V(ask), the answer where there is no terminal.
    type: str
    default: ""
  found:
    description: For V(ask), what V(look) found, by host.
    type: dict
    default: {}
  host:
    description: Name of the host, which objects are marked with. Set by the action plugin.
    type: str
    default: ""
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Copy the uploads
  homeport.django.move_media:
    phase: copy
    app: blog
    bucket: "{{ (homeport_apps | homeport.django.untried_buckets({'buckets': {}}, ['blog'])).blog }}"
"""

RETURN = r"""
found:
  description: The folder, the name of the bucket, C(files) and C(bytes) that are to be copied from one to the other,
    and whether the live release has its uploads there already (C(live)).
  returned: for V(look)
  type: dict
moved:
  description: C(files) and C(bytes) that were compared, those that were copied or removed (C(copied), C(copied_bytes)),
    those that replaced others (C(replaced)), and how many differ (C(differing)), with the first of their names.
  returned: for V(copy) and V(remove)
  type: dict
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exports
from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME
from ansible_collections.homeport.django.plugins.module_utils.host import claims
from ansible_collections.homeport.django.plugins.module_utils.host.audit.bucket import bucket_of
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Layout, Runner
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.uploads import look, look_there, move

# The forms of the answers of the app's user.
LOOKED = {"files": int, "bytes": int, "others": int, "other_names": [str]}
MOVED = {
    **dict.fromkeys(("files", "bytes", "copied", "copied_bytes", "replaced", "differing"), int),
    "differ": [str],
}
LONGEST = 7 * 24 * 3600  # seconds
COPY = "Copying the uploads"


class Uploads:
    """Where an app has its uploads, and where they go."""

    def __init__(self, layout: Layout, runner: Runner, declared: Mapping[str, Any], host: str) -> None:
        self.layout = layout
        self.runner = runner
        self.host = host
        self.root = f"{layout.shared}/media"
        self.path = f"django_apps.{layout.name}.media.s3"
        self.vault = f"vault_django_apps.{layout.name}"
        self.up = bool(declared)
        self.used = used_bucket(layout.current)
        self.bucket = declared or self.last_bucket()

    def last_bucket(self) -> dict[str, Any]:
        """The bucket of the live release, or of the newest one that has used any."""
        for release in (self.layout.current, *reversed(self.layout.known_releases())):
            if found := used_bucket(release):
                return found
        raise DeployError(
            f"{self.path}: is required to move uploads into a bucket, and no release on {self.host} has used one that "
            "they could come back from"
        )

    @property
    def live(self) -> bool:
        """Whether the live release has its uploads where they go."""
        if not self.up:
            return bool(self.layout.current) and not self.used
        return all(self.used.get(key) == self.bucket[key] for key in ("base", "prefix"))

    def look(self, finish: bool) -> dict[str, Any]:
        nothing = {"files": 0, "bytes": 0, "others": 0, "other_names": []}
        found: Any = nothing
        if not self.up:
            found = self.as_app(look_there, self.bucket, self.path, self.vault)
        elif os.path.isdir(self.root):
            found = self.as_app(look, self.root)
        found = claims.checked(found, LOOKED, COPY)
        if found["others"]:
            what = (
                f"{self.root} has links, sockets, unreadable files or names that S3 cannot list"
                if self.up
                else "The bucket has objects with names that no file can have"
            )
            names = ", ".join(found["other_names"])
            raise DeployError(f"{what} ({found['others']}): {names}. Replace or remove them first")
        if finish and found["files"] and not self.live:
            raise DeployError(
                f"finish: the live release of {self.layout.name} on {self.host} does not use the bucket yet; run "
                "move_media without it first"
            )
        return {"files": found["files"], "bytes": found["bytes"], "live": self.live, **self.places()}

    def places(self) -> dict[str, Any]:
        return {"folder": self.root, "bucket": self.bucket["base"].rpartition("/")[2], "up": self.up}

    def move(self, direction: str, overwrite: bool, dry: bool) -> dict[str, Any]:
        if direction == "down" and not dry:
            self.make_folder()
        elif not os.path.isdir(self.root) and self.up:
            return {**dict.fromkeys(MOVED, 0), "differ": [], **self.places()}
        options = {
            "host": self.host,
            "path": self.path,
            "vault": self.vault,
            "dry": dry,
            "overwrite": overwrite,
        }
        found = self.as_app(move, direction, self.root, self.bucket, options)
        return {**claims.checked(found, MOVED, COPY), **self.places()}

    def as_app(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """What the app's user returns. A message begins with the field, so that its place in the files is found."""
        try:
            return self.runner.as_app(COPY, work, *arguments, seconds=LONGEST)
        except DeployError as error:
            raise DeployError(str(error).removeprefix(f"{COPY}: ")) from None

    def make_folder(self) -> None:
        """As the role django_app has it: nginx reads what is written into it. Its parent is root's."""
        if not os.path.isdir(self.root):
            os.mkdir(self.root, 0o700)
            os.chown(self.root, self.layout.ids()[0], self.layout.web_gid())
            os.chmod(self.root, 0o2750)


def used_bucket(release: str | None) -> dict[str, Any]:
    return bucket_of(exports(f"{release}/config/env")) if release else {}


def differing(moved: Mapping[str, Any], phase: str, host: str) -> str:
    """Why a step fails that has left files alone."""
    names = ", ".join(moved["differ"])
    count = moved["differing"]
    if phase == "remove":
        return (
            f"{count} files of {host} stay, as the bucket does not have them with the same content: {names}. Run "
            "move_media without finish first"
        )
    kind = (
        f"objects differ from the files of {host}"
        if moved["up"]
        else f"files of {host} differ from the objects"
    )
    return (
        f"{count} {kind} of the same name, and were not replaced: {names}. Compare them; -e overwrite=true replaces "
        "them"
    )


def main() -> None:
    module = Module(
        argument_spec={
            "phase": {"type": "str", "choices": ["look", "copy", "remove"], "required": True},
            "app": {"type": "str", "required": True},
            "bucket": {"type": "dict", "default": {}},
            "bucket_secrets": {"type": "dict", "default": {}, "no_log": True},
            "overwrite": {"type": "bool", "default": False},
            "finish": {"type": "bool", "default": False},
            "host": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    name, phase = params["app"], params["phase"]
    if not re.fullmatch(APP_NAME, name):
        module.fail_json(msg=f"{name!r} cannot be the name of an app")
    layout = Layout({"name": name, "user": name, "home": f"/srv/{name}"})
    try:
        bucket = {**params["bucket"], **params["bucket_secrets"]}
        uploads = Uploads(layout, Runner(layout), bucket, params["host"])
        if phase == "look":
            module.exit_json(changed=False, found=uploads.look(params["finish"]))
        direction = "remove" if phase == "remove" else "up" if uploads.up else "down"
        moved = uploads.move(direction, params["overwrite"], module.check_mode)
    except (DeployError, OSError) as error:
        module.fail_json(
            msg=str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        )
    if moved["differing"]:
        module.fail_json(msg=differing(moved, phase, params["host"]), moved=moved)
    module.exit_json(changed=moved["copied"] > 0, moved=moved)


if __name__ == "__main__":
    main()
