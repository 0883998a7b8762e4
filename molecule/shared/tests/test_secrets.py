"""Once everything else has been tried: no secret of the scenario is where somebody might see it."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.secrecy import Secret, found_in_file, found_on_host, secrets_of, variables_of

testinfra_hosts = ["ansible://all"]


@pytest.fixture(scope="module")
def wanted(host: Any) -> list[Secret]:
    return secrets_of(variables_of(host))


def test_no_secret_is_seen_on_the_host(host: Any, wanted: list[Secret]) -> None:
    assert len(wanted) >= 7
    assert found_on_host(host, wanted) == []


def test_ansible_prints_no_secret(wanted: list[Secret]) -> None:
    """At -vvv --diff: in check mode, at first, once more, and what the tests have run since."""
    log = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "ansible.log"
    text = log.read_text(errors="replace") if log.exists() else ""
    for seen in ("service_config.py", "module_args", "+++ after"):
        assert seen in text, (
            f"{log} is not what a run at -vvv --diff tells: converge new hosts with bin/molecule"
        )
    assert found_in_file(log, wanted) == []
