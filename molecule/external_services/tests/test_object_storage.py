"""Uploads in a bucket of an object storage that is not Homeport's."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests
import testinfra

from tests.acceptance import tasks
from tests.acceptance.album import Album
from tests.acceptance.operator import Operator
from tests.acceptance.under_load import wait_for

testinfra_hosts = ["ansible://web1"]


@pytest.fixture
def store(host: Any) -> Any:
    inventory = host.backend.ansible_runner.inventory_file
    return testinfra.get_host("ansible://store1", ansible_inventory=inventory, sudo=True)


@pytest.fixture
def endpoint(store: Any) -> str:
    return f"http://{store.ansible.get_variables()['ansible_host']}:8333"


@pytest.fixture
def key(host: Any) -> str:
    return str(host.ansible.get_variables()["homeport_secret"])[:40]


@pytest.fixture
def album(host: Any) -> Album:
    return Album(host.ansible.get_variables()["ansible_host"], "memories.example")


def vault(folder: Path, **keys: dict[str, str]) -> tuple[str, str]:
    """Options with which a playbook has the keys of buckets, by app."""
    file = folder / "vault.json"
    file.write_text(json.dumps({"vault_django_apps": keys}))
    return "-e", f"@{file}"


def objects(store: Any, bucket: str) -> list[str]:
    """The names of the objects in a bucket."""
    listed = f"echo fs.tree /buckets/{bucket} | /opt/s3/bin/weed shell -master=127.0.0.1:9333 2>&1"
    return re.findall(r"\S+\.(?:jpg|png)", store.check_output(listed))


def test_buckets_that_cannot_be_used_are_refused_before_anything_changes(
    host: Any, operator: Operator, store: Any, endpoint: str, key: str, tmp_path: Path
) -> None:
    """All of them in one run, each with its field."""
    keys = {"s3_access_key": "key-of-memories", "s3_secret_key": key}
    wrong: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
        "memories": ({"bucket": "uploads"}, {**keys, "s3_secret_key": "not-the-key-of-the-bucket"}),
        "unknown": ({"bucket": "uploads", "prefix": "u"}, {**keys, "s3_access_key": "nobody"}),
        "missing": ({"bucket": "nowhere"}, keys),
        "exposed": ({"bucket": "open"}, keys),
        "hidden": ({"bucket": "uploads", "prefix": "h", "public": True}, keys),
        "lost": ({"bucket": "uploads", "endpoint": endpoint.replace("8333", "8334")}, keys),
    }
    apps = {
        name: {
            **operator.app,
            "domains": [f"{name}.example"],
            "source": {"path": str(operator.source)},
            "media": {"s3": {"endpoint": endpoint, **bucket}},
        }
        for name, (bucket, _keys) in wrong.items()
    }
    before = host.check_output("readlink -e /srv/memories/current")
    options = vault(tmp_path, **{name: keys for name, (_bucket, keys) in wrong.items()})
    done = operator.run("external_services", *options, apps=apps)
    assert (done.status, done.changed) == (2, 0), done.output
    server = endpoint.partition("://")[2]
    for told in (
        f"vault_django_apps.memories.s3_secret_key: {server} rejects it",
        f"vault_django_apps.unknown.s3_access_key: {server} does not know this key",
        f"django_apps.missing.media.s3.bucket: {server} does not allow this key to",
        "django_apps.exposed.media.s3.public: is false, but everybody can read",
        "django_apps.hidden.media.s3.public: is true, but the bucket refuses readers",
        f"django_apps.lost.media.s3.endpoint: {server.replace('8333', '8334')} does not answer",
    ):
        assert told in done.output, (told, done.output)
    assert key not in done.output
    assert host.check_output("readlink -e /srv/memories/current") == before
    assert not host.file("/srv/unknown").exists
    for bucket in ("uploads", "open"):
        listed = f"echo fs.ls /buckets/{bucket} | /opt/s3/bin/weed shell -master=127.0.0.1:9333 2>&1"
        assert "homeport-check" not in store.check_output(listed)


def test_uploads_move_into_the_bucket_and_back(
    host: Any, operator: Operator, store: Any, endpoint: str, key: str, album: Album, tmp_path: Path
) -> None:
    """Those from before the move, and those from after it; the local files only go with a confirmation."""
    options = (*vault(tmp_path, memories={"s3_access_key": "key-of-memories", "s3_secret_key": key}), "-vvv")
    name = ("-e", "app=memories")
    changes = {
        "media": {"s3": {"bucket": "uploads", "endpoint": endpoint, "prefix": "moved"}},
        "requirements": ["requirements.txt", "requirements-django_q.txt", "requirements-s3.txt"],
    }
    files = "find /srv/memories/shared/media -type f -exec sha256sum {} + | sort"

    def image(photo: str) -> requests.Response:
        """A photo's thumbnail, as a visitor gets it."""
        address = str(album.get(photo).json()["thumbnail"])
        return album.get(address) if address.startswith("/") else requests.get(address, timeout=30)

    photo = tasks.upload(album)
    tasks.wait_until_done(album, photo, 180)
    thumbnail, before = image(photo).content, host.check_output(files)
    count = len(before.splitlines())
    done = operator.run("move_media", *options, *name, "--check", changes=changes)
    assert done.status == 0, done.output
    assert re.search(rf"memories: {count} files \(.*\) of {count} files .* would be copied", done.output), (
        done.output
    )
    assert objects(store, "uploads") == []

    done = operator.run("move_media", *options, *name, changes=changes)
    assert done.status == 0, done.output
    assert re.search(rf"memories: {count} files .* are in the bucket uploads, 0 differ", done.output), (
        done.output
    )
    assert key not in done.output
    seen = image(photo)
    assert seen.url.startswith(f"{endpoint}/uploads/moved/")
    assert (seen.headers["Content-Type"], seen.content) == ("image/jpeg", thumbnail)
    assert host.check_output(files) == before
    again = operator.run("move_media", *options, *name, changes=changes)
    assert (again.status, again.changed) == (0, 0), again.output

    later = tasks.upload(album)
    wait_for(lambda: tasks.state(album, later) == "done", 180)
    unconfirmed = operator.run("move_media", *options, *name, "-e", "finish=true", changes=changes)
    assert "add -e confirm=memories" in unconfirmed.output
    assert host.check_output(files) == before
    done = operator.run(
        "move_media", *options, *name, "-e", "finish=true", "-e", "confirm=memories", changes=changes
    )
    assert done.status == 0, done.output
    assert host.check_output(files) == ""

    done = operator.run("move_media", *name)
    assert done.status == 0, done.output
    assert set(before.splitlines()) < set(host.check_output(files).splitlines())
    for each in (photo, later):
        seen = image(each)
        assert (seen.status_code, seen.headers["Content-Type"]) == (200, "image/jpeg")
        assert "/media/" in seen.url
    removed = "echo fs.rm -r /buckets/uploads/moved | /opt/s3/bin/weed shell -master=127.0.0.1:9333 2>&1"
    store.check_output(removed)


def test_an_upload_is_in_the_bucket_and_read_by_signed_urls_alone(
    host: Any, operator: Operator, store: Any, endpoint: str, key: str, album: Album, tmp_path: Path
) -> None:
    options = vault(tmp_path, memories={"s3_access_key": "key-of-memories", "s3_secret_key": key})
    files = "find /srv/memories/shared/media -type f | wc -l"
    before = host.check_output(files)
    changes = {
        "media": {"s3": {"bucket": "uploads", "endpoint": endpoint, "prefix": "album"}},
        "requirements": ["requirements.txt", "requirements-django_q.txt", "requirements-s3.txt"],
    }
    done = operator.run("external_services", *options, "-vvv", "--diff", changes=changes)
    assert done.status == 0, done.output
    assert key not in done.output

    photo = tasks.upload(album)
    # the worker reads the upload and stores its images
    wait_for(lambda: tasks.state(album, photo) == "done", 180)
    name = r"album/(original|display|thumbnail)/[0-9a-f]{32}\.\w+"
    assert len(objects(store, "uploads")) == 3
    assert host.check_output(files) == before
    thumbnail = album.get(photo).json()["thumbnail"]
    assert re.match(rf"{endpoint}/uploads/{name}\?", thumbnail), thumbnail
    # signed again, in another second perhaps
    address = thumbnail.partition("?")[0]
    assert f"{address}?" in album.get(photo.removesuffix("status/")).text
    seen = requests.get(thumbnail, timeout=30)
    assert (seen.status_code, seen.headers["Content-Type"]) == (200, "image/jpeg")
    assert requests.get(address, timeout=30).status_code == 403
