# ruff: noqa: E501
from __future__ import annotations

import gzip
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY
from ansible_collections.homeport.django.plugins.module_utils.host import layout as release_layout
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Runner,
    interpreter,
    limit_met,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release import build as release_build
from ansible_collections.homeport.django.plugins.module_utils.host.release.build import (
    Build,
    fingerprint,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.build_remedy import build_remedy
from ansible_collections.homeport.django.plugins.module_utils.host.release.project import (
    folder_size,
    import_folders,
    precompress,
    search,
    settings_module,
    unlinked,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.static_files import (
    publish,
    withdraw,
)

from tests.unit.releases import HereLayout, HereRunner, layout, write


@pytest.fixture(autouse=True)
def anyone_may_test(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid() != 0:
        monkeypatch.setattr(os, "chown", lambda *_arguments, **_options: None)


MANAGE = """#!/usr/bin/env python
import os
def main():
    {line}
"""


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "blog.settings")', "blog.settings"),
        ("os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'blog.settings.local')", "blog.settings.local"),
        (
            'os.environ.setdefault(\n        "DJANGO_SETTINGS_MODULE",\n        "blog.settings",\n    )',
            "blog.settings",
        ),
        ('os.environ["DJANGO_SETTINGS_MODULE"] = "blog.settings"', "blog.settings"),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.environ.get("APP", "blog.dev"))', "blog.live"),
        ("os.environ.setdefault('DJANGO_SETTINGS_MODULE', os.getenv('OTHER', 'blog.dev'))", "blog.dev"),
        ('os.environ["DJANGO_SETTINGS_MODULE"] = os.environ["APP"]', "blog.live"),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", config("OTHER", default="blog.dev"))', "blog.dev"),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.getenv("OTHER"))', ""),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.getenv("BAD"))', ""),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", name)', ""),
        (
            'os.environ.setdefault("DJANGO_SETTINGS_MODULE", config("OTHER", default="blog.dev", cast=str))',
            "blog.dev",
        ),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.getenv("APP", DEFAULT))', "blog.live"),
        (
            'os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.getenv("OTHER", "production") + ".settings")',
            "",
        ),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.getenv("OTHER", "blog." + stage))', ""),
        ('os.environ["DJANGO_SETTINGS_MODULE"] = os.environ["APP"] + ".settings"', ""),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "blog.settings." + stage)', ""),
        ("pass", ""),
        ('# os.environ["DJANGO_SETTINGS_MODULE"] = "blog.old"', ""),
        (
            '# setdefault("DJANGO_SETTINGS_MODULE", "a")\n    environ.setdefault("DJANGO_SETTINGS_MODULE", "b")',
            "b",
        ),
        (
            'if "test" in sys.argv:\n        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "blog.test")\n'
            '    else:\n        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "blog.live")',
            "blog.test,blog.live",
        ),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "a.dev" if DEBUG else "a.live")', "a.dev,a.live"),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.environ.get("OTHER") or "a.live")', "a.live"),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.environ.get("APP") or "a.dev")', "blog.live"),
        ('os.environ.setdefault(key="DJANGO_SETTINGS_MODULE", value="a.b")', "a.b"),
        ('os.environ.update({"DJANGO_SETTINGS_MODULE": "a.b"})', "a.b"),
        ('os.environ.update(DJANGO_SETTINGS_MODULE="a.b")', "a.b"),
        (
            'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "a.b")\n'
            '    if os.environ["DJANGO_SETTINGS_MODULE"] == "a.c":\n        os.environ["DJANGO_SETTINGS_MODULE"] = "a.b"',
            "a.b",
        ),
        (
            'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "a.b")\n'
            '    print(os.environ.get("DJANGO_SETTINGS_MODULE", "none"))',
            "a.b",
        ),
        (
            'name = os.environ.get("DJANGO_SETTINGS_MODULE", "a.b")\n'
            '    os.environ.setdefault("DJANGO_SETTINGS_MODULE", name)',
            "a.b",
        ),
        ('execute(os.environ.get("DJANGO_SETTINGS_MODULE", "a.b"))', "a.b"),
        # syntax that no Python has yet
        ('# setdefault("DJANGO_SETTINGS_MODULE", "a.old")\n    a ?? b', ""),
        ('a ?? b\n    os.environ.setdefault(\n        "DJANGO_SETTINGS_MODULE", "a.b")', "a.b"),
        ('a ?? b\n    os.environ["DJANGO_SETTINGS_MODULE"] = "a." + b', ""),
    ],
)
def test_settings_module(line: str, module: str, tmp_path: Path) -> None:
    write(tmp_path / "manage.py", MANAGE.format(line=line))
    assert settings_module(f"{tmp_path}/manage.py", {"APP": "blog.live", "BAD": "a b"}) == module
    write(tmp_path / "manage.py", "\ufeff" + MANAGE.format(line=line))
    assert settings_module(f"{tmp_path}/manage.py", {"APP": "blog.live", "BAD": "a b"}) == module


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {},
            ["blog_tasks/celery.py names the settings blog_tasks.settings", "beat: blog/celery.py names the"],
        ),
        ({"settings": "blog.settings"}, []),
    ],
)
def test_settings_of_celery_that_are_not_those_of_manage_py(
    fields: dict[str, Any], told: list[str], tmp_path: Path
) -> None:
    named = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{}")\n'
    write(tmp_path / "source/blog_tasks/celery.py", named.format("blog_tasks.settings"))
    write(tmp_path / "source/blog_mails.py", named.format("blog.settings"))
    write(tmp_path / "source/blog/celery.py", named.format("blog.live"))
    processes = {
        "worker": {"kind": "celery", "application": "blog_tasks.celery:app"},
        "chosen": {
            "kind": "celery",
            "application": "blog_tasks",
            "env": {"DJANGO_SETTINGS_MODULE": "blog.settings"},
        },
        "same": {"kind": "celery", "application": "blog_mails"},
        "beat": {"kind": "celery_beat"},
        "assigns": {"kind": "celery", "application": "blog_late.celery:app"},
        "other": {"command": "sleep 9"},
    }
    write(
        tmp_path / "source/blog_late/celery.py",
        'os.environ["DJANGO_SETTINGS_MODULE"] = "blog.late"\n',
    )
    found = build(tmp_path / "app", setup="worker", processes=processes, **fields)
    write(Path(found.folder) / "config/env")
    messages = found.celery_settings([str(tmp_path / "source")], "blog.settings")
    assert [part in message for message, part in zip(messages, told, strict=True)] == [True] * len(told)
    assert all("env: {DJANGO_SETTINGS_MODULE: " in message for message in messages)


def test_no_settings_module_without_manage_py(tmp_path: Path) -> None:
    assert settings_module(f"{tmp_path}/manage.py", {"APP": "blog.live", "BAD": "a b"}) == ""


def test_search(tmp_path: Path) -> None:
    for name in ("a/manage.py", "b/c/manage.py", "b/c/d/e/manage.py", "node_modules/manage.py", "tests/manage.py", "venv/x/manage.py"):  # fmt: skip
        write(tmp_path / name)
    found = [os.path.relpath(path, tmp_path) for path in search(str(tmp_path), "manage.py", depth=4)]
    assert found == ["a/manage.py", "b/c/manage.py"]
    assert len(search(str(tmp_path), "manage.py", depth=2)) == 1
    assert search(str(tmp_path), "nothing.py", depth=4) == []


def build(folder: Path, **fields: Any) -> Build:
    found = Build(layout(folder / "app", **fields), "revision", "0123456789abcdef", None)
    found.runner = HereRunner(found.layout)
    os.makedirs(found.folder, exist_ok=True)
    return found


def find_manage(folder: Path, *names: str, **fields: Any) -> tuple[str, str]:
    for name in names:
        write(folder / "source" / name)
    (folder / "source").mkdir(exist_ok=True)
    command, where, _settings = build(folder, **fields).find_manage(str(folder / "source"))
    return command, os.path.relpath(where, folder / "source")


def test_manage_py_is_found(tmp_path: Path) -> None:
    assert find_manage(tmp_path, "manage.py", "sub/manage.py") == ("python manage.py", ".")


def test_the_nearest_manage_py(tmp_path: Path) -> None:
    assert find_manage(tmp_path, "a/manage.py", "b/c/manage.py") == ("python manage.py", "a")


def test_two_manage_py_equally_near(tmp_path: Path) -> None:
    with pytest.raises(
        DeployError, match=r"several manage\.py \(a/manage\.py, b/manage\.py\): name one in manage"
    ):
        find_manage(tmp_path, "a/manage.py", "b/manage.py")


def test_manage_py_four_folders_down(tmp_path: Path) -> None:
    assert find_manage(tmp_path, "a/b/c/d/manage.py") == ("python manage.py", "a/b/c/d")


def test_no_manage_py(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"no manage\.py: name the management command"):
        find_manage(tmp_path, "README")


def test_manage_as_given(tmp_path: Path) -> None:
    assert find_manage(tmp_path, "a/manage.py", "b/manage.py", manage="b/manage.py") == (
        "python manage.py",
        "b",
    )
    with pytest.raises(DeployError, match=r"manage: the source has no c/manage\.py"):
        find_manage(tmp_path, manage="c/manage.py")


def test_manage_in_a_folder_with_spaces_and_with_arguments(tmp_path: Path) -> None:
    found = find_manage(tmp_path, "my dir/manage.py", manage="'my dir/manage.py' --a 'b c'")
    assert found == ("python manage.py --a 'b c'", "my dir")


def test_another_management_command(tmp_path: Path) -> None:
    assert find_manage(tmp_path, manage="python -m blog") == ("python -m blog", ".")


def test_a_package_needs_no_manage_py(tmp_path: Path) -> None:
    assert find_manage(tmp_path, source={"package": "blog"}) == ("python -m django", ".")


@pytest.mark.parametrize(
    ("fields", "answer", "files", "application"),
    [
        ({"web": {"application": "a.b:c"}}, {}, [], "a.b:c"),
        ({}, {"WSGI_APPLICATION": "blog.wsgi.application"}, [], "blog.wsgi:application"),
        ({"web": {"server": "asgi"}}, {"ASGI_APPLICATION": "blog.routing.app"}, [], "blog.routing:app"),
        ({}, {"ROOT_URLCONF": "blog.urls"}, ["blog/wsgi.py"], "blog.wsgi:application"),
        ({}, {"ROOT_URLCONF": "config.urls"}, ["deploy/wsgi.py"], "deploy.wsgi:application"),
        ({"web": {"server": "asgi"}}, {}, ["x/y/asgi.py"], "x.y.asgi:application"),
    ],
)
def test_the_application(
    fields: dict[str, Any], answer: dict[str, str], files: list[str], application: str, tmp_path: Path
) -> None:
    for name in files:
        write(tmp_path / "source" / name)
    blank = {"WSGI_APPLICATION": "", "ASGI_APPLICATION": "", "ROOT_URLCONF": ""}
    found = build(tmp_path, **fields).find_application({**blank, **answer}, str(tmp_path / "source"))
    assert found == application


def test_no_application(tmp_path: Path) -> None:
    blank = {"WSGI_APPLICATION": "", "ROOT_URLCONF": ""}
    for names in ([], ["a/wsgi.py", "b/wsgi.py"]):
        for name in names:
            write(tmp_path / "source" / name)
        with pytest.raises(DeployError, match=r"name it in web\.application"):
            build(tmp_path / str(len(names))).find_application(blank, str(tmp_path / "source"))


def test_the_other_application_is_named(tmp_path: Path) -> None:
    write(tmp_path / "source/blog/asgi.py")
    blank = {"WSGI_APPLICATION": "", "ROOT_URLCONF": "blog.urls"}
    with pytest.raises(DeployError, match=r"web\.application, or set web\.server: asgi"):
        build(tmp_path).find_application(blank, str(tmp_path / "source"))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"settings/production.py": "", "shop/celery.py": "app = Celery('shop')"}, "shop.celery"),
        (
            {"settings.py": "CELERY_BROKER_URL = 'x'", "shop/celery_app.py": "app = Celery('shop')"},
            "shop.celery_app",
        ),
        ({"settings/celery.py": "", "shop/celery.py": "app = Celery('shop')"}, ""),
        (
            {
                "settings/__init__.py": "from shop.celery import app as celery_app",
                "shop/celery.py": "Celery()",
            },
            "",
        ),
        ({"settings/__init__.py": "from .base import *", "shop/celery.py": "Celery()"}, ""),
        ({"settings/__init__.py": "from shop.celery import application", "shop/celery.py": "Celery()"}, ""),
        (
            {
                "settings/__init__.py": "from shop.celery import (\n    app as celery_app,\n)",
                "shop/celery.py": "Celery()",
            },
            "",
        ),
        ({"settings.py": "import shop.celery", "shop/celery.py": "Celery()"}, ""),
        (
            {"settings.py": "from celery.schedules import (\n  crontab\n)", "shop/celery.py": "Celery()"},
            "shop.celery",
        ),
        ({"settings.py": "from kombu import (\n  Queue\n)", "shop/celery.py": "Celery()"}, "shop.celery"),
        ({"settings.py": "celery = make()", "shop/celery.py": "Celery()"}, ""),
        ({"shop/celery.py": "Celery()"}, ""),  # settings that are installed
        ({"settings/production.py": "", "shop/celery.py": "# nothing"}, ""),
        ({"settings/production.py": ""}, ""),
    ],
)
def test_celery_beside_the_settings(files: dict[str, str], found: str, tmp_path: Path) -> None:
    for name, text in files.items():
        write(tmp_path / "source" / name, text)
    building = build(tmp_path)
    building.source = str(tmp_path / "source")
    building.spec["celery"] = {"queue": "", "beat": "", "other": "x.y"}
    building.record.update(settings="settings.production", application="shop.wsgi:application")
    answer = {"ROOT_URLCONF": "shop.urls"}
    if found:
        told = rf"processes\.beat\.application: .* package settings has no Celery .*: {found}$"
        with pytest.raises(DeployError, match=told):
            building.check_celery(answer, str(tmp_path / "source"))
    else:
        building.check_celery(answer, str(tmp_path / "source"))
    building.spec["celery"] = {"queue": "shop"}
    building.check_celery(answer, str(tmp_path / "source"))


def release_env(folder: Path, **fields: Any) -> dict[str, str]:
    """What sh makes of the environment that a release writes."""
    found = build(folder, **fields)
    project = folder / "my project's"
    write(
        project / "manage.py",
        MANAGE.format(line='os.environ.setdefault("DJANGO_SETTINGS_MODULE", "blog.settings")'),
    )
    os.makedirs(f"{found.folder}/config")
    named = settings_module(f"{project}/manage.py", {})
    found.write_environment("python manage.py", str(project), str(folder), named)
    script = f". {shlex.quote(found.folder)}/config/release.env; exec env -0"
    out = subprocess.run(
        ["sh", "-euc", script], env={"PATH": os.environ["PATH"]}, capture_output=True, check=True
    ).stdout
    return dict(pair.split("=", 1) for pair in out.decode().split("\0") if pair)


def test_the_environment_of_a_release(tmp_path: Path) -> None:
    found = release_env(tmp_path, env={"CONFIG": {"format": '{"it\'s": "{STATIC_ROOT}"}'}})
    folder = next((tmp_path / "app/releases").iterdir())
    assert found["STATIC_ROOT"] == f"{folder}/static"
    assert found["CONFIG"] == '{"it\'s": "' + f"{folder}/static" + '"}'
    assert found["RELEASE"] == folder.name
    assert found["DJANGO_SETTINGS_MODULE"] == "blog.settings"
    assert found["PATH"].startswith(f"{folder}/bin:{folder}/venv/bin:")
    assert found["PYTHONPATH"] == f"{tmp_path}/my project's:{tmp_path}"


def test_modules_in_src_are_found(tmp_path: Path) -> None:
    write(tmp_path / "src/blog/__init__.py")
    write(tmp_path / "my project's/src/__init__.py")  # a package called src
    found = release_env(tmp_path, node="22")
    assert found["PYTHONPATH"] == f"{tmp_path}/my project's:{tmp_path}:{tmp_path}/src"
    python = os.path.basename(interpreter(""))
    assert f"/app/cache/node-22-{python}/bin:{os.environ['PATH']}" in found["PATH"]


def test_src_is_no_place_of_modules_where_the_settings_are_elsewhere(tmp_path: Path) -> None:
    """A package in it could hide what is installed."""
    top = str(tmp_path)
    for path in ("src/celery/__init__.py", "src/config/settings.py"):
        write(tmp_path / path)
    assert import_folders(top, top, "src") == [top]
    assert import_folders(top, top, "config") == [top, f"{top}/src"]
    write(tmp_path / "config/__init__.py")
    assert import_folders(top, top, "config") == [top]


def test_the_environment_with_an_overlay(tmp_path: Path) -> None:
    found = release_env(tmp_path, overlay=True, settings="blog.production")
    assert found["DJANGO_SETTINGS_MODULE"] == "homeport_settings"
    assert found["HOMEPORT_BASE_SETTINGS"] == "blog.production"
    assert found["PYTHONPATH"].endswith(f"/config:{tmp_path}/my project's:{tmp_path}")


def test_settings_that_nobody_names(tmp_path: Path) -> None:
    found = build(tmp_path)
    with pytest.raises(DeployError, match="name it in settings"):
        found.write_environment("python manage.py", str(tmp_path), str(tmp_path), "")


def test_settings_of_which_manage_py_names_several(tmp_path: Path) -> None:
    found = build(tmp_path)
    words = "python manage.py", str(tmp_path), str(tmp_path)
    with pytest.raises(
        DeployError, match=r"several settings modules \(a\.dev, a\.live\): name one in settings"
    ):
        found.write_environment(*words, "a.dev,a.live")
    declared = build(tmp_path / "declared", settings="a.live")
    os.makedirs(f"{declared.folder}/config")
    declared.write_environment(*words, "a.dev,a.live")
    assert declared.record["settings"] == "a.live"


def test_files_are_written_into_the_source(tmp_path: Path) -> None:
    found = build(tmp_path, files={"conf/local.ini": "x", "settings.py": "y"})
    source = tmp_path / "source"
    write(source / "settings.py", "old")
    for number, text in enumerate(["a=1\n", "new"]):
        write(tmp_path / "app/config/files" / str(number), text)
    found.add_configuration(str(source))
    assert (source / "conf/local.ini").read_text() == "a=1\n"
    assert (source / "settings.py").read_text() == "new"
    assert (source / "settings.py").stat().st_mode & 0o777 == 0o640


def test_files_do_not_leave_the_source_through_a_link(tmp_path: Path) -> None:
    found = build(tmp_path, files={"conf/local.ini": "x"})
    (tmp_path / "source").mkdir()
    (tmp_path / "source/conf").symlink_to("/tmp")
    write(tmp_path / "app/config/files/0")
    with pytest.raises(DeployError, match="leads out of the source"):
        found.add_configuration(str(tmp_path / "source"))


def test_data_beside_the_code_survives(tmp_path: Path) -> None:
    found = build(tmp_path, shared=["var/index"])
    source = Path(found.folder) / "src"
    write(source / "db.sqlite3", "data")
    write(source / "media/a.png", "picture")
    write(source / "var/index/1", "index")
    answer = {
        "MEDIA_ROOT": f"{source}/media/",
        "sqlite": [f"{source}/db.sqlite3", ":memory:", "/elsewhere/db"],
    }
    found.keep_shared(str(source))
    found.keep_data(answer)
    shared = tmp_path / "app/shared"
    assert (source / "db.sqlite3").resolve() == shared / "data/db.sqlite3"
    assert (shared / "media/a.png").read_text() == "picture"
    assert (shared / "files/var/index/1").read_text() == "index"
    (shared / "data/db.sqlite3").write_text("newer")

    again = build(tmp_path / "again", shared=["var/index"])
    again.layout.shared = str(shared)
    source = Path(again.folder) / "src"
    write(source / "db.sqlite3", "data")
    write(source / "media/a.png", "other")
    write(source / "media/b.png", "second")
    again.keep_shared(str(source))
    again.keep_data({"MEDIA_ROOT": f"{source}/media", "sqlite": [f"{source}/db.sqlite3"]})
    assert (source / "db.sqlite3").read_text() == "newer"
    assert (source / "media/a.png").read_text() == "picture"
    assert (source / "media/b.png").read_text() == "second"


def test_data_that_is_shared_by_name_stays_where_it_is(tmp_path: Path) -> None:
    """The settings name media and a database in a folder that ``shared`` keeps already."""
    for name in ("one", "two"):
        found = build(tmp_path / name, shared=["var/", "pictures/"])
        found.layout.shared = str(tmp_path / "shared")
        os.makedirs(f"{found.layout.shared}/media", exist_ok=True)
        source = Path(found.folder) / "src"
        write(source / "var/db.sqlite3", "data")
        write(source / "pictures/a.png", "picture")
        found.keep_shared(str(source))
        found.keep_data(
            {"MEDIA_ROOT": f"{source}/pictures", "sqlite": [f"{source}/var/db.sqlite3", "db.sqlite3"]}
        )
        kept = tmp_path / "shared/files"
        assert (source / "pictures").resolve() == kept / "pictures"
        assert (source / "var/db.sqlite3").resolve() == kept / "var/db.sqlite3"
        assert not (kept / "var/db.sqlite3").is_symlink()
        assert list((tmp_path / "shared/media").iterdir()) == []


def test_a_source_that_is_reached_through_a_link(tmp_path: Path) -> None:
    """A server's /srv may be one."""
    found = build(tmp_path / "real")
    (tmp_path / "srv").symlink_to(tmp_path / "real")
    found.folder = found.folder.replace(str(tmp_path / "real"), str(tmp_path / "srv"))
    source = (Path(found.folder) / "src").resolve()
    write(source / "db.sqlite3", "data")
    found.keep_data({"MEDIA_ROOT": "", "sqlite": [f"{source}/db.sqlite3"]})
    assert (source / "db.sqlite3").resolve() == tmp_path / "real/app/shared/data/db.sqlite3"


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = build(tmp_path)
    monkeypatch.setattr(release_build, "SMALLEST_SPACE", 0)

    def fail() -> None:
        write(Path(found.folder) / "half")
        raise DeployError("no")

    monkeypatch.setattr(found, "fetch_code", fail)
    with pytest.raises(DeployError):
        found.fetch()
    assert os.listdir(found.layout.releases) == []


def test_what_a_build_that_was_interrupted_left_goes(tmp_path: Path) -> None:
    found = build(tmp_path)
    write(Path(found.layout.releases) / "20260101T000000-aaaa/src/x")
    write(Path(found.layout.releases) / "20260101T000001-bbbb/release.json", "{}")
    found.sweep()
    assert os.listdir(found.layout.releases) == ["20260101T000001-bbbb"]


def test_a_full_disk_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_build, "SMALLEST_SPACE", 1 << 60)
    with pytest.raises(DeployError, match="Not enough disk space to build"):
        build(tmp_path).fetch()


def test_the_fingerprint_follows_what_a_release_is_made_of(tmp_path: Path) -> None:
    def mark(revision: str = "1", folder: str = "a", **fields: Any) -> str:
        return fingerprint(layout(tmp_path / folder, **fields), revision)

    assert mark() == mark()
    assert mark(databases={}) == mark()
    assert mark(keep_releases=9) == mark()  # how many are kept does not change what is in one
    different = {
        mark(),
        mark("2"),
        mark(build=["make"]),
        mark(python="3.12"),
        mark(static="none"),
        mark(files={"x": "y"}),
        mark(databases={"reports": {"migrate": True}}),
    }
    write(tmp_path / "a/config/env", "export A=1\n")
    different.add(mark())
    write(tmp_path / "a/config/env", "export A=2\n")
    different.add(mark())
    (tmp_path / "a/config/env").rename(tmp_path / "a/config/env2")
    different.add(mark())
    assert len(different) == 10


BIG = "body { color: red }\n" * 200


def test_precompress(tmp_path: Path) -> None:
    for name in ("a.css", "sub/b.js", "has.svg", "small.css", "picture.png"):
        write(tmp_path / name, "x" if name == "small.css" else BIG)
    write(tmp_path / "has.svg.gz", "made by the project")
    precompress(str(tmp_path))
    assert gzip.decompress((tmp_path / "a.css.gz").read_bytes()).decode() == BIG
    assert (tmp_path / "sub/b.js.gz").exists()
    assert (tmp_path / "has.svg.gz").read_text() == "made by the project"
    assert not (tmp_path / "small.css.gz").exists()
    assert not (tmp_path / "picture.png.gz").exists()
    if shutil.which("brotli"):
        assert (tmp_path / "a.css.br").exists()
    assert os.path.samefile(
        tmp_path / "a.css.gz", tmp_path / "sub/b.js.gz"
    )  # the same content, compressed once
    write(tmp_path / "other.css", f"{BIG}y")
    precompress(str(tmp_path))
    assert gzip.decompress((tmp_path / "other.css.gz").read_bytes()).decode() == f"{BIG}y"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    precompress(str(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def release(found: HereLayout, name: str, files: dict[str, str]) -> str:
    folder = Path(found.releases) / name
    for file, text in files.items():
        write(folder / "static" / file, text)
    write(folder / "release.json", '{"static_root": "' + str(folder / "static") + '"}')
    return str(folder)


def public(found: HereLayout) -> dict[str, str]:
    root = Path(found.static)
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_static_files_of_both_releases_are_served(tmp_path: Path) -> None:
    found = layout(tmp_path)
    first = release(found, "1", {"a.1.css": "1", "admin/same.js": "s", "plain.css": "old"})
    publish(f"{first}/static", found)
    second = release(found, "2", {"a.2.css": "2", "admin/same.js": "s", "plain.css": "new"})
    publish(f"{second}/static", found)
    assert public(found) == {"a.1.css": "1", "a.2.css": "2", "admin/same.js": "s", "plain.css": "new"}
    assert os.path.samefile(f"{second}/static/a.2.css", f"{found.static}/a.2.css")
    assert os.stat(f"{found.static}/a.2.css").st_mode & 0o777 == 0o640

    withdraw(found, [second])
    assert public(found) == {"a.2.css": "2", "admin/same.js": "s", "plain.css": "new"}
    shutil.rmtree(f"{second}/static/admin")
    withdraw(found, [second])
    assert not os.path.exists(f"{found.static}/admin")


def test_withdrawing_nothing_removes_nothing(tmp_path: Path) -> None:
    found = layout(tmp_path)
    publish(f"{release(found, '1', {'a.css': '1'})}/static", found)
    withdraw(found, [])
    assert public(found) == {"a.css": "1"}


def test_a_link_out_of_the_app_is_not_published(tmp_path: Path) -> None:
    found = layout(tmp_path / "app")
    secret = write(tmp_path / "secret", "secret")
    root = f"{release(found, '1', {'a.css': '1'})}/static"
    os.symlink(secret, f"{root}/leak.css")
    # nor, inside the release, what is not the app's own
    configuration = write(Path(found.releases) / "1/config/env", "secret")
    os.chown(configuration, 0, 0)
    os.symlink(configuration, f"{root}/env.css")
    publish(root, found)
    assert "leak.css" not in public(found)
    if found.ids()[0] != 0:
        assert public(found) == {"a.css": "1"}


def test_a_folder_of_static_files_is_reached_through_no_link(tmp_path: Path) -> None:
    """The names of another app's folders would come to be where this one can look for them."""
    found = layout(tmp_path / "app")
    release(found, "1", {"a.css": "1"})
    write(tmp_path / "other/shared/media/anna/x.jpg", "x")
    os.symlink(tmp_path / "other", f"{found.releases}/1/other")
    for path in (
        f"{found.releases}/1/other/shared",
        f"{found.releases}/1/other",
        str(tmp_path / "other/shared"),
    ):
        with pytest.raises(DeployError, match="Static files: "):
            publish(path, found)
    assert not os.path.isdir(found.static) or os.listdir(found.static) == []


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manage.py")
    assert settings_module(f"{tmp_path}/manage.py", {"APP": "blog.live", "BAD": "a b"}) == ""
    found = layout(tmp_path / "app")
    root = f"{release(found, '1', {'a.css': '1'})}/static"
    os.mkfifo(f"{root}/pipe.css")
    publish(root, found)
    assert public(found) == {"a.css": "1"}


def test_a_link_to_a_file_of_the_release_is_published_as_that_file(tmp_path: Path) -> None:
    found = layout(tmp_path / "app")
    root = f"{release(found, '1', {'a.css': '1'})}/static"
    write(Path(found.releases) / "1/src/b.css", "2")
    os.symlink(f"{found.releases}/1/src/b.css", f"{root}/b.css")
    os.symlink("/etc/passwd", f"{root}/c.css")
    unlinked(root, f"{found.releases}/")
    publish(root, found)
    assert public(found) == {"a.css": "1", "b.css": "2"}


def test_folder_size(tmp_path: Path) -> None:
    write(tmp_path / "a/b", "12345")
    write(tmp_path / "c", "123")
    assert folder_size(str(tmp_path)) == 8


@pytest.mark.parametrize(
    ("path", "folder"), [("data", True), ("var/index.d/", True), ("settings.ini", False), ("there.d", True)]
)
def test_a_shared_path_is_a_folder_or_a_file(path: str, folder: bool, tmp_path: Path) -> None:
    found = build(tmp_path, shared=[path])
    source = Path(found.folder) / "src"
    (source / "there.d").mkdir(parents=True)
    found.keep_shared(str(source))
    kept = tmp_path / "app/shared/files" / path
    assert (source / path).resolve() == kept
    assert kept.is_dir() == folder


def test_another_subdirectory_is_another_release(tmp_path: Path) -> None:
    marks = set()
    for subdirectory in ("one", "two"):
        found = build(tmp_path, source={"path": "/app", "subdirectory": subdirectory})
        marks.add(fingerprint(found.layout, "sha256:same"))
    assert len(marks) == 2


@pytest.mark.parametrize(
    ("limits", "told", "field"),
    [
        ("ulimit -p 512\nulimit -d 300\n", "", "limits.memory: "),
        ("ulimit -p 512\nulimit -d 300\n", "MemoryError", "limits.memory: "),
        ("ulimit -p 512\n", "MemoryError", ""),
        ("ulimit -p 512\n", "", ""),
        ("ulimit -p 512\nulimit -d 300\n", "RuntimeError: can't start new thread", "limits.processes: "),
        ("ulimit -p 512\nulimit -d 300\n", "SyntaxError", ""),
    ],
)
def test_a_limit_that_ended_a_build_is_named(limits: str, told: str, field: str, tmp_path: Path) -> None:
    write(tmp_path / "config/limits", limits)
    found = limit_met([f"{LIBRARY}/run", str(tmp_path), "manage.py", "check"], told)
    assert found.strip().startswith(field)
    assert bool(found) is bool(field)
    assert limit_met(["uv", "pip", "install"], told) == ""
    assert limit_met([f"{LIBRARY}/run", f"{tmp_path}/none", "true"], told) == ""


@pytest.fixture
def exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[HereLayout, str, Path]]:
    """A release of another user's, its static files, and a file of root's that a link could lead to."""
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    found = layout(tmp_path / "app")
    monkeypatch.setattr(found, "ids", lambda: (65534, 65534))
    root = f"{release(found, '1', {'a.css': '1', 'deep/b.css': '2'})}/static"
    subprocess.run(["chown", "-R", "65534:65534", root], check=True)
    secret = write(tmp_path / "secret/b.css", "secret")
    before = os.stat(secret), os.stat(secret.parent)
    yield found, root, secret
    assert [(entry.st_uid, entry.st_gid, entry.st_mode) for entry in before] == [
        (entry.st_uid, entry.st_gid, entry.st_mode) for entry in (os.stat(secret), os.stat(secret.parent))
    ]
    assert "secret" not in public(found).values()


def exchange(path: str, target: Path) -> None:
    os.rename(path, f"{path}.aside")
    os.symlink(target, path)


@pytest.mark.parametrize("moment", ["open", "fstat", "fchown", "fchmod", "link"])
def test_a_file_that_is_exchanged_for_a_link_while_it_is_published(
    moment: str, exchanged: tuple[HereLayout, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, root, secret = exchanged
    original = getattr(os, moment)
    done: list[str] = []

    def late(*arguments: Any, **options: Any) -> Any:
        of_a_file = moment != "open" or arguments[0] == "a.css"
        if of_a_file and not done:
            done.append(moment)
            exchange(f"{root}/a.css", secret)
        return original(*arguments, **options)

    monkeypatch.setattr(os, moment, late)
    publish(root, found)
    assert done == [moment]


def test_a_folder_that_is_exchanged_for_a_link_while_it_is_published(
    exchanged: tuple[HereLayout, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, root, secret = exchanged
    original = os.open
    done: list[str] = []

    def late(path: Any, *arguments: Any, **options: Any) -> int:
        if path in ("deep", "b.css") and len(done) < 2:
            done.append(path)
            if path == "b.css":
                exchange(f"{root}/deep", secret.parent)
        return original(path, *arguments, **options)

    monkeypatch.setattr(os, "open", late)
    publish(root, found)
    assert "b.css" in done


def test_a_command_that_is_ended_shows_what_it_has_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Runner(layout(tmp_path), seconds=0.1)
    monkeypatch.setattr(runner, "words", lambda argv, cwd: argv)
    monkeypatch.setattr(runner, "scope", lambda: None)
    with pytest.raises(DeployError, match=r"did not finish within 1 s:\nhalf way"):
        runner.run(["sh", "-c", "echo half way; sleep 9"], "building")


def test_the_hosts_proxies_hold_for_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = '# the company\'s\nHTTPS_PROXY="http://proxy:3128"\nno_proxy=localhost\nPATH=/x\nUV_INDEX_URL=https://i/\n'
    told += "NODE_EXTRA_CA_CERTS=/etc/ca.pem\nnpm_config_cache=/x\n"
    monkeypatch.setattr(release_layout, "ENVIRONMENT", str(write(tmp_path / "environment", told)))
    for name in ("HTTPS_PROXY", "no_proxy", "NODE_EXTRA_CA_CERTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_INDEX_URL", "https://own/")
    base = Runner(layout(tmp_path / "app")).base
    assert (base["HTTPS_PROXY"], base["no_proxy"]) == ("http://proxy:3128", "localhost")
    assert (base["UV_INDEX_URL"], base["PATH"]) == ("https://own/", release_layout.PATH)
    assert base["NODE_EXTRA_CA_CERTS"] == "/etc/ca.pem"
    assert base["npm_config_cache"].startswith(str(tmp_path))


def test_npm_trusts_whom_the_host_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_layout, "ENVIRONMENT", str(tmp_path / "missing"))
    monkeypatch.delenv("NODE_EXTRA_CA_CERTS", raising=False)
    monkeypatch.setattr(release_layout, "AUTHORITIES", str(tmp_path / "authorities"))
    assert "NODE_EXTRA_CA_CERTS" not in Runner(layout(tmp_path / "app")).base
    write(tmp_path / "authorities", "-----BEGIN CERTIFICATE-----\n")
    assert Runner(layout(tmp_path / "app")).base["NODE_EXTRA_CA_CERTS"] == str(tmp_path / "authorities")


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            'error vue-i18n@11.4.6: The engine "node" is incompatible with this module. Expected version ">= 22". Got "20.19.2"',
            "node: name a version, such as '22'",
        ),
        ("npm ERR! code EBADENGINE", "node: name a version"),
        (
            "npm warn EBADENGINE\nnpm error code SELF_SIGNED_CERT_IN_CHAIN\n",
            "The host does not trust this certificate: add its authority",
        ),
        ("info x\nerror Error: self-signed certificate in certificate chain\n", "The host does not trust "),
        ("curl: (60) self-signed certificate in certificate chain\n", ""),
        ("sh: 1: npm: not found\n", "node: name a version"),
        ("one\nsh: 3: make: not found\n", "system_packages: name the Debian package with the command make"),
        ("Error: module not found", ""),
        ("sh: 1: pnpm: not found\n", "build: write npx pnpm in its place"),
        ("/bin/bash: line 1: yarn: command not found\n", "build: write npx yarn in its place"),
        ("/bin/bash: line 1: npm: command not found\n", "node: name a version"),
        ("bash: sass: command not found\n", "system_packages: name the Debian package with the command sass"),
        (
            "make: npm: No such file or directory\nmake: *** [Makefile:2: all] Error 127\n",
            "node: name a version",
        ),
        ("make: *** No rule to make target 'all'.  Stop.\n", ""),
        ("/usr/bin/env: \u2018node\u2019: No such file or directory\n", "node: name a version"),
        ("env: 'node': No such file or directory\n", "node: name a version"),
        (
            "CommandError: Can't find msgfmt. Make sure you have GNU gettext tools",
            "system_packages: [gettext]",
        ),
        ("npm WARN EBADENGINE Unsupported engine {\nsrc/x.ts(3,4): error TS2322: bad\n", ""),
        ("npm error code EBADENGINE\n", "node: name a version"),
    ],
)
def test_a_build_command_that_fails_says_what_would_help(printed: str, told: str) -> None:
    assert build_remedy(printed).startswith(f"\n{told}" if told else "")
    assert bool(build_remedy(printed)) == bool(told)
