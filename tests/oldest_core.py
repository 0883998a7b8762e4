"""An environment with the oldest ansible-core that Homeport supports."""

import os
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).parents[1] / "requirements" / "oldest.txt"


def make(folder: Path) -> Path:
    """Its programs are in the folder that this returns."""
    programs = folder / "bin"
    for words in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "sync", "--require-hashes", "--python", str(programs / "python"), str(PINS)],
    ):
        command = [sys.executable, "-m", "uv", "--quiet", *words]
        subprocess.run(command, check=True, env={**os.environ, "UV_SYSTEM_CERTS": "1"})
    return programs
