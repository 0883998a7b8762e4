"""The module `release`: what one app brings about concerns no other, and each run leaves a line of how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Runner
from ansible_collections.homeport.django.plugins.module_utils.host.release import history as release_history
from ansible_collections.homeport.django.plugins.module_utils.host.release import rollback as release_rollback
from ansible_collections.homeport.django.plugins.module_utils.host.release import run as release_run
from ansible_collections.homeport.django.plugins.module_utils.host.release.database import Held
from ansible_collections.homeport.django.plugins.module_utils.host.release.deploy import (
    STEPS,
    Deploy,
    Request,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import Lock
from ansible_collections.homeport.django.plugins.module_utils.host.release.rollback import Rollback
from ansible_collections.homeport.django.plugins.module_utils.host.release.run import Run
from ansible_collections.homeport.django.plugins.module_utils.host.release.switch import RolledBack, Switch

from tests.unit.releases import HereLayout, layout, write

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Asked:
    """A request of the tests' run, and the warnings that it has caused."""

    warnings: list[str] = field(default_factory=list)

    def request(self, phase: str, **options: Any) -> Request:
        return Request(phase, self.warnings.append, **{"run": "run 1", "holder": "anna@laptop", **options})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, HereLayout]:
    """Two apps, each with an older and a live release."""
    monkeypatch.setattr(release_history.append, "__defaults__", (str(tmp_path / "deploys"),))
    found: dict[str, HereLayout] = {}
    monkeypatch.setattr(release_run, "Layout", lambda spec, _secrets: found[spec["name"]])
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


class Handled(Run):
    def __init__(self, request: Request, asked: Asked) -> None:
        super().__init__(request, lambda _text: None)
        self.warnings = asked.warnings


def handled(
    phase: str,
    monkeypatch: pytest.MonkeyPatch,
    step: Any = None,
    only: Sequence[str] = (),
    **options: Any,
) -> Handled:
    """A phase for both apps, in which ``step`` stands for what is done for each once the app is locked."""
    if step:

        def work(deploy: Deploy) -> None:
            deploy.result = step(deploy)

        monkeypatch.setattr(Deploy, "steps", lambda _self: [Deploy.lock, work])
    asked = Asked()
    run = Handled(asked.request(phase, **options), asked)
    run.handle([{"name": "blog"}, {"name": "shop"}], list(only), {})
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
    def step(self: Deploy) -> dict[str, Any]:
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

    def work(deploy: Deploy) -> None:
        name, phase = deploy.layout.name, deploy.request.phase
        done.append(f"{phase} {name}")
        if (phase, name) == broken:
            raise DeployError("no wheel")
        waits = {"wanting": True} if name == wanting else {}
        deploy.result = {"changed": True, "pending": name != idle, "seconds": {phase: 1}, **waits}

    monkeypatch.setattr(Deploy, "steps", lambda _self: [Deploy.lock, work])
    broken, wanting, idle = ("migrate", "blog"), "", ""
    run = handled("build", monkeypatch, through=True)
    assert done == ["build blog", "build shop", "migrate blog", "migrate shop", "activate shop"]
    assert run.failed == {"blog": "no wheel"}
    assert run.results["shop"]["seconds"] == {"build": 1, "migrate": 1, "activate": 1}
    assert [run.outcomes[name]["outcome"] for name in ("blog", "shop")] == ["failed", "live"]
    for app in site.values():
        with Lock(app, "run 2", "bob@laptop") as lock:  # it is free again
            lock.finish()
    done.clear()
    broken, wanting, idle = ("", ""), "shop", "blog"
    assert handled("build", monkeypatch, through=True).outcomes == {}
    assert done == ["build blog", "build shop"]


def test_what_has_gone_live_is_asked_for_its_pages(
    site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.unlink(f"{site['shop'].home}/current")

    def work(deploy: Deploy) -> None:
        deploy.result = {"changed": True}

    monkeypatch.setattr(Deploy, "steps", lambda _self: [Deploy.lock, work])
    monkeypatch.setattr(
        release_run, "problem_of", lambda visit, _home: f"{visit['url']} answers with status 502"
    )
    apps = [
        {"name": name, "home": "", "visit": {"url": f"http://{name}.example"}} for name in ("blog", "shop")
    ]
    asked = Asked()
    run = Handled(asked.request("activate"), asked)
    run.handle(apps, [], {})
    assert run.results["blog"]["visit"] == "http://blog.example answers with status 502"
    assert "visit" not in run.results["shop"]  # its first release


def test_only_some_apps(site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(handled("build", monkeypatch, lambda _self: {"changed": True}, only=["shop"]).results) == [
        "shop"
    ]


def test_check_mode_writes_nothing(site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the lock of a run; and it does not ask for what needs a release that was not built."""
    run = handled("build", monkeypatch, lambda self: {"changed": True, "dry": self.dry}, dry=True)
    assert [found["dry"] for found in run.results.values()] == [True, True]
    assert handled("migrate", monkeypatch, lambda _self: {"changed": True}, dry=True).results == {}
    assert not os.path.exists(f"{site['blog'].home}/deploy.lock")


def test_a_host_without_the_app_would_get_its_first_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = HereLayout({"name": "blog", "user": "blog", "home": str(tmp_path / "none")})
    deploy = Deploy(Asked().request("build", dry=True), bare)
    deploy.work()
    assert deploy.result == {"pending": True, "changed": True, "action": "first release"}


def went(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The releases that are made live, without anything that serves them."""
    found: list[str] = []
    monkeypatch.setattr(Rollback, "activate", lambda self: found.append(os.path.basename(self.release)))
    return found


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"to": "7"}, "There is no release 7; kept are 1, 2"),
        ({"to": "2"}, "2 is the live release already"),
        ({"restore": "true"}, "There is no dump of the database as 1 knew it"),
        ({"restore": "20260101T000000-x"}, "There is no dump 20260101T000000-x; there are none"),
    ],
)
def test_rollbacks_that_are_refused(
    params: dict[str, str], message: str, site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = went(monkeypatch)
    run = handled("rollback", monkeypatch, only=["blog"], **params)
    assert message in run.failed["blog"]
    assert releases == []


def test_each_rollback_goes_further_back(
    site: dict[str, HereLayout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Releases 1, 2 and 3, of which 3 is live."""
    monkeypatch.setattr(release_history.gone_back_from, "__defaults__", (str(tmp_path / "deploys"),))
    app = site["blog"]
    write(Path(app.releases) / "3" / "release.json", json.dumps({"id": "3", "migrations": ["a.1", "a.2"]}))

    def activate(deploy: Rollback) -> None:
        app.point(f"{app.home}/previous", app.current or "")
        app.point(f"{app.home}/current", deploy.release)

    monkeypatch.setattr(Rollback, "activate", activate)
    app.point(f"{app.home}/current", f"{app.releases}/3")
    app.point(f"{app.home}/previous", f"{app.releases}/2")
    seen = []
    for options in ({}, {}, {}, {"again": True}, {"to": "3"}, {}):
        run = handled("rollback", monkeypatch, only=["blog"], **options)
        seen.append(run.failed.get("blog") or os.path.basename(app.current or ""))
    assert seen[:2] == ["2", "1"]
    assert seen[2].startswith("There is no release before 1 to roll back to. 2 was rolled back (")
    assert seen[2].endswith("-e again=true makes it live, and -e to=NAME another one; kept are 1, 2, 3")
    assert seen[3:] == ["2", "3", "2"]


@pytest.mark.parametrize("again", [False, True])
def test_code_that_was_rolled_back_is_not_deployed_with_other_settings(
    again: bool, site: dict[str, HereLayout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "deploys")
    monkeypatch.setattr(release_history.revision_gone_back_from, "__defaults__", (folder,))
    revisions = {"release": "1", "before": "2", "revision": "commit 1", "revision_before": "commit 2"}
    release_history.append("blog", {"verb": "rollback", "outcome": "live", "by": "anna", **revisions}, folder)

    def wants(deploy: Deploy) -> None:
        deploy.revision = "commit 2" if deploy.layout.name == "blog" else "commit 1"
        deploy.check_gone_back()

    monkeypatch.setattr(Deploy, "steps", lambda _self: [Deploy.lock, wants])
    asked = Asked()
    run = Handled(asked.request("build", again=again), asked)
    run.handle([{"name": "blog"}, {"name": "shop"}], [], {})
    assert list(run.failed) == ([] if again else ["blog"])
    if not again:
        told = (
            "by anna), and this deploy would make its code live again (commit 2). -e again=true makes it live"
        )
        assert told.removeprefix("by anna), ") in run.failed["blog"]
        assert run.failed["blog"].startswith("2 was rolled back (")


def test_a_host_that_an_interrupted_rollback_has_switched_is_finished(
    site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = went(monkeypatch)
    for dry in (True, False):
        run = handled("rollback", monkeypatch, only=["blog"], to="2", restored_elsewhere=True, dry=dry)
        assert run.failed == {}
    assert releases == ["2"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_rollback_to_what_uses_a_service_that_is_not_there_any_more(
    check_mode: bool, site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = went(monkeypatch)
    monkeypatch.setattr(
        release_rollback,
        "missing",
        lambda wanted, known, _databases: {"broker": "127.0.0.1:300"} if wanted != known else {},
    )
    write(Path(site["blog"].releases) / "1/config/env", "export BROKER_URL=redis://127.0.0.1:300/0\n")
    run = handled("rollback", monkeypatch, only=["blog"], dry=check_mode)
    assert run.failed["blog"].startswith(
        "1 uses services that are missing: its broker (127.0.0.1:300). Declare "
    )
    assert releases == []


@pytest.mark.parametrize("restore", ["", "no", "False", "off", "0"])
def test_a_rollback_without_the_database(
    restore: str, site: dict[str, HereLayout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which migrations stay is a warning."""
    releases = went(monkeypatch)
    run = handled("rollback", monkeypatch, only=["blog"], restore=restore)
    assert run.failed == {}
    assert releases == ["1"]
    assert "1 does not know these migrations, which stay applied: a.2" in run.warnings[0]
    assert lines("blog", tmp_path) == [("live", "")]


def test_a_rollback_with_the_database_keeps_what_it_replaces(
    site: dict[str, HereLayout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has it again when the older release does not come up."""
    app, done = site["blog"], []

    class Database:
        def __init__(self, _layout: HereLayout, of: str, alias: str) -> None:
            assert os.path.basename(of) == "2"
            self.alias = alias

        def ask(self) -> dict[str, Any]:
            return {"vendor": "postgresql"}

        def dump(self, found: dict[str, Any], name: str, _before: str) -> str:
            done.append("dump")
            return f"/dumps/{name}"

        def restore(self, path: str) -> None:
            done.append("kept" if path.endswith("-restore") else "wanted")

    def activate(_self: Rollback) -> None:
        done.append("activate")
        raise DeployError("it does not start")

    def paused(_self: Switch, command: str) -> Any:
        assert command.endswith(" -e restore=x")
        done.append("paused")
        return contextlib.nullcontext()

    told = {"release": "x", "before": "1", "time": "2026-01-01", "migrations": ["a.2"]}
    write(Path(app.home) / "dumps/x.dump")
    write(Path(app.home) / "dumps/x.dump.json", json.dumps(told))
    monkeypatch.setattr(release_rollback, "Database", Database)
    monkeypatch.setattr(Switch, "paused", paused)
    monkeypatch.setattr(Rollback, "activate", activate)
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

    def migrated() -> bool:
        deploy = Deploy(Asked().request("migrate"), app)
        for step in (Deploy.gate, Deploy.dump, Deploy.migrate):
            step(deploy)
        return bool(deploy.result["changed"])

    assert migrated()
    assert "HOMEPORT_FIRST_RELEASE=1\n" in seen[0]
    assert seen[0].endswith("\nmanage.py seed")
    app.spec["live_elsewhere"] = True
    assert migrated()
    assert "HOMEPORT_FIRST_RELEASE=''\n" in seen[1]
    app.point(f"{app.home}/current", f"{app.releases}/1")  # nothing but processes is left to be done
    assert not migrated()
    assert len(seen) == 2


def test_the_documentation_lists_the_steps_of_a_deploy() -> None:
    text = (ROOT / "docs/deploying.md").read_text().partition("## The steps\n")[2].partition("\n## ")[0]
    listed = [name.lower() for name in re.findall(r"(?m)^\d+\. \*\*(\w+)\.?\*\*", text)]
    assert listed == [step.name for step in STEPS]
    phases = [step.phases[-1] for step in STEPS[1:]]
    assert phases == sorted(phases, key=("build", "migrate", "activate").index)


def test_an_app_that_cannot_be_built_from_anything_fails_alone(
    site: dict[str, HereLayout], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    def step(deploy: Deploy) -> dict[str, Any]:
        built.append(deploy.layout.name)
        return {"changed": True}

    run = handled("build", monkeypatch, step, failed={"shop": "there is no folder"})
    assert (built, run.failed) == (["blog"], {"shop": "there is no folder"})
    # what is not asked for fails nothing
    assert handled("build", monkeypatch, step, ["blog"], failed={"shop": "x"}).failed == {}
