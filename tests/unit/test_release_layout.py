"""Where things of an app are, and what its releases are built for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import layout as release_layout
from ansible_collections.homeport.django.plugins.module_utils.host.layout import interpreter, is_gone

from tests.unit.releases import write

INSTALL = Path(__file__).parents[2] / "roles/python/files/usr/local/lib/homeport/install-python"
OWN = "        100 /var/lib/dpkg/status\n"
POLICY = (
    "python3.12-minimal:\n  Installed: 3.12.1-1\n  Candidate: 3.12.1-1\n  Version table:\n *** 3.12.1-1 100\n"
)
SOURCE = "        500 https://packages.example.org/debian trixie/main amd64 Packages\n"


def test_the_python_that_a_release_is_built_for(tmp_path: Path) -> None:
    folder = str(tmp_path)
    write(tmp_path / "python3.11")
    (tmp_path / "python3").symlink_to("python3.11")
    assert interpreter("", folder) == f"{folder}/python3.11"
    assert interpreter("3.11", folder) == f"{folder}/python3.11"
    assert interpreter("3.12", folder) == "uv 3.12"
    assert interpreter("3.11.4", folder) == "uv 3.11.4"
    # an upgrade of the system
    write(tmp_path / "python3.13")
    (tmp_path / "python3").unlink()
    (tmp_path / "python3").symlink_to("python3.13")
    (tmp_path / "python3.11").unlink()
    assert interpreter("", folder) == f"{folder}/python3.13"
    assert interpreter("3.11", folder) == "uv 3.11"
    assert is_gone(f"{folder}/python3.11")
    assert not is_gone(f"{folder}/python3.13")
    assert not is_gone("uv 3.12")
    assert not is_gone("")


@pytest.mark.parametrize(
    ("policy", "others", "stays"),
    [
        (POLICY + OWN, SOURCE, False),  # a release of Debian ago
        (POLICY + OWN, OWN, True),  # apt has no lists at all
        (POLICY + SOURCE + OWN, SOURCE, True),
        (POLICY.replace("3.12.1-1\n", "(none)\n", 1) + SOURCE, SOURCE, True),
        ("", SOURCE, True),  # put there by hand
    ],
)
def test_a_python_that_autoremove_takes(
    policy: str, others: str, stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the build of a release, and by the program that has uv bring what is missing."""
    answers = f"case $2 in python3.12-minimal) printf '%s' '{policy}' ;; *) printf '%s' '{others}' ;; esac"
    write(tmp_path / "bin/apt-cache", f"#!/bin/sh\n{answers}\n")
    write(tmp_path / "bin/realpath", '#!/bin/sh\necho "$1"\n')
    write(tmp_path / "venv/bin/uv", "#!/bin/sh\n[ $3 = 3.12 ] && echo /usr/bin/python3.12\n")
    for path in tmp_path.glob("**/bin/*"):
        path.chmod(0o755)
    for name in ("python3", "python3.12"):
        write(tmp_path / name)
    monkeypatch.setattr(release_layout, "PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    expected = f"{tmp_path}/python3.12" if stays else "uv 3.12"
    assert interpreter("3.12", str(tmp_path)) == expected

    write(tmp_path / "versions", "3.12\n3.14\n")
    script = INSTALL.read_text().replace("/opt/homeport/uv", str(tmp_path))
    words = ["sh", "-c", script, "install-python", "--missing"]
    environment = {**os.environ, "PATH": release_layout.PATH}
    told = subprocess.run(words, capture_output=True, text=True, check=True, env=environment, timeout=60)
    # the last is the time, with which the next run tries again
    assert told.stdout.split()[:-1] == ([] if stays else ["3.12"]) + ["3.14"]
