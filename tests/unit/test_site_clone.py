"""A clone of the site that is behind what a host was given."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible_collections.homeport.django.plugins.action import host_facts
from ansible_collections.homeport.django.plugins.module_utils.host import site_record
from ansible_collections.homeport.django.plugins.plugin_utils.collection_version import COLLECTION
from ansible_collections.homeport.django.plugins.plugin_utils.site_clone import lacks, own_site

from .rendered import TRUSTED
from .statuses import document, specs, status
from .test_postgres_move_plays import answer
from .test_status_report import texts


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=anna", "-c", "user.email=anna@example.org", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(folder: Path, text: str, *options: str) -> dict[str, Any]:
    """Commits a file of the inventory; what a host records of a run from there."""
    (folder / "prod").mkdir(exist_ok=True)
    (folder / "prod/apps.yml").write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", text, *options)
    return own_site(str(folder / "prod"))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(folder))
    commit(folder, "first")
    return folder


def clone(site: Path, *options: str) -> Path:
    folder = site.parent / "clone"
    git(site.parent, "clone", "--quiet", *options, f"file://{site}", str(folder))
    return folder


def behind(folder: Path, recorded: dict[str, Any]) -> bool:
    return lacks(str(folder / "prod"), own_site(str(folder / "prod")), recorded)


def test_a_clone_that_was_not_pulled(site: Path) -> None:
    other = clone(site)
    recorded = commit(site, "second")
    assert behind(other, recorded)
    git(other, "fetch", "--quiet")
    assert behind(other, recorded)
    git(other, "merge", "--quiet", "--ff-only", "origin/main")
    assert not behind(other, recorded)
    commit(other, "third")
    assert not behind(other, recorded)


def test_two_operators_who_both_committed(site: Path) -> None:
    other = clone(site)
    recorded = commit(site, "second")
    commit(other, "another second")
    assert behind(other, recorded)
    git(other, "pull", "--quiet", "--rebase", "--strategy-option=ours")
    assert not behind(other, recorded)


def test_an_older_commit_and_an_amended_one_of_the_same_clone(site: Path) -> None:
    recorded = commit(site, "second")
    amended = commit(site, "second, amended", "--amend")
    assert amended["commit"] != recorded["commit"]
    assert not behind(site, recorded)
    git(site, "checkout", "--quiet", "HEAD~1")
    assert behind(site, amended)


def test_a_shallow_clone_knows_the_time_alone(site: Path) -> None:
    first = own_site(str(site / "prod"))
    recorded = commit(site, "second")
    other = clone(site, "--depth=1")
    assert not behind(other, first)
    assert not behind(other, recorded)
    assert behind(other, {**recorded, "commit": "a" * 40, "time": recorded["time"] + 60})


def test_what_is_no_clone_is_not_judged(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = commit(site, "second")
    (tmp_path / "plain").mkdir()
    (site / "ignored").mkdir()
    (site / ".gitignore").write_text("ignored\n")
    for folder in ("", str(tmp_path / "plain"), str(site / "ignored"), str(tmp_path / "missing")):
        assert own_site(folder) == {}
        assert not lacks(folder, {}, recorded)
    assert not behind(site, {"commit": "--output=/tmp/x", "time": 0})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own_site(str(site / "prod")) == {}


def test_what_another_operator_did_not_commit(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_facts, "operator", lambda: "anna@laptop")
    folder = str(site / "prod")
    own = own_site(folder)
    assert own["uncommitted"] is False
    same = host_facts.compared(folder, {**own, "by": "ben@desk"})
    assert (same["lacks"], same["overwrites"], same["differs"]) == (False, False, False)
    theirs = host_facts.compared(folder, {**own, "uncommitted": True, "by": "ben@desk"})
    assert (theirs["lacks"], theirs["overwrites"], theirs["differs"]) == (False, True, True)
    (site / "prod/apps.yml").write_text("edited")
    mine = host_facts.compared(folder, {**own, "uncommitted": True, "by": "anna@laptop"})
    assert (mine["overwrites"], mine["differs"]) == (False, False)
    assert host_facts.compared("", {**own, "uncommitted": True, "by": "ben@desk"})["differs"] is False


def test_the_record_on_the_host(tmp_path: Path) -> None:
    folder = str(tmp_path / "homeport")
    first: dict[str, Any] = {"commit": "a" * 40, "time": 1, "uncommitted": False, "by": "ben@desk"}
    second = {**first, "commit": "b" * 40}
    assert site_record.recorded_site(folder) == {}
    assert site_record.give(first, "", True, folder) is True
    assert site_record.recorded_site(folder) == {}
    assert site_record.give(first, "", False, folder) is True
    assert site_record.give(first, first["commit"], False, folder) is False
    assert site_record.recorded_site(folder).items() >= first.items()
    assert (tmp_path / "homeport/site.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "homeport").stat().st_mode & 0o777 == 0o700
    # another run began after this one had looked
    with pytest.raises(
        site_record.Overtaken, match="Another run, by ben@desk, has begun with the commit aaaaaaaaaa"
    ):
        site_record.give(second, "", False, folder)
    assert site_record.recorded_site(folder)["commit"] == first["commit"]
    assert site_record.give(second, first["commit"], False, folder) is True
    (tmp_path / "homeport/site.json").write_text(json.dumps({"commit": 5}))
    assert site_record.recorded_site(folder) == {}


def test_status_warns_of_an_older_clone() -> None:
    here = status({})
    here["host"]["site"] = {"commit": "a" * 40, "by": "ben@desk", "lacking": True}
    text = "was given the commit aaaaaaaaaa of the site by ben@desk, which this clone lacks: pull it"
    assert text in texts(document({"web1": here}, specs()), "warning")
    here["host"]["site"]["lacking"] = False
    assert text not in texts(document({"web1": here}, specs()), "warning")


@pytest.mark.parametrize(
    ("variables", "refused"),
    [
        ({}, True),  # a setup playbook
        ({"homeport_deploy_only": True, "homeport_brings_releases": True}, True),
        ({"homeport_deploy_only": True, "homeport_sets_up": True}, True),  # upgrade_system
        ({"homeport_deploy_only": True}, False),  # rollback, maintenance
        ({"older_site": "true"}, False),
    ],
)
def test_what_is_refused_with_an_older_clone(variables: dict[str, Any], refused: bool) -> None:
    found: Any = DataLoader().load_from_file(str(COLLECTION / "playbooks/vars/objections.yml"), **TRUSTED)
    for every in ("homeport_objections", "homeport_objections_to_verbs"):
        assert "__older_site" in found[every]
    assert "homeport_objections_to_verbs" in found["homeport_objections_to_deploy"]
    recorded = {"commit": "a" * 40, "by": "ben@desk"}
    site = {"own": {"commit": "b" * 40}, "recorded": recorded, "lacks": True}
    facts = {"homeport": {"site": site}}
    given = {
        **{name: found[name] for name in ("homeport_gives_site", "__site")},
        "ansible_facts": facts,
        "inventory_hostname": "web1",
        "inventory_dir": "/sites/blog/prod",
        **variables,
    }
    text = (
        f"web1 was given the commit {'a' * 10} of the site by ben@desk. /sites/blog/prod is at {'b' * 10}, which does "
        "not contain it. Run git pull there. Where that does not bring the commit (a squash merge), or to set the "
        "server back, use -e older_site=true."
    )
    assert answer(found["__older_site"], given) == ([text] if refused else [])
    site["lacks"] = False
    assert answer(found["__older_site"], given) == []


def test_every_playbook_that_records_a_commit_refuses_an_older_clone() -> None:
    def tasks(name: str) -> list[str]:
        """The tasks of a playbook in their order, also of those that it imports; of the record only its own."""
        path = COLLECTION / f"playbooks/{name}"
        found: list[str] = []
        for play in yaml.safe_load(path.read_text()):
            below = play.get("ansible.builtin.import_playbook")
            folder = name.rpartition("/")[0]
            if below:
                found += tasks(f"{folder}/{below}" if folder else below)
            found += [str(task) for task in play.get("tasks") or []]
        return found

    records = 0
    for path in (COLLECTION / "playbooks").glob("*.yml"):
        every = tasks(path.name)
        first = next((at for at, task in enumerate(every) if "homeport.django.site_record" in task), None)
        if first is None:
            continue
        records += 1
        assert any("__older_site" in task or "homeport_objections" in task for task in every[:first]), (
            path.name
        )
    assert records > 8


def test_the_record_is_written_once_nothing_refuses_the_run_any_more() -> None:
    def imported(name: str) -> list[str]:
        plays = yaml.safe_load((COLLECTION / f"playbooks/{name}.yml").read_text())
        return [str(play.get("ansible.builtin.import_playbook", "")) for play in plays]

    deploy = imported("deploy")
    assert deploy.index("components/preflight.yml") < deploy.index("components/site_record.yml")
    assert deploy.index("components/site_record.yml") < deploy.index("components/django.yml")
    assert imported("components/host")[0] == "site_record.yml"
    # each host refuses another of two runs that begin together
    [record] = yaml.safe_load((COLLECTION / "playbooks/components/site_record.yml").read_text())
    assert record["any_errors_fatal"] is True
    for setup in ("simple", "typical", "multi_app", "worker", "cache", "external_services", "site"):
        assert imported(setup)[:2] == ["components/preflight.yml", "components/host.yml"]
