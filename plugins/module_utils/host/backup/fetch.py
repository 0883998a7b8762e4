# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A backup on its way back: chosen, fetched into a folder of root's, compared with what it says of itself."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.digests import file_digest
from ansible_collections.homeport.django.plugins.module_utils.host import claims
from ansible_collections.homeport.django.plugins.module_utils.host.backup.store import Store
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import (
    KINDS,
    MANIFEST,
    WITH_FURTHER,
    App,
    file_of,
    is_kept,
    parts_of,
    room,
    staging_of,
    title,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, remove

# The form of what a manifest says of a database (claims.checked), and of all of it, next to the dumps and the owner.
DATABASE = {"vendor": str, "migrations": [str], "?extensions": [str], "rows": {str: int}, "dump": dict}
FORM = {
    **dict.fromkeys(("app", "home", "release", "commit"), str),
    **DATABASE,
    "paths": [str],
    "format": int,
    "ids": dict,
    "?databases": {str: dict},
}
ALIAS = r"(?!default$)[a-z][a-z0-9_]*"
BEFORE = "before-restore"  # what is backed up because it is about to be replaced
TIME = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?Z?"


def chosen(snapshots: list[dict[str, Any]], app: str, wanted: str) -> dict[str, Any]:
    """The snapshot that ``wanted`` means: the latest, the last one before a time (UTC), or one by its id.

    What a restore has replaced is only found by its id: a restore that is run again must not bring it back.
    """
    named = [snapshot for snapshot in snapshots if re.fullmatch("[0-9a-f]{8,64}", wanted)
             and str(snapshot["id"]).startswith(wanted)]  # fmt: skip
    if len(named) == 1:
        return named[0]
    # hosts have their own offsets: what they wrote down is in another order than it was made
    snapshots = sorted(snapshots, key=taken_at)
    snapshots = [snapshot for snapshot in snapshots if BEFORE not in (snapshot.get("tags") or [])]
    if not snapshots:
        raise DeployError(f"The repository has no backup of {app}")
    if wanted in ("", "latest"):
        return snapshots[-1]
    if re.fullmatch(TIME, wanted):
        try:
            latest = datetime.fromisoformat(wanted.rstrip("Z")).replace(tzinfo=timezone.utc)
        except ValueError as error:
            raise DeployError(f"{wanted} is an invalid timestamp: {error}") from error
        before = [snapshot for snapshot in snapshots if taken_at(snapshot) <= latest]
        if not before:
            raise DeployError(
                f"There is no backup of {app} from before {wanted}; the first is of {snapshots[0]['time']}"
            )
        return before[-1]
    there = "\n".join(f"  {line_of(snapshot)}" for snapshot in snapshots[-20:])
    raise DeployError(
        f"{wanted!r} is neither a backup of {app} nor a valid timestamp (2026-01-31 or 2026-01-31T14:30, UTC); "
        f"there are\n{there}"
    )


def taken_at(snapshot: Mapping[str, Any]) -> datetime:
    """restic writes nanoseconds and the offset of the host that made it."""
    text = re.sub(r"(\.\d{1,6})\d*", r"\1", str(snapshot["time"])).replace("Z", "+00:00")
    found = re.fullmatch(r"(.*?)(?:\.(\d+))?([+-]\d\d:\d\d)", text)
    if not found:
        raise DeployError(f"restic printed an invalid timestamp: {snapshot['time']}")
    return datetime.fromisoformat(f"{found[1]}{found[3]}")


def line_of(snapshot: Mapping[str, Any]) -> str:
    kinds = [
        tag for tag in snapshot.get("tags") or [] if tag not in ("homeport",) and not tag.startswith("app:")
    ]
    time = taken_at(snapshot).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{str(snapshot['id'])[:8]}  {time}  {', '.join(kinds)}"


def manifest_of(store: Store, app: str, snapshot: str) -> dict[str, Any]:
    """What a backup says of itself, in its form, of this app, and with no path but those that its backups have."""
    try:
        found = json.loads(store.read(snapshot, f"{staging_of(app)}/manifest.json"))
    except (ValueError, RecursionError):
        found = None
    what = f"The manifest of the backup {snapshot[:8]}"
    manifest = claims.checked(found, FORM, what)
    further = manifest.get("databases", {})
    if manifest["format"] != (WITH_FURTHER if further else MANIFEST) or manifest["app"] != app:
        raise DeployError(
            f"The manifest of the backup {snapshot[:8]} has a format that this version of Homeport does not know"
        )
    for alias, part in further.items():
        further[alias] = claims.checked(part, DATABASE, f"{what}: databases.{alias}")
    for part in parts_of(manifest).values():
        form = {"file": str, "bytes": int, "sha256": str}
        part["dump"] = claims.checked(part["dump"], form, f"{what}: dump")
    manifest["ids"] = claims.checked(found["ids"], {"uid": int, "gid": int, "web_gid": int}, f"{what}: ids")
    foreign = [path for path in manifest["paths"] if not is_kept(path, app)]
    odd = [alias for alias in further if not re.fullmatch(ALIAS, alias)]
    odd += [
        alias
        for alias, part in parts_of(manifest).items()
        if part["vendor"] not in KINDS or part["dump"]["file"] != file_of(alias, part["vendor"])
    ]
    if manifest["home"] != f"/srv/{app}" or foreign or odd:
        raise DeployError(f"{what} has folders or files that do not belong to {app}: it is not restored")
    return manifest


class Fetched:
    """What was fetched of a backup, in a folder that root alone can enter."""

    def __init__(
        self, store: Store, source: str, snapshot: str, folder: str, everything: bool = False
    ) -> None:
        self.folder = folder
        self.source = source
        self.manifest = manifest_of(store, source, snapshot)
        home = self.manifest["home"]
        paths = (
            self.manifest["paths"] if everything else [staging_of(source), f"{home}/shared", f"{home}/home"]
        )
        listed = store.listed(snapshot)
        self.wanted = store.files(listed, paths)
        owner = next((entry for entry in listed if entry.get("path") == f"{home}/home"), {})
        # that folder lies in one of root's: the app could not have given it to anybody
        ids = self.manifest["ids"]
        if (owner.get("uid"), owner.get("gid")) != (ids["uid"], ids["gid"]) or 0 in (ids["uid"], ids["gid"]):
            raise DeployError(
                f"The manifest of the backup {snapshot[:8]} names another owner than its files have: it is not restored"
            )
        parent = os.path.dirname(folder)
        os.makedirs(parent, mode=0o700, exist_ok=True)
        room(parent, sum(self.wanted.values()))
        if os.path.lexists(folder):
            remove(folder)
        os.mkdir(folder, 0o700)
        store.restore(snapshot, paths, folder)

    @property
    def dumps(self) -> dict[str, str]:
        """The files of the databases by their aliases."""
        folder = f"{self.folder}{staging_of(self.source)}"
        return {alias: f"{folder}/{part['dump']['file']}" for alias, part in parts_of(self.manifest).items()}

    def part(self, name: str) -> str:
        """Where a folder of the app's home has come to be."""
        return f"{self.folder}{self.manifest['home']}/{name}"

    def verify(self) -> dict[str, int]:
        """Every file is there with its size, and the dump with its digest."""
        found = sizes(self.folder)
        missing = sorted(path for path in self.wanted if found.get(path) != self.wanted[path])
        more = sorted(path for path in found if path not in self.wanted)
        if missing or more:
            what = f"{len(missing)} files are missing or of another size, {len(more)} are too many"
            raise DeployError(
                f"The restored files differ from the stored ones: {what}; for example {(missing + more)[0]}"
            )
        for alias, part in parts_of(self.manifest).items():
            if file_digest(self.dumps[alias]) != part["dump"]["sha256"]:
                raise DeployError(f"The dump of {title(alias)} does not match the digest in the manifest")
        return {"files": len(found), "bytes": sum(found.values())}

    def hand_over(self, app: App) -> None:
        """Gives the app what was its own, wherever its user has another number; anything else stays root's.

        Whoever can write into a folder while it is read could have led the reader astray, to a file that is not the
        app's: the reader (restic) notes whose each file is, and nothing but the app's own comes back to it.
        """
        old = self.manifest["ids"]
        uid, gid = app.layout.ids()
        groups = {old["gid"]: gid, old["web_gid"]: app.layout.web_gid()}
        for name in ("shared", "home"):
            if not os.path.isdir(self.part(name)):
                continue
            for path in (self.part(name), *below(self.part(name))):
                entry = os.lstat(path)
                mine = entry.st_uid == old["uid"]
                os.chown(
                    path,
                    uid if mine else 0,
                    groups.get(entry.st_gid, 0) if mine else 0,
                    follow_symlinks=False,
                )
                if not stat.S_ISLNK(entry.st_mode):
                    os.chmod(path, stat.S_IMODE(entry.st_mode) if mine else 0o700)


def below(folder: str) -> Iterable[str]:
    """Everything in a folder, without following links."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield os.path.join(parent, name)


def sizes(folder: str) -> dict[str, int]:
    """The regular files below a folder, by their path within it."""
    result = {}
    for path in below(folder):
        entry = os.lstat(path)
        if stat.S_ISREG(entry.st_mode):
            result[path[len(folder) :]] = entry.st_size
    return result


def compared(manifest: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raises unless every table has as many rows as it had, and the same migrations have run."""
    wanted, rows = manifest["rows"], found["rows"]
    wrong = [
        f"{name}: {wanted.get(name, 'no table')} in the backup, {rows.get(name, 'no table')} restored"
        for name in sorted({*wanted, *rows})
        if wanted.get(name) != rows.get(name)
    ]
    if wrong:
        raise DeployError("The restored database differs from the backup:\n" + "\n".join(wrong[:20]))
    if list(manifest["migrations"]) != list(found["migrations"]):
        raise DeployError("The restored database has other migrations applied than the backup")
