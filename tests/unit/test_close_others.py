"""An app is closed on its other hosts while one of them restores its database."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible_collections.homeport.django.plugins.action.backup import ActionModule
from ansible_collections.homeport.django.plugins.module_utils.host import closed
from ansible_collections.homeport.django.plugins.module_utils.host.backup.restore import Torn
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release import history
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade import closing
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade import record as written
from ansible_collections.homeport.django.plugins.modules import backup
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import machine

from tests.unit.releases import layout
from tests.unit.rendered import TRUSTED

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"


class Ended(Exception):
    pass


class FakeModule:
    def __init__(self, phase: str, app: str = "blog", check: bool = False) -> None:
        lists: dict[str, Any] = {"apps": [], "dead_runs": []}
        self.params = {"phase": phase, "app": app, "command": "", "run": "", "unlock": False, **lists}
        self.check_mode = check
        self.result: dict[str, Any] = {}

    def exit_json(self, **result: Any) -> None:
        self.result = result

    def fail_json(self, **result: Any) -> None:
        self.result = {"failed": True, **result}
        raise Ended


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []

    class Here:
        def __init__(self, name: str) -> None:
            self.name, self.home = name, f"{tmp_path}/srv/{name}"

    for module in (written, closing):
        monkeypatch.setattr(module, "STATE", str(tmp_path / "upgrades"))
    monkeypatch.setattr(closing, "CLOSED", str(tmp_path / "upgrades/closed.json"))
    monkeypatch.setattr(closing, "App", Here)
    monkeypatch.setattr(closing, "stop", lambda app: found.append(f"stop {app.name}"))
    monkeypatch.setattr(closing, "start", lambda app: found.append(f"start {app.name}"))
    (tmp_path / "srv/blog/maintenance").mkdir(parents=True)
    return found


def run(monkeypatch: pytest.MonkeyPatch, module: FakeModule) -> dict[str, Any]:
    monkeypatch.setattr(backup, "Module", lambda **_arguments: module)
    with contextlib.suppress(Ended):
        backup.main()
    return module.result


def test_it_is_closed_and_opened(steps: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = tmp_path / "srv/blog/maintenance/on"
    assert run(monkeypatch, FakeModule("close", check=True)) == {"changed": True}
    assert run(monkeypatch, FakeModule("open", check=True)) == {"changed": False}
    assert steps == []
    assert run(monkeypatch, FakeModule("close"))["changed"]
    assert flag.exists()
    # an upgrade of PostgreSQL has apps of its own to open
    assert closing.open_apps() == {"changed": False, "seconds": 0}
    assert run(monkeypatch, FakeModule("open", check=True)) == {"changed": True}
    assert run(monkeypatch, FakeModule("open"))["changed"]
    assert not flag.exists()
    assert not run(monkeypatch, FakeModule("open"))["changed"]
    assert steps == ["stop blog", "start blog"]


def test_who_was_closed_before_an_interrupted_run_stays_closed(
    steps: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "srv/blog/maintenance/on"
    flag.write_text("closed by hand")
    for phase in ("close", "close", "open"):
        run(monkeypatch, FakeModule(phase))
    assert flag.read_text() == "closed by hand"
    assert steps == ["stop blog", "stop blog", "start blog"]


RESTORE = "restore -e app=blog -e to=1a2b3c4d"


def test_status_names_what_opens_it_after_an_interruption(
    steps: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = FakeModule("close")
    module.params.update(command=RESTORE, run="run 1")
    run(monkeypatch, module)
    assert closed.closed_by(f"{tmp_path}/srv/blog") == RESTORE
    for asked in ({"run": "run 2"}, {}):
        other = FakeModule("open")
        other.params.update(asked)
        result = run(monkeypatch, other)
        assert "wait until that run ends. If it is dead, -e unlock=true starts the app" in result["msg"]
        assert result["locked"] == "run 1"
    assert steps == ["stop blog"]


@pytest.mark.parametrize(
    "way", [{"run": "run 1"}, {"dead_runs": ["run 1"]}, {"unlock": True}, {"again": True}]
)
def test_who_opens_what_is_stopped(
    way: dict[str, Any], steps: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run itself, its repetition, or who ends maintenance after it."""
    for name in ("run 1", *(["run 2"] if way.pop("again", False) else [])):
        module = FakeModule("close")
        module.params.update(command=RESTORE, run=name)
        run(monkeypatch, module)
    module = FakeModule("open", app="")
    module.params.update({"apps": ["shop", "blog"], "run": "run 2", **way})
    assert run(monkeypatch, module) == {"changed": True}
    assert not (tmp_path / "srv/blog/maintenance/on").exists()
    assert steps[-1] == "start blog"
    assert run(monkeypatch, module) == {"changed": False}


def test_the_name_is_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, FakeModule("close", app="../blog"))
    assert "cannot be the name of an app" in result["msg"]


@pytest.mark.parametrize(("error", "torn"), [(DeployError("no"), False), (Torn("half"), True)])
def test_a_restore_reports_whether_the_app_stays_closed(
    error: DeployError, torn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_module: Any) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(backup, "restore", fails)
    result = run(monkeypatch, FakeModule("restore"))
    assert (result["failed"], result["torn"]) == (True, torn)


def templated(path: str, name: str, variables: dict[str, Any]) -> bool:
    """What a variable of a playbook, or of a file of variables, is on a host."""
    loader = DataLoader()
    found = loader.load_from_file(str(PLAYBOOKS / path), **TRUSTED)
    values = found[0]["vars"] if isinstance(found, list) else found
    return str(Templar(loader=loader, variables=variables).template(values[name])) == "True"


BACK: dict[str, Any] = {"homeport_stays_closed": False}
FAILED = {**BACK, "homeport_restore_failed": "no"}
SKIPPED = {"homeport_restore_failed": "another host failed"}


@pytest.mark.parametrize(
    ("first", "here", "closes", "stays"),
    [
        (BACK, BACK, "blog", False),
        (BACK, FAILED, "blog", True),
        (BACK, SKIPPED, "blog", True),
        # without a restore nothing was closed
        (BACK, FAILED, "", False),
        # the database is as it was
        (FAILED, {}, "blog", False),
        # a restore, which the other hosts have no part in
        (BACK, {}, "blog", False),
    ],
)
def test_who_did_not_go_back_with_the_database_stays_closed(
    first: dict[str, Any], here: dict[str, Any], closes: str, stays: bool
) -> None:
    known = {
        **here,
        "homeport_closes": closes,
        "homeport_app_hosts": ["web1", "web2"],
        "hostvars": {"web1": first},
    }
    assert templated("components/open_others.yml", "__left_behind", known) is stays


@pytest.mark.parametrize("restore", [None, False, "false", "No", "0", "off", ""])
def test_a_rollback_that_does_not_restore_closes_nothing(restore: Any) -> None:
    known = {} if restore is None else {"restore": restore}
    assert not templated("vars/apps.yml", "homeport_restores", known)


@pytest.mark.parametrize("restore", [True, "true", "yes", "20261102T090000-4d3c2b1a"])
def test_a_rollback_that_restores(restore: Any) -> None:
    assert templated("vars/apps.yml", "homeport_restores", {"restore": restore})
    assert "restore is defined" not in (PLAYBOOKS / "rollback.yml").read_text()


@pytest.mark.parametrize(
    ("other", "status"), [(f"{machine()} 4194304 x", "done"), ("elsewhere 1 x", "locked")]
)
def test_what_a_killed_restore_has_locked_is_had_by_the_next(
    other: str, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run is known to have ended, where it was one of this controller; else -e unlock=true takes over."""
    here = layout(tmp_path)
    app = SimpleNamespace(name="blog", layout=here, release=lambda: f"{here.releases}/1")
    done = {"seconds": {}, "migrated": [], "last": ""}
    for name, value in {
        "configured": lambda: {"apps": [{"name": "blog"}]},
        "alone": contextlib.nullcontext,
        "App": lambda _spec: app,
        "Store": lambda _config: None,
        "look": lambda *_words: {"snapshot": "1a2b3c4d", "source": "blog", "time": ""},
        "Restore": lambda *_words: SimpleNamespace(run=lambda: done),
    }.items():
        monkeypatch.setattr(backup, name, value)
    monkeypatch.setattr(history, "append", lambda *_words: None)
    left = f'{{"run": "{other}", "holder": "anna", "started": 1, "doing": "a restore"}}\n'
    lock = Path(here.home, "deploy.lock")
    lock.write_text(left)
    asked: list[dict[str, Any]] = []

    class Action(ActionModule):
        def __init__(self, **arguments: Any) -> None:
            self._task: Any = SimpleNamespace(
                args={"phase": "restore", "app": "blog", **arguments}, check_mode=False
            )

        def _execute_module(self, **options: Any) -> dict[str, Any]:
            asked.append(options["module_args"])
            defaults = {"into": "", "to": "", "target_time": "", "database": True, "keep": True}
            module = FakeModule("restore")
            module.params = {**defaults, "dead_runs": [], "unlock": False, **options["module_args"]}
            return run(monkeypatch, module)

    monkeypatch.setattr(ActionBase, "run", lambda *_words: {})
    result = Action().run(task_vars={"inventory_hostname": "web1"})
    if status == "locked":
        assert "-e unlock=true takes over" in result["msg"]
        assert lock.read_text() == left
        result = Action(unlock=True).run(task_vars={"inventory_hostname": "web1"})
    assert result["restored"] == done
    assert len(asked) == 2
    assert lock.read_text() == ""
