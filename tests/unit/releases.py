"""An app's folders in a temporary folder, and commands that run as whoever runs the tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    Runner,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.release import (
    release_secrets,
    release_specs,
)

from tests.unit.support import resolved


class HereLayout(Layout):
    """Belongs to whoever runs the tests."""

    def ids(self) -> tuple[int, int]:
        return os.getuid(), os.getgid()

    def web_gid(self) -> int:
        return os.getgid()


class HereRunner(Runner):
    """Runs without changing the user, and keeps what it was asked to run."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.seen: list[list[str]] = []

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "extra_groups": os.getgroups()}

    def scope(self) -> None:
        """No systemd is asked."""

    def words(self, argv: list[str], cwd: str = "/") -> list[str]:
        return ["env", "-C", cwd, *argv]

    def as_app(self, what: str, work: Callable[..., Any], *arguments: Any, seconds: float = 0) -> Any:
        try:
            return json.loads(json.dumps(work(*arguments)))
        except DeployError:
            raise
        except Exception as error:
            raise DeployError(f"{what}: {type(error).__name__}: {error}") from None

    def run(self, argv: list[str], what: str, *_more: Any, **options: Any) -> str:
        self.seen.append(argv)
        environment = {**self.base, "PATH": os.environ["PATH"], **(options.get("env") or {})}
        done = subprocess.run(
            argv, cwd=options.get("cwd"), env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DeployError(f"{what} failed: {done.stderr}")
        return done.stdout


def layout(folder: Path, secrets: dict[str, Any] | None = None, **fields: Any) -> HereLayout:
    """The layout of an app ``blog`` below ``folder``."""
    apps = {"blog": resolved(**fields)}
    spec, own = release_specs(apps)[0], release_secrets(apps).get("blog", {})
    found = HereLayout({**spec, "home": str(folder)}, {**own, **(secrets or {})})
    for path in (
        found.releases,
        found.shared,
        found.static,
        found.config,
        found.slots,
        found.cache,
        f"{folder}/home",
    ):
        os.makedirs(path, exist_ok=True)
    found.runtime = str(folder / "run")
    return found


def write(path: Path, text: str = "x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
