from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.album import Album
from tests.acceptance.operator import ROOT, Operator

APP = yaml.safe_load((ROOT / "inventories/typical/group_vars/all/apps.yml").read_text())["django_apps"][
    "memories"
]


@pytest.fixture
def album(host: Any) -> Album:
    return Album(host.ansible.get_variables()["ansible_host"], "memories.example")


@pytest.fixture
def operator(host: Any, tmp_path: Path) -> Operator:
    return Operator(host.backend.ansible_runner.inventory_file, tmp_path, APP)
