"""What the playbooks need is parsed once for a run, under the names by which Ansible asks for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible import context
from ansible.parsing.dataloader import DataLoader
from ansible_collections.homeport.django.plugins.vars import read_once

ROOT = Path(__file__).parents[2]


def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    load = DataLoader.load

    def counted(self: DataLoader, data: str, file_name: str = "", **options: Any) -> Any:
        seen.append(file_name)
        return load(self, data, file_name=file_name, **options)

    monkeypatch.setattr(DataLoader, "load", counted)
    return seen


def test_the_variables_of_a_play_are_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_once.VarsModule, "kept", False)
    playbook = ROOT / "playbooks" / "typical.yml"
    monkeypatch.setattr(context, "CLIARGS", {"args": [os.path.relpath(playbook)]})
    seen = parsed(monkeypatch)
    loader = DataLoader()
    assert read_once.VarsModule().get_vars(loader, "", []) == {}
    files = [*ROOT.glob("playbooks/vars/*.yml"), *ROOT.glob("roles/*/vars/main/packages.yml")]
    assert sorted(seen) == sorted(map(str, files))
    seen.clear()
    for name in map(str, files):  # as Ansible reads vars_files
        loader.load_from_file(name, unsafe=True, cache="vaulted", trusted_as_template=True)
    assert read_once.VarsModule().get_vars(loader, "", []) == {}
    assert seen == []


@pytest.mark.parametrize("arguments", [["homeport.django.typical"], ["site.yml"], []])
def test_a_playbook_of_the_installed_collection(arguments: list[str], tmp_path: Path) -> None:
    assert read_once.named([str(tmp_path / word) for word in arguments]) == read_once.PLAYBOOKS


@pytest.mark.parametrize("config", ["ansible.cfg", "playbooks/templates/new_site/ansible.cfg.j2"])
def test_it_is_enabled(config: str) -> None:
    """With Ansible's own, which the setting would leave out."""
    lines = (ROOT / config).read_text().splitlines()
    assert "vars_plugins_enabled = host_group_vars, homeport.django.read_once" in lines
