"""PostgreSQL's superuser: what it is told, and that nothing else speaks for it."""

import ast
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.psql import LOOKS, Cluster, options

from tests.unit.support import CANARY

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = {"psql", "pg_dump", "pg_dumpall", "pg_restore", "createdb", "dropdb", "vacuumdb"}
# What else the OS user postgres runs: pgBackRest, and the second cluster (Archive.run).
OTHERS = {"module_utils/host/backup/archive.py"}


def programs() -> Iterator[tuple[str, str, ast.Module]]:
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        if path.name != "psql.py":
            text = path.read_text()
            yield str(path.relative_to(ROOT / "plugins")), text, ast.parse(text)


def constants(node: ast.AST) -> set[object]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}


def becomes_postgres(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg == "user" and "postgres" in constants(node.value)
    words = constants(node) if isinstance(node, ast.List) else set()
    return "postgres" in words and bool(words & {"runuser", "su", "sudo", "setpriv"})


def test_nothing_else_speaks_as_the_superuser() -> None:
    found = {name for name, _text, tree in programs() if any(map(becomes_postgres, ast.walk(tree)))}
    assert found == OTHERS


def test_the_archive_runs_no_client_as_the_superuser() -> None:
    (tree,) = (tree for name, _text, tree in programs() if name in OTHERS)
    (archive,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Archive")
    assert not constants(archive) & CLIENTS


@pytest.mark.parametrize("kind", ["tasks", "files", "templates", "handlers"])
def test_no_role_speaks_as_the_superuser(kind: str) -> None:
    for path in ROOT.glob(f"roles/*/{kind}/**/*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert not ("become_user: postgres" in text or "runuser -u postgres" in text), path


class Heard(Cluster):
    """Writes down what the superuser is to be told, and where."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str]] = []
        self.fails_at = "nothing"

    def _superuser(self, statements: str, database: str, seconds: int) -> str:
        self.told.append((database, statements))
        if self.fails_at in statements:
            raise DeployError("no")
        return "[]"


def test_the_superuser_is_in_no_database_of_an_app() -> None:
    cluster = Heard()
    cluster.ask("SELECT 1;")
    with cluster.login("blog", ["blog"]) as login:
        assert login.environment["PGDATABASE"] == "blog"
    assert {database for database, _statements in cluster.told} == {"postgres"}
    cluster.look("blog", "extensions")
    assert cluster.told[-1] == ("blog", f"BEGIN READ ONLY; {LOOKS['extensions']}; COMMIT;")


def test_a_scratch_role_goes_whatever_happens() -> None:
    cluster = Heard()
    with pytest.raises(ValueError, match="it broke"), cluster.login("blog", ["blog", 'o"d']) as login:
        raise ValueError("it broke")
    name, password = login.environment["PGUSER"], login.environment["PGPASSWORD"]
    told = [statements for _database, statements in cluster.told]
    assert 'IN ROLE "homeport.scratch", "blog", "o""d"' in told[1]
    assert "SCRAM-SHA-256$" in told[1]
    assert not any(password in statements for statements in told)
    assert f'ALTER ROLE "{name}" NOLOGIN' in told[2]
    assert told[3] == f'DROP ROLE "{name}"'


def test_a_scratch_role_that_owns_something_is_left_without_rights() -> None:
    cluster = Heard()
    cluster.fails_at = "DROP ROLE"
    with cluster.login("blog", ["blog"]):
        pass
    assert "NOLOGIN" in cluster.told[-2][1]


def test_the_client_decides_where_names_are_searched() -> None:
    assert options("pg_catalog", 30).split("-c ")[1:] == [
        "search_path=pg_catalog ", "standard_conforming_strings=on ", "statement_timeout=30s",
    ]  # fmt: skip


def test_what_psql_is_started_with(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run(words: list[str], **given: Any) -> Any:
        seen.update(given, words=words)
        raise FileNotFoundError(words[0])

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: type("P", (), {"pw_uid": name, "pw_gid": 1}))
    with pytest.raises(DeployError, match="psql could not be started"):
        Cluster().ask(f"SELECT '{CANARY}';")
    assert seen["user"] == "postgres"
    assert seen["input"] == f"SELECT '{CANARY}';".encode()
    assert CANARY not in str((seen["words"], seen["env"]))
    assert seen["env"]["PGDATABASE"] == "postgres"
    assert seen["timeout"] < 600
