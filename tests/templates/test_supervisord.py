# ruff: noqa: E501
"""supervisord's own parser reads the programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import supervisord_programs
from supervisor import datatypes, options

from tests.templates.conftest import Files, Render, resolved, write

MAIN = "[supervisord]\nlogfile={folder}/supervisord.log\npidfile={folder}/pid\n[include]\nfiles = {folder}/etc/supervisor/conf.d/*.conf\n"


@pytest.fixture
def parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    # the users of the apps are not on the machine that tests
    for module in (options, datatypes):
        monkeypatch.setattr(module, "name_to_uid", lambda name: 1000, raising=False)
        monkeypatch.setattr(module, "name_to_gid", lambda name: 1000, raising=False)
        monkeypatch.setattr(module, "gid_for_uid", lambda uid: 1000, raising=False)

    def parsed(files: Files) -> dict[str, Any]:
        programs = {
            path: text.replace("/var/log/homeport", f"{tmp_path}/log")
            for path, text in files.items()
            if path.startswith("/etc/supervisor/conf.d/")
        }
        for name in resolved():
            (tmp_path / "log" / name).mkdir(parents=True, exist_ok=True)
        write(tmp_path, programs)
        main = tmp_path / "supervisord.conf"
        main.write_text(MAIN.format(folder=tmp_path))
        found = options.ServerOptions()
        found.realize(["-c", str(main)], doc="")
        return {group.name: group for group in found.process_group_configs}

    return parsed


def test_every_program_is_a_group(typical: Files, parse: Any) -> None:
    apps = resolved()
    expected = {f"{name}.web" for name in apps} | {"blog.queue"}
    assert set(parse(typical)) == expected


def test_the_web_process(typical: Files, parse: Any) -> None:
    group = parse(typical)["blog.web"]
    assert type(group).__name__ == "FastCGIGroupConfig"
    assert [process.command for process in group.process_configs] == [
        "/usr/local/lib/homeport/gunicorn-slot blog 0",
        "/usr/local/lib/homeport/gunicorn-slot blog 1",
    ]
    assert [process.name for process in group.process_configs] == ["0", "1"]
    socket = group.socket_config
    assert socket.url == "unix:///run/homeport/blog.sock"
    assert socket.mode == 0o660
    assert socket.get_backlog() == 2048
    process = group.process_configs[0]
    assert (process.stopwaitsecs, process.killasgroup, process.stopasgroup) == (95, True, False)
    assert process.redirect_stderr
    assert process.autorestart


def test_another_process(typical: Files, parse: Any) -> None:
    processes = parse(typical)["blog.queue"].process_configs
    assert [process.command for process in processes] == ["/usr/local/lib/homeport/process blog queue"] * 2
    assert {process.stopsignal.name for process in processes} == {"SIGINT"}
    assert {process.stopwaitsecs for process in processes} == {60}
    assert len({process.stdout_logfile for process in processes}) == 2
    assert all(process.killasgroup and not process.stopasgroup for process in processes)
    # what ends by itself, with whatever status, is started again: a long-running command is meant to run
    assert {process.autorestart.__name__ for process in processes} == {"RestartUnconditionally"}


@pytest.mark.parametrize(("stop_timeout", "seconds"), [(10, 120), (600, 625)])
def test_a_shutdown_of_the_server_waits_for_the_slowest_program(
    stop_timeout: int, seconds: int, render: Render
) -> None:
    apps = resolved()
    apps["blog"]["processes"]["queue"]["stop_timeout"] = stop_timeout
    files = render("supervisord", supervisord_app_programs=supervisord_programs(apps))
    unit = files["/etc/systemd/system/supervisor.service.d/homeport.conf"]
    assert f"TimeoutStopSec={seconds}\n" in unit


def test_no_program_is_in_the_simple_setup_what_needs_a_proxy(render: Render, parse: Any) -> None:
    apps = resolved("simple")
    groups = parse(render("supervisord", supervisord_app_programs=supervisord_programs(apps)))
    urls = {name: group.socket_config.url for name, group in groups.items() if name.endswith(".web")}
    assert urls == {f"{name}.web": f"tcp://0.0.0.0:{app['web']['port']}" for name, app in apps.items()}


def test_programs_of_the_user_stand_beside_those_of_the_apps(render: Render, parse: Any) -> None:
    own = {"ticker": {"command": "/bin/sleep 5", "autostart": False, "environment": 'A="100%%",B="x"'}}
    files = render(
        "supervisord",
        supervisord_programs=own,
        supervisord_app_programs=supervisord_programs(resolved()),
    )
    ticker = parse(files)["ticker"].process_configs[0]
    assert (ticker.command, ticker.autostart, ticker.environment) == (
        "/bin/sleep 5",
        False,
        {"A": "100%", "B": "x"},
    )
    assert "blog.web" in parse(files)


def test_what_is_no_option_is_refused_by_the_check_of_the_role(render: Render, parse: Any) -> None:
    """The role has the parser look before supervisord does: it must object to what is wrong."""
    with pytest.raises(SystemExit):
        parse(render("supervisord", supervisord_programs={"bad": {"numprocs": 2}}))
