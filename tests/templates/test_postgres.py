"""PostgreSQL's files hold what was asked for, quoted as PostgreSQL reads it."""

from __future__ import annotations

import re

from tests.templates.conftest import Files, Render

FOLDER = "/etc/postgresql/15/main"


def settings(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([a-z_]+) = '((?:[^']|'')*)'", line)
            assert match, line
            assert match[1] not in found, line
            found[match[1]] = match[2].replace("''", "'")
    return found


def access(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_settings_are_quoted_and_the_users_win(typical: Files) -> None:
    found = settings(typical[f"{FOLDER}/conf.d/homeport.conf"])
    assert found["log_line_prefix"] == "it's %m "
    assert found["jit"] == "off"
    assert found["max_wal_size"] == "2GB"
    assert found["hba_file"] == f"{FOLDER}/homeport_hba.conf"
    assert found["listen_addresses"] == "*"
    assert found["shared_buffers"] == "500MB"


def test_memory_stays_within_reason(render: Render) -> None:
    for memory, shared in ((64, "32MB"), (1000, "250MB"), (1_000_000, "8192MB")):
        found = settings(render("postgres", {"memory_mb": memory})[f"{FOLDER}/conf.d/homeport.conf"])
        assert found["shared_buffers"] == shared


def test_nobody_listens_outside_without_need(render: Render) -> None:
    files = render("postgres")
    assert settings(files[f"{FOLDER}/conf.d/homeport.conf"])["listen_addresses"] == "localhost"
    assert not [line for line in access(files[f"{FOLDER}/homeport_hba.conf"]) if line[0] == "hostssl"]


def test_access_over_the_network_is_by_tls_and_password(typical: Files) -> None:
    lines = access(typical[f"{FOLDER}/homeport_hba.conf"])
    outside = [
        line for line in lines if line[0].startswith("host") and line[3] not in ("127.0.0.1/32", "::1/128")
    ]
    assert {(line[0], line[4]) for line in outside} == {("hostssl", "scram-sha-256")}
    assert ["hostssl", '"x"', '"y"', "10.1.0.0/16", "scram-sha-256"] in outside
    (login,) = {line[2] for line in outside if line[1] == '"blog"'}
    assert re.fullmatch(r'"blog\.[0-9a-f]{8}"', login)
    assert ["hostssl", '"blog"', login, "10.0.0.5/32", "scram-sha-256"] in outside
    assert ["hostssl", '"blog"', login, "fd00::5/128", "scram-sha-256"] in outside
    assert not [line for line in lines if line[-1] in ("trust", "md5", "password")]
