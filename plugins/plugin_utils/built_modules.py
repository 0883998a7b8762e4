# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Modules as Ansible packs them for a host, kept from one run to the next.

Ansible gathers what a module imports and packs it anew in each run: 0.26 to 0.73 s of processor time for each module of
this collection, on a busy machine. Within a run it finds them by name in its own temporary folder. There they are put
before the first task, as long as nothing that goes into them has changed.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from ansible import constants
from ansible.release import __version__

PLUGINS = Path(__file__).parents[1]
OURS = "ansible_collections.homeport.django.plugins.modules."
KEPT_VERSIONS = 3  # of a controller: two clones, and the one before an upgrade


def digest(plugins: Path = PLUGINS) -> str:
    """Of all that goes into the collection's modules."""
    found = hashlib.sha256(f"{__version__} {plugins}".encode())
    for folder in ("modules", "module_utils"):
        for path in sorted((plugins / folder).rglob("*.py")):
            content = path.read_bytes()
            found.update(f"\0{path}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:32]


def use(folder: Path | None = None, temporary: str | None = None, plugins: Path = PLUGINS) -> None:
    """Gives this run what earlier ones have packed, and keeps at its end what it has packed itself.

    ``folder`` is where they are kept (default: ``homeport-modules`` in Ansible's home), ``temporary`` is Ansible's
    folder for this run. Where one cannot be written to, the run packs its modules itself.
    """
    folder = folder or Path(constants.ANSIBLE_HOME) / "homeport-modules"
    mine = folder / digest(plugins)
    cache = Path(temporary or constants.DEFAULT_LOCAL_TMP) / "ansiballz_cache"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            return  # they run as root on the hosts: another user's are not taken
        mine.mkdir(exist_ok=True)
        os.utime(mine)
        cache.mkdir(exist_ok=True)
        for path in mine.glob(f"{OURS}*"):
            copy(path, cache / path.name)
        atexit.register(keep, cache, mine, plugins, os.getpid())


def keep(cache: Path, mine: Path, plugins: Path, process: int) -> None:
    if os.getpid() != process:
        return  # a child that ends as Python does
    with contextlib.suppress(OSError):
        built = [
            path
            for path in cache.glob(f"{OURS}*")
            if not path.name.endswith((".lock", "-part")) and not (mine / path.name).exists()
        ]
        # an upgrade of the collection beside the run
        if built and mine.name == digest(plugins):
            for path in built:
                part = mine / f"{process}-{path.name}"
                copy(path, part)
                part.rename(mine / path.name)
        kept = sorted(mine.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[KEPT_VERSIONS:]:
            shutil.rmtree(path, ignore_errors=True)


def copy(source: Path, target: Path) -> None:
    """Ansible renames whole files into place and never writes to one again, so that a link is as good."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
