#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""All files of one service, and the service itself, as one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_config
short_description: Bring all files of a service, and the service itself, to the declared state
description:
  - Compares a whole set of files, folders and links with the host in one task, writes what differs,
    removes what an earlier run put there and is no longer declared, has the result checked by the
    service's own parser, and reloads or restarts the service when that is needed.
  - It is one transaction. When O(validate) or the reload refuses the result, every file is put back as
    it was. When the service does not start, so are those that waited for that.
  - What still has to be applied is remembered on the host, so that a run that was cancelled between
    writing and reloading is finished by the next one.
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
      - Whether O(service) is restarted where a change needs that. With V(later) the change waits for the next start of
        the service, however that comes about, and is recorded on the host; M(homeport.django.status) tells of it.
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
units:
  description: Which of the further units were stopped, started or restarted, or would be in check mode.
  returned: always
  type: list
  elements: str
"""

import contextlib
import fcntl
import grp
import json
import os
import pwd
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homeport.django.plugins.module_utils.host import restarts
from ansible_collections.homeport.django.plugins.module_utils.host.given import (
    Given,
    answers,
    is_masked,
    read_state,
    standing,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.module import HostModule
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.restarts import waiting_elsewhere

STATE_FOLDER = "/var/lib/homeport"
LOCK_TIMEOUT = 600  # seconds
DEFAULT_MODES = {"file": 0o644, "directory": 0o755}
URGENCY = {"": 0, "none": 0, "reload": 1, "restart": 2}


class Entry:
    """One declared path, and the difference between it and the host."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.path = spec["path"].rstrip("/") or "/"
        self.state = spec["state"]
        self.data = (spec["content"] or "").encode()
        self.target = spec["target"]
        self.mode: int = int(spec["mode"], 8) if spec["mode"] else DEFAULT_MODES.get(self.state, 0)
        self.owner, self.group = spec["owner"], spec["group"]
        self.secret = spec["secret"]
        self.restarts: list[str] = spec["restarts"]
        self.reloads: list[str] = spec["reloads"]
        self.on_change = "none" if self.restarts or self.reloads else spec["on_change"]
        self.urgent: bool = spec["urgent"]

    def ids(self) -> tuple[int, int]:
        return pwd.getpwnam(self.owner).pw_uid, grp.getgrnam(self.group).gr_gid

    def differs(self) -> bool:
        if self.state == "kept":
            return False
        try:
            found = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return self.state != "absent"
        if self.state == "absent":
            return True
        if self.state == "link":
            return not stat.S_ISLNK(found.st_mode) or os.readlink(self.path) != self.target
        kind = stat.S_ISDIR if self.state == "directory" else stat.S_ISREG
        if not kind(found.st_mode) or stat.S_IMODE(found.st_mode) != self.mode:
            return True
        try:
            if (found.st_uid, found.st_gid) != self.ids():
                return True
        except KeyError:  # check mode before the account exists
            return True
        return self.state == "file" and (found.st_size != len(self.data) or read(self.path) != self.data)

    def apply(self) -> None:
        if self.state == "absent":
            remove(self.path)
            return
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        if self.state == "directory":
            if not os.path.isdir(self.path) or os.path.islink(self.path):
                remove(self.path)
                os.mkdir(self.path, 0o700)
            os.chown(self.path, *self.ids())
            os.chmod(self.path, self.mode)
            return
        if os.path.isdir(self.path) and not os.path.islink(self.path):
            raise IsADirectoryError(f"{self.path} is a folder; move it away")
        owner, group = self.ids()
        beside = tempfile.mktemp(prefix=".homeport-", dir=os.path.dirname(self.path))
        if self.state == "link":
            os.symlink(self.target, beside)
        else:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(self.data)
                os.fchown(stream.fileno(), owner, group)
                os.fchmod(stream.fileno(), self.mode)
                stream.flush()
                os.fsync(stream.fileno())
        os.rename(beside, self.path)

    def difference(self) -> dict[str, str]:
        """Before and after, for --diff."""
        header = self.path
        if self.state != "file" or self.secret:
            return {"header": header, "before": "", "after": f"{'(secret)' if self.secret else self.state}\n"}
        before = read(self.path).decode(errors="replace") if os.path.isfile(self.path) else ""
        return {
            "before_header": header,
            "after_header": header,
            "before": before,
            "after": self.data.decode(),
        }


def read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def remove(path: str) -> None:
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        os.rmdir(path)  # an undeclared folder goes only when nothing else is left in it


def same_access(source: str, target: str) -> None:
    found = os.stat(source)
    os.chown(target, found.st_uid, found.st_gid)
    os.chmod(target, stat.S_IMODE(found.st_mode))


class Backup:
    """What stood at some paths, in a folder of its own; each path is saved once."""

    def __init__(self, folder: str, saved: Iterable[tuple[str, str | None]] = ()) -> None:
        self.folder = folder
        self.saved = list(saved)

    @classmethod
    def of_this_run(cls, folder: str, name: str) -> Backup:
        """So that a refused set leaves nothing behind."""
        prefix = f"undo.{name}."
        for left in os.listdir(folder):  # by a run that was cut off
            if left.startswith(prefix):
                shutil.rmtree(os.path.join(folder, left), ignore_errors=True)
        return cls(tempfile.mkdtemp(prefix=prefix, dir=folder))

    def save(self, path: str) -> None:
        if path in dict(self.saved):
            return
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        kept = os.path.join(self.folder, str(len(self.saved)))
        remove(kept)  # of a run that was cut off
        if os.path.islink(path) or os.path.isfile(path):
            shutil.copy2(path, kept, follow_symlinks=False)
            if not os.path.islink(path):
                found = os.stat(path)
                os.chown(kept, found.st_uid, found.st_gid)
            self.saved.append((path, kept))
        elif os.path.isdir(path):
            os.mkdir(kept)
            same_access(path, kept)
            self.saved.append((path, kept))
        else:
            self.saved.append((path, None))

    def restore(self) -> None:
        for path, kept in reversed(self.saved):
            if kept is not None and os.path.isdir(kept) and not os.path.islink(kept):
                os.makedirs(path, exist_ok=True)
                same_access(kept, path)
            elif kept is not None:
                remove(path) if os.path.islink(path) or os.path.isfile(path) else None
                shutil.copy2(kept, path, follow_symlinks=False)
                if not os.path.islink(kept):
                    found = os.stat(kept)
                    os.chown(path, found.st_uid, found.st_gid)
            elif os.path.lexists(path):
                with contextlib.suppress(OSError):  # a new folder in which something has come to be
                    remove(path)

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Record:
    """What this set put on the host, and what is still to be applied."""

    def __init__(self, name: str) -> None:
        self.path = os.path.join(STATE_FOLDER, f"{name}.json")
        try:
            with open(self.path, encoding="utf-8") as stream:
                found = json.load(stream)
        except (FileNotFoundError, ValueError):
            found = {}
        self.paths: list[str] = found.get("paths", [])
        self.units: list[str] = found.get("units", [])
        self.pending: str = found.get("pending", "")
        self.restarts: list[str] = found.get("restarts", [])
        self.reloads: list[str] = found.get("reloads", [])
        # the restart that waits: of which unit, why, and which run of the unit does not know of it yet
        self.held: dict[str, Any] = found.get("held", {})
        # what the service has started with, of what waits, and where it is kept
        self.previous: list[tuple[str, str | None]] = found.get("previous", [])
        self.known = bool(found)

    def write(self) -> None:
        os.makedirs(STATE_FOLDER, mode=0o700, exist_ok=True)
        found = {
            "paths": self.paths,
            "units": self.units,
            "pending": self.pending,
            "restarts": self.restarts,
            "reloads": self.reloads,
            "held": self.held,
            "previous": self.previous,
        }
        text = json.dumps(found, indent=1) + "\n"
        beside = f"{self.path}.new"
        with open(beside, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(beside, self.path)


class Services:
    """The few questions and orders that systemd gets."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module

    def call(self, *words: str) -> tuple[int, str, str]:
        found: tuple[int, str, str] = self.module.run_command(["systemctl", *words], check_rc=False)
        return found

    def states(self, units: list[str]) -> dict[str, dict[str, str]]:
        """What systemd knows of some units, asked for all at once."""
        if not units:
            return {}
        code, out, _err = self.call("show", "--property=ActiveState,UnitFileState", *units)
        blocks = out.split("\n\n") if code == 0 else []
        found = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
        return dict(zip(units, found))

    def state(self, unit: str) -> tuple[bool, bool]:
        """Whether systemd will start a unit at boot, and whether it runs."""
        return read_state(unit, self.states([unit]).get(unit, {}))

    def in_order(self, unit: str) -> bool:
        return all(self.state(unit))

    def out_of_order(self, units: list[str]) -> list[str]:
        """Those that do not run, or will not at the next boot."""
        found = self.states(units)
        return [unit for unit in units if not all(read_state(unit, found.get(unit, {})))]

    def unmasked(self, units: list[str]) -> list[str]:
        """Those that run, or that something could start."""
        found = self.states(units)
        return [unit for unit in units if not is_masked(found.get(unit, {}))]


def removals(record: Record, entries: list[Entry]) -> list[Entry]:
    """Entries that take away what an earlier run put there, files before their folders."""
    declared = {entry.path for entry in entries}
    blank = {"state": "absent", "content": None, "target": None, "mode": None}
    result: list[Entry] = []
    going: set[str] = set()
    for path in sorted((p for p in record.paths if p not in declared), key=len, reverse=True):
        names = os.listdir(path) if os.path.isdir(path) and not os.path.islink(path) else []
        if not going.issuperset(os.path.join(path, name) for name in names):
            continue  # something else is in it
        going.add(path)
        spec: dict[str, Any] = {
            "path": path,
            "owner": "root",
            "group": "root",
            "secret": True,
            "on_change": "reload",
            "urgent": False,
            "restarts": [],
            "reloads": [],
            **blank,
        }
        result.append(Entry(spec))
    return [entry for entry in result if entry.differs()]


def apply_to_service(
    module: AnsibleModule, services: Services, needed: str, changed: bool
) -> tuple[str, str]:
    """Reloads, restarts or starts what has to be; returns what was done and what went wrong."""
    params = module.params
    if params["daemon_reload"] and changed:
        code, out, err = services.call("daemon-reload")
        if code:
            return "", f"systemctl daemon-reload failed: {out}{err}"
    done = ""
    service = params["service"]
    if service:
        enabled, active = services.state(service)
        if not enabled or not active:
            code, out, err = services.call(*(["start"] if enabled else ["enable", "--now"]), service)
            if code:
                return "", f"{service} does not start: {out}{err}\n{journal(module, service)}"
            done = "start"
        if not active:  # it has just read its files
            return done, ""
    if needed == "restart" and service:
        if params["settings_of"] == "postgresql":
            with contextlib.suppress(DeployError):
                Cluster().ask("CHECKPOINT")  # what it writes now, it does not write while it is down
        code, out, err = services.call("restart", service)
        done = "restart"
    elif needed and (params["reload"] or service):
        code, out, err = module.run_command(params["reload"] or ["systemctl", "reload", service])
        done = "reload"
    else:
        return done, ""
    if code:
        return done, f"{done} of {service or params['name']} failed: {out}{err}\n{journal(module, service)}"
    return done, ""


def journal(module: AnsibleModule, service: str) -> str:
    if not service:
        return ""
    words = ["journalctl", "--unit", service, "--lines", "15", "--no-pager", "--output", "cat"]
    return str(module.run_command(words)[1])


def apply_units(
    module: AnsibleModule,
    before: list[str],
    units: list[str],
    restarts: list[str],
    reloads: list[str],
    done: list[str],
) -> str:
    """Stops the units of before that are not declared, then starts, restarts or reloads others; what went wrong."""
    services = Services(module)
    for unit in before:
        if unit not in units:
            done.append(unit)
            services.call("disable", "--now", unit)
            # a timer whose file goes while it waits has failed in systemd's eyes, and the host with it; what a timer
            # starts is known to systemd for as long as its last run counts as failed
            started = [f"{unit[: -len('.timer')]}.service"] if unit.endswith(".timer") else []
            for gone in (unit, *started):
                services.call("reset-failed", gone)
    for unit in units:
        found = services.states([unit]).get(unit, {})
        enabled, active = read_state(unit, found)
        commands = []
        if unit in reloads and active and enabled and unit not in restarts:
            done.append(unit)
            if services.call("reload", unit)[0] == 0:
                continue
            commands = [["restart", unit]]
        elif unit in restarts and found.get("ActiveState") not in ("inactive", "failed", None):
            commands = [*([] if enabled else [["enable", unit]]), ["restart", unit]]
        elif not (enabled and active):
            commands = [["enable", "--now", unit]]
        if commands and unit not in done:
            done.append(unit)
        for command in commands:
            code, out, err = services.call(*command)
            if code:
                return f"{unit} does not start: {out}{err}\n{journal(module, unit)}"
    return ""


def apply_masks(services: Services, masked: list[str]) -> str:
    for unit in services.unmasked(masked):
        code, out, err = services.call("mask", "--now", unit)
        if code:
            return f"{unit} cannot be masked: {out}{err}"
        # one that was failing when it was stopped would leave the host degraded
        services.call("reset-failed", unit)
    return ""


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


@contextlib.contextmanager
def locked(module: AnsibleModule) -> Iterator[None]:
    """One transaction on a host at a time, whichever controller it comes from."""
    os.makedirs(STATE_FOLDER, mode=0o700, exist_ok=True)
    descriptor = os.open(STATE_FOLDER, os.O_RDONLY | os.O_DIRECTORY)
    try:
        until = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    module.fail_json(
                        msg="Another run has been changing the configuration of this host for "
                        f"{LOCK_TIMEOUT} s. Wait until it has ended, and run this again. Nothing of "
                        f"{module.params['name']} was changed."
                    )
                time.sleep(0.2)
        yield
    finally:
        os.close(descriptor)


def run(module: AnsibleModule) -> None:
    with contextlib.nullcontext() if module.check_mode else locked(module):
        bring(module)


def bring(module: AnsibleModule) -> None:
    params = module.params
    record = Record(params["name"])
    services = Services(module)
    secrets = params["secrets"]
    entries = [
        Entry({**spec, "content": secrets.get(spec["path"], spec["content"])}) for spec in params["files"]
    ]
    changes = [entry for entry in entries if entry.differs()]
    units = params["units"]
    if params["partial"]:
        units = [*record.units, *(unit for unit in units if unit not in record.units)]
    else:
        changes += removals(record, entries)
    entry_restarts = [unit for entry in changes for unit in entry.restarts]
    restarts = [unit for unit in units if unit in (*record.restarts, *entry_restarts)]
    entry_reloads = [unit for entry in changes for unit in entry.reloads]
    reloads = [unit for unit in units if unit in (*record.reloads, *entry_reloads)]
    going = [unit for unit in record.units if unit not in units]
    unmasked = services.unmasked(params["masked"])
    down = services.out_of_order(units)
    touched = [*going, *unmasked, *(unit for unit in units if unit in (*down, *restarts, *reloads))]
    stopped = bool(params["service"]) and not services.in_order(params["service"])
    given = Given.told(params["given"])
    by_hand = "reload" if in_force(module, given) else ""
    try:
        restart = Restart(params, record, changes, stopped)
    except DeployError as error:
        module.fail_json(msg=f"{error}\nNothing of {params['name']} was changed.")
    words = [entry.on_change for entry in changes if entry.on_change != "restart"]
    needed = max([record.pending, by_hand, restart.needed, *words], key=lambda word: URGENCY[word])
    needed = "" if needed == "none" else needed
    result = {
        "changed": bool(changes or needed or touched or stopped),
        "paths": [entry.path for entry in changes],
        "applied": "",
        "restart": restart.told(module.check_mode),
        "units": touched,
    }
    if module._diff:
        result["diff"] = [entry.difference() for entry in changes]
    kept = set(record.paths) - {entry.path for entry in entries} if params["partial"] else set()
    kept |= {entry.path for entry in entries if entry.state == "kept"} & set(record.paths)
    recorded = sorted({*kept, *(entry.path for entry in entries if entry.state not in ("absent", "kept"))})
    same_record = (recorded, units, restart.held) == (sorted(record.paths), record.units, record.held)
    if module.check_mode:
        module.exit_json(**result)
    if same_record and not result["changed"]:
        given.keep(what_is_there(module, entries))
        module.exit_json(**result)

    given.forget()
    if params["partial"]:  # the component is no more as its record says
        Given(f"service_config.{params['name']}", "").forget()
    earlier = Record(params["name"])
    record.paths = sorted({*recorded, *(path for path in record.paths if os.path.lexists(path))})
    record.units = [*going, *units]
    record.pending, record.restarts, record.reloads = needed, restarts, reloads
    held = Backup(os.path.join(STATE_FOLDER, f"held.{params['name']}"), restart.previous)
    for entry in restart.waits:
        held.save(entry.path)
    record.held, record.previous = restart.held, held.saved
    record.write()
    backup = Backup.of_this_run(STATE_FOLDER, params["name"])
    done: list[str] = []
    again_with: list[tuple[str, str | None]] = []
    others: list[str] = []
    try:
        for entry in changes:
            backup.save(entry.path)
            entry.apply()
        problem = checked(module)
        if not problem:
            result["applied"], problem = apply_to_service(module, services, needed, bool(changes))
            if problem and (stopped or needed == "restart"):
                again_with = restart.previous
                others = waiting_elsewhere(params["service"] or "", params["name"], STATE_FOLDER)
        if not problem:
            problem = apply_masks(services, unmasked)
        if not problem:
            problem = apply_units(module, earlier.units, units, restarts, reloads, done)
    except (OSError, DeployError) as error:
        problem = f"{type(error).__name__}: {error}"
    except KeyError as error:
        problem = f"A user or a group does not exist: {error.args[0]}"
    if problem:
        backup.restore()
        record.units, record.pending = earlier.units, earlier.pending
        record.restarts, record.reloads = earlier.restarts, earlier.reloads
        record.held, record.previous = earlier.held, restart.previous
        if again_with:
            with contextlib.suppress(OSError):  # a folder that is not there any more
                Backup(held.folder, again_with).restore()
            record.held, record.previous = {}, []
        for name in others:
            other = Record(name)
            with contextlib.suppress(OSError):
                Backup(os.path.join(STATE_FOLDER, f"held.{name}"), other.previous).restore()
            other.held, other.previous = {}, []
            other.write()
        # the files are as before: so must the service and the units be
        # a command that came with this set has gone with it
        gone = [path for path in params["reload"][:1] if path.startswith("/") and not os.path.exists(path)]
        if (result["applied"] or again_with or others or (done and params["daemon_reload"])) and not gone:
            still = apply_to_service(module, services, needed if result["applied"] else "", True)[1]
            record.pending = (needed if still else "") if result["applied"] else record.pending
        again = [unit for unit in earlier.units if unit in done and unit not in reloads]
        reloads = [unit for unit in earlier.units if unit in done and unit in reloads]
        if done and apply_units(module, units, earlier.units, again, reloads, []):
            record.restarts, record.reloads = again, reloads
        backup.discard()
        record.write()
        if not record.previous:
            held.discard()
        result["restart"] = {}  # of a change that is not there any more
        also = ", also what waited for the restart" if again_with or others else ""
        msg = f"{problem}\nEvery file of {params['name']} was put back as it was{also}."
        module.fail_json(msg=msg, **result)
    backup.discard()
    if not record.held:
        held.discard()
        record.previous = []
    record.paths, record.units, record.pending = recorded, units, ""
    record.restarts, record.reloads = [], []
    record.write()
    given.keep(what_is_there(module, entries))
    module.exit_json(**result)


class Restart:
    """Whether the service of a set is restarted, and why; what waits for that."""

    def __init__(self, params: dict[str, Any], record: Record, changes: list[Entry], stopped: bool) -> None:
        self.unit: str = params["service"] or ""
        self.first = not record.known
        before: dict[str, Any] = record.held
        if not before or before["unit"] != self.unit or before["start"] != restarts.started(self.unit):
            before = {}
        at_start = [entry for entry in changes if entry.on_change == "restart"]
        why = [os.path.basename(entry.path) for entry in at_start]
        urgent = any(entry.urgent for entry in at_start)
        held: list[str] = before.get("why", [])
        if params["settings_of"] == "postgresql" and not stopped:
            folder = restarts.cluster_folder(self.unit)
            read = [
                entry
                for entry in changes
                if entry.path.startswith(folder)
                and entry.path.endswith(".conf")
                and entry.on_change == "reload"
            ]
            found = restarts.at_start((restarts.text_of(entry.path), entry.data.decode()) for entry in read)
            at_start += read if found else []
            urgent = urgent or not restarts.URGENT.isdisjoint(found)
            why += found
            if held and not record.pending:  # else it has not read its files since
                waits = restarts.pending()
                held = [name for name in held if name in waits or "." in name]
        self.why = sorted({*why, *held})
        self.now = urgent or self.first or stopped or not self.unit or params["restart"] == "now"
        self.needed = "restart" if self.why and self.now else ""
        self.stopped = stopped
        self.held: dict[str, Any] = {} if self.unit else record.held
        # a service that was started since has started with what waited
        ours = not record.held or record.held["unit"] == self.unit
        known = ours and (before or stopped or record.pending or not self.unit)
        self.previous = record.previous if known else []
        self.waits: list[Entry] = []
        if self.why and not self.now:
            self.waits = at_start
            self.held = {"unit": self.unit, "why": self.why, "start": restarts.started(self.unit)}

    def told(self, check_mode: bool) -> dict[str, Any]:
        """What the operator is to know; a service that is only being set up interrupts nobody."""
        if not self.why or not self.unit or self.stopped or (self.first and not check_mode):
            return {}
        when = "later" if self.held else "now" if check_mode else "done"
        return {"unit": self.unit, "why": self.why, "when": when}


def probed(module: AnsibleModule) -> dict[str, Any]:
    return answers([json.dumps(words) for words in module.params["probes"]])


def in_force(module: AnsibleModule, given: Given) -> bool:
    """Whether what is in force was changed by hand since the last run."""
    before = given.found().get("answers", {})
    return any(before.get(command, now) != now for command, now in probed(module).items())


def what_is_there(module: AnsibleModule, entries: list[Entry]) -> dict[str, Any]:
    """What the next run has to find so that it has nothing to do."""
    params = module.params
    wanted = [*([params["service"]] if params["service"] else []), *params["units"]]
    return {
        "paths": {entry.path: standing(entry.path) for entry in entries},
        "units": {unit: [True, True] for unit in wanted},
        "masks": dict.fromkeys(params["masked"], True),
        "answers": probed(module),
    }


def checked(module: AnsibleModule) -> str:
    """Empty, or what the service's own parser says against the files."""
    command = module.params["validate"]
    if not command:
        return ""
    code, out, err = module.run_command(command)
    return "" if code == 0 else f"{' '.join(command)} refuses the configuration: {out}{err}"


if __name__ == "__main__":
    main()
