from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.action import deploy_notice
from ansible_collections.homeport.django.plugins.action.deploy_notice import (
    ActionModule,
    is_over,
    notice,
    outcomes,
    tell,
)

LIVE = {
    "verb": "deploy",
    "outcome": "live",
    "release": "2",
    "before": "1",
    "revision": "abc",
    "by": "anna@laptop",
    "seconds": 9.0,
    "migrations": ["blog.0002"],
    "message": "",
}
BROKEN = {**LIVE, "outcome": "rolled back", "message": "status 500\nand more"}


def test_outcomes_of_all_hosts() -> None:
    hostvars = {
        "web1": {"__django_app_built": {"outcomes": {}}, "__django_app_live": {"outcomes": {"blog": LIVE}}},
        "web2": {
            "__django_app_built": {"outcomes": {"blog": BROKEN}},
            "__django_app_live": {"skipped": True},
        },
        "web3": {},
    }
    assert outcomes(["web1", "web2", "web3"], hostvars) == {"blog": {"web1": LIVE, "web2": BROKEN}}


def test_the_worst_outcome_is_told() -> None:
    told = notice("blog", {"web1": LIVE, "web2": BROKEN})
    assert told["outcome"] == "rolled back"
    assert told["hosts"] == {"web1": "live", "web2": "rolled back"}
    assert told["text"] == "blog: deploy of 2 by anna@laptop: rolled back (status 500)"
    assert notice("blog", {"web1": LIVE})["text"] == "blog: deploy of 2 by anna@laptop: live"


def test_a_rolling_deploy_is_told_of_once() -> None:
    assert is_over({"web1": LIVE}, ["web1"])
    assert is_over({"web1": LIVE}, [])
    assert not is_over({"web1": LIVE}, ["web1", "web2"])
    assert is_over({"web1": BROKEN}, ["web1", "web2"])


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (["web1"], ["blog", "shop"]),  # what failed before the switch, and what was rolled back here
        (["web2"], []),
        (["web3"], ["wiki"]),  # live on the last of all
    ],
)
def test_each_batch_of_a_rolling_deploy_tells_what_is_new(
    batch: list[str], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_words: {})
    monkeypatch.setattr(deploy_notice, "tell", lambda *_words: None)
    built = {"outcomes": {"shop": {**BROKEN, "outcome": "failed"}}}
    hostvars: dict[str, Any] = {
        "web1": {
            "__django_app_built": built,
            "__django_app_live": {"outcomes": {"blog": BROKEN, "wiki": LIVE}},
        },
        "web2": {"__django_app_live": {"outcomes": {"wiki": LIVE}}} if batch != ["web1"] else {},
        "web3": {"__django_app_live": {"outcomes": {"wiki": LIVE}}} if batch == ["web3"] else {},
    }
    action = ActionModule.__new__(ActionModule)
    names = ["web1", "web2", "web3"]
    arguments = {
        "hosts": names,
        "waiting": names,
        "batch": batch,
        "notify": dict.fromkeys(["blog", "shop", "wiki"]),
    }
    action._task = SimpleNamespace(args=arguments)
    assert action.run(task_vars={"hostvars": hostvars})["told"] == told


def test_a_command_gets_it_as_json_and_as_variables(tmp_path: Path) -> None:
    command = f'cat >{tmp_path}/json; echo "$HOMEPORT_APP $HOMEPORT_OUTCOME" >{tmp_path}/variables'
    tell(notice("blog", {"web1": LIVE}), {"command": command})
    assert json.loads((tmp_path / "json").read_text())["migrations"] == ["blog.0002"]
    assert (tmp_path / "variables").read_text() == "blog live\n"


class Hook(BaseHTTPRequestHandler):
    status = 200
    seen: list[Any] = []

    def do_POST(self) -> None:
        self.seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[str]:
    Hook.seen.clear()
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook/SECRET"
        server.shutdown()
        thread.join()


def test_a_webhook_gets_it(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(deploy_notice.display, "warning", warnings.append)
    Hook.status = 200
    tell(notice("blog", {"web1": LIVE}), {"url": hook})
    assert [told["app"] for told in Hook.seen] == ["blog"]
    assert warnings == []


@pytest.mark.parametrize("status", [404, 500, 0])
def test_a_notice_that_does_not_get_through_is_a_warning_without_its_address(
    status: int, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(deploy_notice.display, "warning", warnings.append)
    Hook.status = status
    tell(notice("blog", {"web1": LIVE}), {"url": hook if status else "http://127.0.0.1:9/hook/SECRET"})
    tell(notice("blog", {"web1": LIVE}), {"command": "echo no >&2; exit 3"})
    assert len(warnings) == 2
    assert "SECRET" not in "".join(warnings)
    assert "status 3: no" in warnings[1]
