"""Environments of what the tests use and cannot share theirs with."""

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"


@functools.cache
def programs(name: str) -> Path:
    """Where the programs of requirements/NAME.txt are, in an environment that stays as long as its pins do."""
    pins = ROOT / "requirements" / f"{name}.txt"
    mark = hashlib.sha256(f"{sys.version} {pins.read_text()}".encode()).hexdigest()[:16]
    folder = CACHE / f"{name}-{mark}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            for old in CACHE.glob(f"{name}-*"):
                shutil.rmtree(old)
            for words in (
                ["venv", "--python", sys.executable, str(folder)],
                ["pip", "sync", "--require-hashes", "--python", f"{folder}/bin/python", str(pins)],
            ):
                command = [sys.executable, "-m", "uv", "--quiet", *words]
                subprocess.run(command, check=True, env={**os.environ, "UV_SYSTEM_CERTS": "1"})
            (folder / "complete").touch()
    return folder / "bin"
