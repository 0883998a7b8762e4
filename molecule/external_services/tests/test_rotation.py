"""homeport_secret is replaced while visitors are there: they lose nothing, and stay who they are."""

import json
from pathlib import Path
from typing import Any

import pytest
import testinfra

from tests.acceptance.album import Album
from tests.acceptance.operator import Operator
from tests.acceptance.under_load import load, lost

testinfra_hosts = ["ansible://web1"]

NEW = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
USER = (
    "from django.contrib.auth.models import User; User.objects.create_superuser('ada', 'a@b.example', 'pw')"
)


@pytest.fixture
def database(host: Any) -> Any:
    inventory = host.backend.ansible_runner.inventory_file
    return testinfra.get_host("ansible://db1", ansible_inventory=inventory, sudo=True)


@pytest.fixture
def old(host: Any) -> str:
    found: str = host.ansible.get_variables()["homeport_secret"]
    return found


def in_release(host: Any, code: str, release: str = "current") -> str:
    """The last line that some Python prints in a release, as the app's user."""
    folder = host.check_output(f"readlink -e /srv/memories/{release}")
    command = f"runuser -u memories -- /usr/local/lib/homeport/run {folder} manage.py shell -c %s"
    return str(host.check_output(command, code)).split("\n")[-1]


def secrets(folder: Path, secret: str, *previous: str) -> tuple[str, str]:
    """Options with which a playbook has other secrets than the inventory's."""
    file = folder / "secrets.json"
    file.write_text(json.dumps({"homeport_secret": secret, "homeport_secret_previous": previous}))
    return "-e", f"@{file}"


def logins(database: Any) -> list[str]:
    query = "select rolname from pg_roles where rolname ~ '^memories[.]' order by 1"
    return str(database.check_output(f'runuser -u postgres -- psql -qAt -c "{query}"')).split()


def signed_in(album: Album) -> bool:
    return album.get("/admin/").status_code == 200


def test_what_would_cut_the_site_off_is_refused(
    album: Album, operator: Operator, host: Any, database: Any, old: str, tmp_path: Path
) -> None:
    live, known = host.check_output("readlink -e /srv/memories/current"), logins(database)
    without = operator.run("external_services", *secrets(tmp_path, NEW))
    assert without.status != 0
    assert "memories: the password of its database" in without.output, without.output
    assert "homeport_secret_previous" in without.output
    assert without.changed == 0
    alone = operator.run("deploy", *secrets(tmp_path, NEW, old))
    assert alone.status != 0
    assert "Services reject the passwords of this release" in alone.output, alone.output
    assert host.check_output("readlink -e /srv/memories/current") == live
    assert logins(database) == known
    assert album.health()["status"] == "ok"


def test_nothing_is_lost_and_nobody_signed_out(
    album: Album, operator: Operator, host: Any, database: Any, old: str, tmp_path: Path
) -> None:
    in_release(host, USER)
    answer = album.submit(
        "/admin/login/?next=/admin/", {"username": "ada", "password": "pw", "next": "/admin/"}
    )
    assert answer.status_code == 302
    assert signed_in(album)
    signed = in_release(host, "from django.core import signing; print(signing.dumps('a link'))")
    reads = f"from django.core import signing; print(signing.loads('{signed}'))"
    before = host.check_output("readlink -e /srv/memories/current")
    (first,) = logins(database)

    with load(album, rate=50, path="/") as running:
        rotated = operator.run("external_services", *secrets(tmp_path, NEW, old), "-vvv", "--diff")
        assert rotated.status == 0, rotated.output
    assert lost(running) == 0
    assert signed_in(album)
    assert in_release(host, reads) == "a link"
    assert host.check_output("readlink -e /srv/memories/previous") == before
    # both get in, so that the old release can be gone back to
    assert len(logins(database)) == 2
    assert (
        in_release(host, "from album.models import Album; print(Album.objects.count() >= 0)", "previous")
        == "True"
    )

    with load(album, rate=50, path="/") as running:
        done = operator.run("external_services", *secrets(tmp_path, NEW), "-vvv", "--diff")
        assert done.status == 0, done.output
    assert lost(running) == 0
    # signed anew when they were seen with the fallback
    assert signed_in(album)
    assert "BadSignature" in in_release(
        host, f"try:\n {reads}\nexcept Exception as e: print(type(e).__name__)"
    )
    (second,) = logins(database)
    assert second != first
    query = (
        "select count(*) from pg_class where relowner <> 'memories'::regrole "
        "and relnamespace = 'public'::regnamespace"
    )
    assert database.check_output(f'runuser -u postgres -- psql -qAt -d memories -c "{query}"') == "0"

    back = operator.run(
        "rollback", "-e", "app=memories", "-e", f"to={Path(before).name}", *secrets(tmp_path, NEW)
    )
    assert back.status != 0
    assert "Services reject the passwords of this release" in back.output, back.output
    assert album.health()["status"] == "ok"

    # the inventory's own again, which is what the other tests run with
    again = operator.run("external_services", *secrets(tmp_path, old, NEW))
    assert again.status == 0, again.output
    assert first in logins(database)
