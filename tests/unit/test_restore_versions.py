"""Dumps whose tools are of another version of PostgreSQL than the server."""

from __future__ import annotations

import glob
import re
import subprocess
from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.programs import restore
from ansible_collections.homeport.django.plugins.module_utils.host.programs.postgres_client import newest
from ansible_collections.homeport.django.plugins.module_utils.host.removal import dump as removal_dump

PREAMBLE = """\
--
-- PostgreSQL database dump
--

\\restrict abc

-- Dumped from database version 15.18
-- Dumped by pg_dump version 17.9

SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET row_security = off;

--
-- Name: notes; Type: TABLE; Schema: public
--

"""
DATA = """\
COPY public.notes (text) FROM stdin;
SET transaction_timeout = 0;
\\.
SET transaction_timeout = 0;
"""


def leave_out(path: Path, known: set[str]) -> str:
    restore.leave_out(str(path), known)
    return path.read_text()


@pytest.mark.parametrize("between", ["", "CREATE TABLE public.notes (text text);\n\n"])
def test_settings_that_the_server_does_not_know_are_left_out(between: str, tmp_path: Path) -> None:
    script = tmp_path / "data.sql"
    script.write_text(PREAMBLE + between + DATA)
    old = {"statement_timeout", "idle_in_transaction_session_timeout", "client_encoding"}
    old |= {"check_function_bodies", "row_security"}
    found = leave_out(script, old)
    assert found == PREAMBLE.replace("SET transaction", "--T transaction") + between + DATA
    script.write_text(PREAMBLE + between + DATA)
    assert leave_out(script, {*old, "transaction_timeout"}) == PREAMBLE + between + DATA


def test_the_steps_of_a_removed_app_do_so_too(tmp_path: Path) -> None:
    (command,) = re.findall(r'sed -i "(.*?)"', removal_dump.RESTORE.format(name="", home="", dump="", url=""))
    script = tmp_path / "sql"
    script.write_text(PREAMBLE + DATA)
    subprocess.run(["sed", "-i", command, script], check=True)
    assert script.read_text() == PREAMBLE.replace("SET transaction_timeout = 0;\n", "") + DATA


def test_the_newest_client_reads_all_dumps(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [f"/usr/lib/postgresql/{version}/bin/pg_restore" for version in ("9.6", "17", "15")]
    monkeypatch.setattr(glob, "glob", lambda _pattern: found)
    assert newest("pg_restore") == found[1]
    found.clear()
    assert newest("pg_restore") == "pg_restore"
