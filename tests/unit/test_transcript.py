"""All output of a build, in a file beside the app's logs."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import transcript
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import watched
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release.build import Build, secrets_of
from ansible_collections.homeport.django.plugins.module_utils.host.transcript import Transcript
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import brief

from tests.unit.releases import layout, write

NAME = "build-20261130T120000-0a1b2c3d.log"
ENV = {"PATH": os.environ["PATH"]}


def kept(folder: Path, *blocks: bytes, secrets: tuple[str, ...] = ()) -> str:
    with Transcript(str(folder / NAME), os.getgid(), secrets, "homeport-answer:") as found:
        for block in blocks:
            found.add(1, block)
        found.begin("Next")
    return (folder / NAME).read_text()


def test_all_that_a_command_prints_is_kept(tmp_path: Path) -> None:
    code = "import sys; print('x' * 90 + '\\n' * 2000); sys.stderr.write('warning\\nno end'); print('last')"
    with Transcript(str(tmp_path / NAME), os.getgid()) as found:
        found.begin("The build command 'npm ci'")
        watched([sys.executable, "-c", code], ENV, transcript=found)
        found.begin("Next")
    text = (tmp_path / NAME).read_text()
    assert text.startswith("==> 20") and "Z The build command 'npm ci'\n" in text
    assert text.count("\n") >= 2003
    assert "\nwarning\n" in text and "\nno end\n==> " in text
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o640


def test_it_can_be_followed_while_the_command_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = f"import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)"
    with Transcript(str(tmp_path / NAME), os.getgid()) as found:
        words = [sys.executable, "-c", code]
        running = threading.Thread(target=watched, args=(words, ENV), kwargs={"transcript": found})
        running.start()
        end = time.monotonic() + 60
        while "begun\n" not in (tmp_path / NAME).read_text() and time.monotonic() < end:
            time.sleep(0.01)
        text = (tmp_path / NAME).read_text()
        go.touch()
        running.join()
    assert "begun\n" in text


def test_secrets_do_not_enter_it(tmp_path: Path) -> None:
    key = "-----BEGIN KEY-----\nbm90IGEga2V5IGF0IGFsbA==\n-----END KEY-----"
    text = kept(
        tmp_path,
        b"SECRET_KEY=c4n4ry-", b"of-the-app\nbm90IGEga2V5IGF0IGFsbA==\n",
        b"fetching https://deploy:T0KEN@git.example.org/x.git, from '://'\nyes\n",
        secrets=("c4n4ry-of-the-app", key, "yes"),
    )  # fmt: skip
    assert kept(tmp_path, b"1\nhomeport-answer:{}\n", b"2\n").partition("Z Next\n")[2].startswith("1\n2\n")
    assert "SECRET_KEY=****\n****\n" in text
    assert "https://****@git.example.org/x.git, from '://'\nyes\n" in text


def test_which_values_are_secret(tmp_path: Path) -> None:
    found = layout(tmp_path, {"git": "https://a:b@h/x"}, env={"LANGUAGE": "en", "PG_PASSWORD": "c4n4ry-2"})
    found.spec["secret_names"] = ["STRIPE"]
    lines = {"STRIPE": "c4n4ry-1", "PG_PASSWORD": "c4n4ry-2", "SECRET_KEY": "c4n4ry-3", "PGHOST": "/var/run"}
    write(Path(found.config) / "env", "".join(f"export {name}={value}\n" for name, value in lines.items()))
    assert sorted(secrets_of(found, "/r")) == ["c4n4ry-1", "c4n4ry-2", "c4n4ry-3", "https://a:b@h/x"]


def test_passwords_of_addresses_are_secret(tmp_path: Path) -> None:
    """A command that prints Django's DATABASES prints them without their address."""
    found = layout(tmp_path)
    lines = {
        "REPORTS_DATABASE_URL": "postgres://blog:c4n4ry%2F1@db1/reports",
        "CACHE_URL": "redis://:c4n4ry,2@r1/0, redis://:c4n4ry,3@r2/0",
        "BROKER_URL": "amqp://[",
        "SITE_URL": "https://blog.example.org",
    }
    write(Path(found.config) / "env", "".join(f"export {name}='{value}'\n" for name, value in lines.items()))
    assert sorted(secrets_of(found, "/r")) == ["c4n4ry%2F1", "c4n4ry,2", "c4n4ry,3", "c4n4ry/1"]


def test_what_contains_the_release_may_be_secret(tmp_path: Path) -> None:
    own = {"SIGNING_KEY": "c4n4ry-{id}", "CACHE": "redis://:c4n4ry-2@r1/?prefix={release}"}
    found = layout(tmp_path, {"release_environment": own})
    folder = f"{found.releases}/20261130T120000-0a1b2c3d"
    assert sorted(secrets_of(found, folder)) == ["c4n4ry-2", "c4n4ry-20261130T120000-0a1b2c3d"]


def test_its_size_and_number_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "MOST_BYTES", 1000)
    for hour in range(12):
        write(tmp_path / f"build-20261129T{hour:02}0000-0a1b2c3d.log")
    for name in ("build-0.log", "web-0.log"):
        write(tmp_path / name)
    text = kept(tmp_path, *[b"y" * 99 + b"\n"] * 20)
    assert text.count("y\n") == 10
    assert text.endswith("\n==> The rest of the output is not kept\n")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == transcript.KEPT + 2
    assert {"build-0.log", "web-0.log", NAME, "build-20261129T110000-0a1b2c3d.log"} <= {*names}
    assert "build-20261129T020000-0a1b2c3d.log" not in names


def test_a_line_without_an_end_is_not_kept_in_memory(tmp_path: Path) -> None:
    with Transcript(str(tmp_path / NAME), os.getgid()) as found:
        found.add(1, b"z" * (transcript.MOST_LINE + 1))
        assert found.begun[1] == b""


def test_a_failed_build_names_it(tmp_path: Path) -> None:
    app = layout(tmp_path / "app")
    app.logs = str(tmp_path / "logs")
    os.mkdir(app.logs)
    found = Build(app, "revision", "0123456789abcdef", None)
    path = f"{app.logs}/build-{found.id}.log"
    with pytest.raises(DeployError) as failed, found.whole():
        assert app.transcript is found.transcript
        raise DeployError("The build command 'x' failed (exit status 2):\nits end")
    assert str(failed.value) == (
        "The build command 'x' failed (exit status 2):\n"
        f"All output: logs.yml -e app=blog -e process=build, or {path} on the host\nits end"
    )
    assert brief(str(failed.value)) == "The build command 'x' failed (exit status 2): its end"
    assert Path(path).read_text().endswith("Z Failed: The build command 'x' failed (exit status 2):\n")
    assert app.transcript is None
