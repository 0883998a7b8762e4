"""Modules of the collection are imported as Ansible imports them, whatever the working directory is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.plugins.loader import init_plugin_loader

init_plugin_loader([str(Path(__file__).parents[1] / ".collections")])


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """A module that a test calls sets that of its process, which is the next test's."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)
