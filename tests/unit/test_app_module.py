"""Modules that run on hosts leave files that their readers can read."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import module as app_module

MODULES = Path(__file__).parents[2] / "plugins/modules"
# On the operator's own machine.
LOCAL = {"local_app.py"}


def test_the_umask_of_the_login_is_not_that_of_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ansible.module_utils.basic.AnsibleModule.__init__", lambda *_arguments, **_options: None
    )
    before = os.umask(0o077)
    try:
        app_module.Module(argument_spec={})
        assert os.umask(before) == 0o022
    finally:
        os.umask(before)


def test_every_module_on_hosts_is_such_a_module() -> None:
    for path in MODULES.glob("*.py"):
        made = re.findall(r"= (\w*Module)\(", path.read_text())
        assert path.name in LOCAL or set(made) <= {"HostModule", "Module"}, path.name
