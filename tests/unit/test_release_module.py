"""The module `release`: what one app brings about concerns no other, and each run leaves a line of how it ended."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Runner
from ansible_collections.homeport.django.plugins.module_utils.host.release import history as release_history
from ansible_collections.homeport.django.plugins.module_utils.host.release.database import Held
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import Lock
from ansible_collections.homeport.django.plugins.module_utils.host.release.switch import RolledBack
from ansible_collections.homeport.django.plugins.modules import release
from ansible_collections.homeport.django.plugins.modules.release import Run, Step

from tests.unit.releases import HereLayout, layout, write

PARAMS: dict[str, Any] = {
    "only": [], "secrets": {}, "through": False, "failed": {}, "uploads": {}, "run": "run 1", "holder": "anna@laptop",
    "dead_runs": [], "unlock": False, "again": False, "to": "", "restore": "", "allow_unsafe_migrations": False,
}  # fmt: skip


class Module:
    """What the module asks of Ansible."""

    def __init__(self, check_mode: bool = False, **params: Any) -> None:
        self.params = {**PARAMS, **params}
        self.check_mode = check_mode
        self._diff = False
        self.warnings: list[str] = []

    def debug(self, _text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, HereLayout]:
    """Two apps, each with an older and a live release."""
    monkeypatch.setattr(release_history.append, "__defaults__", (str(tmp_path / "deploys"),))
    found: dict[str, HereLayout] = {}
    monkeypatch.setattr(release, "Layout", lambda spec, _secrets: found[spec["name"]])
    for name in ("blog", "shop"):
        app = layout(tmp_path / name)
        app.name = name
        for number, migrations in (("1", ["a.1"]), ("2", ["a.1", "a.2"])):
            record = {"id": number, "migrations": migrations, "revision": f"commit {number}"}
            write(Path(app.releases) / number / "release.json", json.dumps(record))
        app.point(f"{app.home}/current", f"{app.releases}/2")
        app.point(f"{app.home}/previous", f"{app.releases}/1")
        found[name] = app
    return found


def handled(phase: str, monkeypatch: pytest.MonkeyPatch, step: Any = None, **params: Any) -> Run:
    """A phase for both apps, in which ``step`` stands for what is done for each."""
    if step:
        monkeypatch.setattr(Step, phase, step)
    run = Run(Module(phase=phase, apps=[{"name": "blog"}, {"name": "shop"}], **params))  # type: ignore[arg-type]
    run.run()
    return run


def lines(app: str, folder: Path) -> list[tuple[str, str]]:
    found = release_history.entries(app, str(folder / "deploys"))
    return [(entry["outcome"], entry["message"]) for entry in found]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DeployError("no wheel"), "failed"),
        (Held("held: it drops a table"), "held"),
        (RolledBack("it was live"), "rolled back"),
        (ZeroDivisionError("whatever"), "failed"),
    ],
)
def test_an_app_that_fails_keeps_no_other_from_going_on(
    error: Exception,
    outcome: str,
    site: dict[str, HereLayout],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def step(self: Step) -> dict[str, Any]:
        if self.layout.name == "blog":
            raise error
        return {"changed": True}

    run = handled("activate", monkeypatch, step)
    assert str(error) in run.failed.pop("blog")
    assert run.failed == {}
    assert list(run.results) == ["shop"]
    assert [found for found, _message in lines("blog", tmp_path)] == [outcome]
    assert lines("shop", tmp_path) == [("live", "")]
    assert run.outcomes["shop"]["by"] == "anna@laptop"


def test_a_run_is_over_with_its_last_phase(
    site: dict[str, HereLayout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its phases the apps are the run's, and only the last one is written down."""
    for phase in ("build", "migrate"):
        handled(phase, monkeypatch, lambda _self: {"changed": True})
        other = handled(phase, monkeypatch, run="run 2")
        assert other.locked == {"blog": "run 1", "shop": "run 1"}
        assert "by anna@laptop" in other.failed["blog"]
        assert lines("blog", tmp_path) == []
    handled("activate", monkeypatch, lambda _self: {"changed": True})
    assert lines("blog", tmp_path) == [("live", "")]
    assert handled("build", monkeypatch, lambda _self: {"changed": True}, run="run 2").locked == {}


def test_what_another_host_could_not_do_is_done_nowhere(
    site: dict[str, HereLayout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled("build", monkeypatch, lambda _self: {"changed": True})
    run = handled("activate", monkeypatch, lambda _self: {"changed": True}, failed={"blog": "web2: no wheel"})
    assert list(run.results) == ["shop"]
    assert lines("blog", tmp_path) == []
    with Lock(site["blog"], "run 2", "bob@laptop"):
        pass  # it is free again


def test_all_phases_in_one_call(
    site: dict[str, HereLayout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends for all apps before the next; what has nothing to do, waits for its code or has failed stays behind."""
    done: list[str] = []

    def phase(name: str) -> Any:
        def step(self: Step) -> dict[str, Any]:
            done.append(f"{name} {self.layout.name}")
            if name == broken and self.layout.name == "blog":
                raise DeployError("no wheel")
            waits = {"wanting": True} if self.layout.name == wanting else {}
            return {"changed": True, "pending": self.layout.name != idle, "seconds": {name: 1}, **waits}

        return step

    for name in ("build", "migrate", "activate"):
        monkeypatch.setattr(Step, name, phase(name))
    broken, wanting, idle = "migrate", "", ""
    run = handled("build", monkeypatch, through=True)
    assert done == ["build blog", "build shop", "migrate blog", "migrate shop", "activate shop"]
    assert run.failed == {"blog": "no wheel"}
    assert run.results["shop"]["seconds"] == {"build": 1, "migrate": 1, "activate": 1}
    assert [run.outcomes[name]["outcome"] for name in ("blog", "shop")] == ["failed", "live"]
    for app in site.values():
        with Lock(app, "run 2", "bob@laptop") as lock:  # it is free again
            lock.finish()
    done.clear()
    broken, wanting, idle = "", "shop", "blog"
    assert handled("build", monkeypatch, through=True).outcomes == {}
    assert done == ["build blog", "build shop"]


def test_what_has_gone_live_is_asked_for_its_pages(
    site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.unlink(f"{site['shop'].home}/current")
    monkeypatch.setattr(Step, "activate", lambda _self: {"changed": True})
    monkeypatch.setattr(release, "problem_of", lambda visit, _home: f"{visit['url']} answers with status 502")
    apps = [
        {"name": name, "home": "", "visit": {"url": f"http://{name}.example"}} for name in ("blog", "shop")
    ]
    run = Run(Module(phase="activate", apps=apps))  # type: ignore[arg-type]
    run.run()
    assert run.results["blog"]["visit"] == "http://blog.example answers with status 502"
    assert "visit" not in run.results["shop"]  # its first release


def test_only_some_apps(site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(handled("build", monkeypatch, lambda _self: {"changed": True}, only=["shop"]).results) == [
        "shop"
    ]


def test_check_mode_writes_nothing(site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the lock of a run; and it does not ask for what needs a release that was not built."""
    run = handled("build", monkeypatch, lambda self: {"changed": True, "dry": self.dry}, check_mode=True)
    assert [found["dry"] for found in run.results.values()] == [True, True]
    assert handled("migrate", monkeypatch, lambda _self: {"changed": True}, check_mode=True).results == {}
    assert not os.path.exists(f"{site['blog'].home}/deploy.lock")


def test_a_host_without_the_app_would_get_its_first_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = HereLayout({"name": "blog", "user": "blog", "home": str(tmp_path / "none")})
    step = Step(Module(check_mode=True, phase="build"), bare, None)  # type: ignore[arg-type]
    assert step.build() == {"pending": True, "changed": True, "action": "first release"}


class Switch:
    """Goes where it is told to."""

    went: list[str] = []

    def __init__(self, _layout: HereLayout, _supervisor: Any, _begins: Any = None) -> None:
        pass

    def activate(self, target: str) -> dict[str, float]:
        self.went.append(os.path.basename(target))
        return {}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"to": "7"}, "there is no release 7; kept are 1, 2"),
        ({"to": "2"}, "2 is the live release already"),
        ({"restore": "true"}, "there is no dump of the database as 1 knew it"),
        ({"restore": "20260101T000000-x"}, "there is no dump 20260101T000000-x; there are none"),
    ],
)
def test_rollbacks_that_are_refused(
    params: dict[str, str], message: str, site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "Switch", Switch)
    monkeypatch.setattr(Switch, "went", [])
    run = handled("rollback", monkeypatch, only=["blog"], **params)
    assert message in run.failed["blog"]
    assert Switch.went == []


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_rollback_to_what_uses_a_service_that_is_not_there_any_more(
    check_mode: bool, site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "Switch", Switch)
    monkeypatch.setattr(Switch, "went", [])
    monkeypatch.setattr(
        release, "missing", lambda wanted, known: {"broker": "127.0.0.1:300"} if wanted != known else {}
    )
    write(Path(site["blog"].releases) / "1/config/env", "export BROKER_URL=redis://127.0.0.1:300/0\n")
    run = handled("rollback", monkeypatch, only=["blog"], check_mode=check_mode)
    assert run.failed["blog"].startswith(
        "1 uses what is not there any more: its broker (127.0.0.1:300). Declare "
    )
    assert Switch.went == []


@pytest.mark.parametrize("restore", ["", "no", "False", "off", "0"])
def test_a_rollback_without_the_database(
    restore: str, site: dict[str, HereLayout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which migrations stay is a warning."""
    monkeypatch.setattr(release, "Switch", Switch)
    monkeypatch.setattr(Switch, "went", [])
    run = handled("rollback", monkeypatch, only=["blog"], restore=restore)
    assert run.failed == {}
    assert Switch.went == ["1"]
    assert "1 does not know these migrations, which stay applied: a.2" in run.module.warnings[0]
    assert lines("blog", tmp_path) == [("live", "")]


def test_a_rollback_with_the_database_keeps_what_it_replaces(
    site: dict[str, HereLayout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has it again when the older release does not come up."""
    app, done = site["blog"], []

    class Database:
        def __init__(self, _layout: HereLayout, of: str) -> None:
            assert os.path.basename(of) == "2"

        def ask(self) -> dict[str, Any]:
            return {"vendor": "postgresql"}

        def dump(self, found: dict[str, Any], name: str, _before: str) -> str:
            done.append("dump")
            return f"/dumps/{name}"

        def restore(self, path: str) -> None:
            done.append("kept" if path.endswith("-restore") else "wanted")

    class Paused(Switch):
        def paused(self) -> Any:
            done.append("paused")
            return contextlib.nullcontext()

        def activate(self, target: str) -> dict[str, float]:
            done.append("activate")
            raise DeployError("it does not start")

    told = {"release": "x", "before": "1", "time": "2026-01-01", "migrations": ["a.2"]}
    write(Path(app.home) / "dumps/x.dump")
    write(Path(app.home) / "dumps/x.dump.json", json.dumps(told))
    monkeypatch.setattr(release, "Database", Database)
    monkeypatch.setattr(release, "Switch", Paused)
    run = handled("rollback", monkeypatch, only=["blog"], restore="yes")
    assert "it does not start" in run.failed["blog"]
    assert done == ["paused", "dump", "wanted", "activate", "kept"]


def test_the_hook_after_migrate_is_told_of_a_first_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = layout(tmp_path, hooks={"after_migrate": "manage.py seed"}, migrate=False)
    write(Path(app.releases) / "1/release.json", "{}")
    app.point(app.next_link, f"{app.releases}/1")
    seen: list[str] = []
    monkeypatch.setattr(Runner, "run", lambda self, argv, what: seen.append(argv[-1]))
    step = Step(SimpleNamespace(), app, SimpleNamespace(memo={}))  # type: ignore[arg-type]
    assert step.migrate()["changed"]
    assert "HOMEPORT_FIRST_RELEASE=1\n" in seen[0]
    assert seen[0].endswith("\nmanage.py seed")
    app.spec["live_elsewhere"] = True
    step.migrate()
    assert "HOMEPORT_FIRST_RELEASE=''\n" in seen[1]
    app.point(f"{app.home}/current", f"{app.releases}/1")  # nothing but processes is left to be done
    assert not step.migrate()["changed"]
    assert len(seen) == 2
