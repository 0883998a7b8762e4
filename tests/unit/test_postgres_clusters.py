"""Which of a host's PostgreSQL clusters is meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import postgres_clusters

LOG = "postgres /var/lib/postgresql/{0}/main /var/log/postgresql/postgresql-{0}-main.log"


def lines(*clusters: tuple[str, int, str]) -> str:
    return "".join(
        f"{version}  main    {port} {status} {LOG.format(version)}\n" for version, port, status in clusters
    )


@pytest.mark.parametrize(
    ("told", "chosen"),
    [
        # after a dist-upgrade: an empty cluster of the new version, whether or not it runs
        ((("15", 5432, "online"), ("17", 5433, "online")), "15"),
        ((("15", 5432, "down"), ("17", 5433, "online")), "15"),
        # after pg_upgradecluster
        ((("15", 5433, "down"), ("17", 5432, "online")), "17"),
        ((("9", 5433, "down"), ("15", 5434, "down")), "15"),
        # two that want the port: the one that has it
        ((("15", 5432, "online"), ("17", 5432, "down")), "15"),
        ((("15", 5432, "down"), ("17", 5432, "down")), "17"),
        ((("15", 5432, "down,binaries_missing"), ("16", 5433, "down"), ("17", 5434, "down")), "17"),
        ((("15", 5432, "online,recovery"), ("17", 5433, "online")), "15"),
    ],
)
def test_of_two_clusters_the_one_on_the_apps_port(
    told: tuple[tuple[str, int, str], ...], chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, _port, status in told:
        (tmp_path / "etc" / version / "main").mkdir(parents=True)
        if "missing" not in status:
            programs = tmp_path / "lib" / version / "bin"
            programs.mkdir(parents=True)
            (programs / "postgres").touch()
    monkeypatch.setattr(postgres_clusters, "answer", lambda _words: lines(*told))
    assert postgres_clusters.used_cluster(str(tmp_path / "etc"), str(tmp_path / "lib")) == (chosen, "main")
    unserved = "15/main" if "missing" in told[0][2] else ""
    assert postgres_clusters.unserved(str(tmp_path / "etc")) == unserved


def test_one_cluster_needs_no_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_clusters, "clusters", lambda: pytest.fail("asked"))
    etc, lib = str(tmp_path / "etc"), str(tmp_path / "lib")
    assert postgres_clusters.used_cluster(etc, lib) == ("", "main")
    (tmp_path / "etc/17/blue").mkdir(parents=True)
    (tmp_path / "lib/17/bin").mkdir(parents=True)
    assert postgres_clusters.used_cluster(etc, lib) == ("", "main")
    (tmp_path / "lib/17/bin/postgres").touch()
    assert postgres_clusters.used_cluster(etc, lib) == ("17", "blue")


def test_the_connections_that_a_cluster_takes(tmp_path: Path) -> None:
    folder = tmp_path / "etc/17/main"
    folder.mkdir(parents=True)
    (folder / "postgresql.conf").write_text("data_directory = '/data/main'  # moved\nmax_connections = 400\n")
    program = tmp_path / "lib/17/bin/pg_controldata"
    program.parent.mkdir(parents=True)
    program.write_text(
        '#!/bin/sh\n[ "$1" = /data/main ] && echo "max_connections setting:              200"\n'
    )
    program.chmod(0o755)
    places = str(tmp_path / "etc"), str(tmp_path / "lib")
    assert postgres_clusters.max_connections("17", "main", *places) == 200
    assert postgres_clusters.max_connections("16", "main", *places) == 0
    assert postgres_clusters.max_connections("", "main", *places) == 0


def test_two_clusters_while_nothing_tells_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the middle of an upgrade of the system: the apps' port is in the configuration, too."""
    monkeypatch.setattr(postgres_clusters, "answer", lambda _words: "")
    for version, port in (("15", 5432), ("17", 5433)):
        for path in (f"etc/{version}/main/postgresql.conf", f"lib/{version}/bin/postgres"):
            (tmp_path / path).parent.mkdir(parents=True)
            (tmp_path / path).write_text(f"#port = 1\nport = {port}\t# (change requires restart)\n")
    assert postgres_clusters.used_cluster(str(tmp_path / "etc"), str(tmp_path / "lib")) == ("15", "main")
