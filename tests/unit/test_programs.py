"""Programs that run in a release: what is asked of a project's database, in a project that is really there."""

from __future__ import annotations

import ast
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.programs import command
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import MARK, argv_of

from tests.unit.releases import write

ROOT = Path(__file__).resolve().parents[2]
OURS = ("__init__", "command")  # run by Homeport
INITIAL = """
        migrations.CreateModel("Post", fields=[
            ("id", models.BigAutoField(primary_key=True)),
            ("title", models.CharField(max_length=50)),
            ("note", models.TextField(null=True)),
        ]),
"""


def migration(name: str, after: str, operations: str, more: str = "") -> tuple[str, str]:
    depends = f"('blog', '{after}')" if after else ""
    text = (
        "from django.db import migrations, models\n\n\ndef fail(apps, editor):\n    raise RuntimeError('out of ink')\n"
        f"\n\nclass Migration(migrations.Migration):\n    dependencies = [{depends}]\n    operations = [{operations}]\n"
        f"{more}"
    )
    return name, text


class Project:
    """A Django project with an SQLite database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "db.sqlite3"
        write(folder / "blog/__init__.py", "")
        write(folder / "blog/migrations/__init__.py", "")
        write(
            folder / "settings.py",
            f"SECRET_KEY = 'x'\nINSTALLED_APPS = ['blog']\nUSE_TZ = True\nDATABASES = {{'default': "
            f"{{'ENGINE': 'django.db.backends.sqlite3', 'NAME': {str(self.database)!r}}}}}\n",
        )
        self.add(*migration("0001_initial", "", INITIAL))

    def add(self, name: str, text: str) -> None:
        write(self.folder / f"blog/migrations/{name}.py", text)

    def run(
        self, program: str, stdin: bytes = b"", below: str = "", **question: Any
    ) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            argv_of(program, sys.executable, release=str(self.folder), **question),
            cwd=self.folder / below,
            env=environment,
            input=stdin,
            capture_output=True,
            check=False,
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        asked = {"judge": True, "linter": "", "go": False, "go_if_nothing": False}
        done = self.run("migrate", **{**asked, "lock_timeout": 5, "statement_timeout": 60, **question})
        assert done.returncode == 0, done.stderr.decode()
        answer: dict[str, Any] = json.loads(done.stdout.decode().partition(MARK)[2])
        return answer


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def migrated(project: Project) -> Project:
    assert project.ask(go=True)["applied"] == ["blog.0001_initial"]
    return project


def test_a_new_database_holds_nothing_that_could_break(project: Project) -> None:
    project.add(
        *migration(
            "0002_drop", "0001_initial", "migrations.DeleteModel('Post'), migrations.RunSQL('select 1')"
        )
    )
    found = project.ask()
    assert (found["fresh"], found["vendor"], found["extensions"]) == (True, "sqlite", [])
    assert found["pending"] == ["blog.0001_initial", "blog.0002_drop"]
    assert found["unsafe"] == {}
    assert project.ask(go_if_nothing=True)["applied"] == []  # there is something: it was only asked


FIELD = "migrations.AddField('post', 'extra', models.{})"
ALTER = "migrations.AlterField('post', '{}', models.{})"
JUDGED: list[tuple[str, list[str]]] = [
    ("migrations.RemoveField('post', 'note')", ["drops post.note"]),
    ("migrations.DeleteModel('Post')", ["drops Post"]),
    ("migrations.RenameModel('Post', 'Entry')", ["renames Post"]),
    ("migrations.RenameField('post', 'note', 'remark')", ["renames post.note"]),
    ("migrations.AlterModelTable('post', 'posts')", ["renames post"]),
    ("migrations.RunSQL('select 1')", ["runs SQL of its own"]),
    (FIELD.format("IntegerField(default=0)"), ["adds post.extra, which rows of the running code would lack"]),
    (FIELD.format("IntegerField(null=True)"), []),
    (FIELD.format("IntegerField(db_default=0)"), []),
    (FIELD.format("ManyToManyField('blog.Post')"), []),
    (ALTER.format("title", "CharField(max_length=60)"), []),
    (ALTER.format("title", "TextField()"), []),
    (ALTER.format("title", "EmailField(max_length=50)"), []),
    (ALTER.format("title", "CharField(max_length=40)"), ["shortens post.title"]),
    (ALTER.format("title", "IntegerField()"), ["changes the type of post.title"]),
    (ALTER.format("title", "CharField(max_length=50, unique=True)"), ["makes unique post.title"]),
    (ALTER.format("note", "TextField(default='')"), ["forbids NULL in post.note"]),
    (ALTER.format("title", "CharField(max_length=50, help_text='x')"), []),
    ("migrations.CreateModel('Tag', fields=[('id', models.BigAutoField(primary_key=True))])", []),
    ("migrations.AddIndex('post', models.Index(fields=['title'], name='by_title'))", []),
    ("migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel('Post')])", []),
    (
        "migrations.SeparateDatabaseAndState(database_operations=[migrations.DeleteModel('Post')])",
        ["drops Post"],
    ),
]


TAG = "migrations.CreateModel('Tag', fields=[('id', models.BigAutoField(primary_key=True)), ('t', models.TextField())])"
# Django's own way to a ManyToManyField with a through model, in small.
JUDGED += [
    (
        f"migrations.SeparateDatabaseAndState(database_operations=[migrations.RunSQL('select 1')], "
        f"state_operations=[{TAG}]), migrations.AddField('tag', 'extra', models.TextField(null=True)), "
        "migrations.AlterField('tag', 't', models.CharField(max_length=5))",
        ["runs SQL of its own", "changes the type of tag.t"],
    ),
    (
        f"migrations.SeparateDatabaseAndState(database_operations=[{TAG}, migrations.RemoveField('tag', 't')])",
        ["drops tag.t"],
    ),
    (
        "migrations.AlterField('tag', 't', models.TextField())",
        ["cannot be judged (KeyError: ('blog', 'tag'))"],
    ),
]


@pytest.mark.parametrize(("operation", "expected"), JUDGED)
def test_what_would_break_the_running_code(operation: str, expected: list[str], migrated: Project) -> None:
    migrated.add(*migration("0002_next", "0001_initial", operation))
    found = migrated.ask()
    assert found["pending"] == ["blog.0002_next"]
    assert found["unsafe"] == ({"blog.0002_next": expected} if expected else {})
    assert found["applied"] == []
    assert found["bytes"] > 0


def test_how_far_the_database_moved(migrated: Project) -> None:
    migrated.add(*migration("0002_good", "0001_initial", FIELD.format("IntegerField(null=True)")))
    migrated.add(*migration("0003_bad", "0002_good", "migrations.RunPython(fail)"))
    found = migrated.ask(go=True)
    assert found["error"] == "RuntimeError: out of ink"
    assert found["applied"] == ["blog.0002_good"]
    assert "Applying blog.0003_bad" in found["output"]
    assert migrated.ask()["pending"] == ["blog.0003_bad"]
    assert migrated.ask()["notes"] == {"blog.0003_bad": ["changes data by Python code"]}


def test_migrations_that_replace_others(project: Project) -> None:
    project.add(*migration("0002_more", "0001_initial", FIELD.format("IntegerField(null=True)")))
    replaces = "    replaces = [('blog', '0001_initial'), ('blog', '0002_more')]\n"
    project.add(*migration("0001_squashed_0002_more", "", INITIAL, replaces))
    project.add(*migration("0003_bad", "0001_squashed_0002_more", "migrations.RunPython(fail)"))
    assert project.ask()["pending"] == ["blog.0001_squashed_0002_more", "blog.0003_bad"]
    found = project.ask(go=True)
    assert (found["applied"], found["error"]) == (
        ["blog.0001_squashed_0002_more"],
        "RuntimeError: out of ink",
    )
    project.add("0003_bad", migration("0003_bad", "0001_squashed_0002_more", "")[1])
    assert project.ask(go=True)["applied"] == ["blog.0003_bad"]
    assert project.ask()["pending"] == []


def test_what_a_migration_that_is_not_atomic_leaves(migrated: Project) -> None:
    operations = (
        f"{FIELD.format('IntegerField(null=True)')}, migrations.RunPython(fail), migrations.RunSQL('')"
    )
    migrated.add(*migration("0002_loose", "0001_initial", operations, "    atomic = False\n"))
    found = migrated.ask(go=True)
    assert found["applied"] == []
    assert found["loose"] == "blog.0002_loose"
    assert found["left"] == ["Add field extra to post", "perhaps a part of: Raw Python operation"]
    migrated.add(*migration("0002_loose", "0001_initial", operations))
    assert "loose" not in migrated.ask(go=True)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "raise ImportError('libGL.so.1: cannot open shared object file')",
            "system_packages: name the Debian package",
        ),
        ("import nowhere", "requirements: no installed package has nowhere"),
        (
            "raise ModuleNotFoundError(name='pkg_resources')",
            "requirements.packages: add 'setuptools<81', the last one with pkg_resources",
        ),
        (
            "from django.utils import baseconv",
            "no longer has it; requirements.packages can name an older one",
        ),
        ("import django.utils.baseconv", "no longer has it; requirements.packages can name an older one"),
        ("raise ModuleNotFoundError(name='distutils.util')", "has no module distutils.util; name an older"),
        (
            "raise ValueError(\"Missing staticfiles manifest entry for 'a.css'\")",
            "build: no such static file was collected",
        ),
        ("import os; os.environ['TOKEN_']", "env: the project needs 'TOKEN_' in its environment"),
        (
            "raise ValueError('X not found. Declare it as envvar or define a default value.')",
            "env: set it in env",
        ),
        ("raise ValueError('Environment variable \"X\" not set')", "env: set it in env"),
        ("raise ValueError('Set the X environment variable')", "env: set it in env"),
        (
            "raise ValueError('Could not find the GDAL library (tried \"gdal\")')",
            "system_packages: [gdal-bin]",
        ),
        (
            "raise ImportError('failed to find libmagic.  Check your installation')",
            "system_packages: [libmagic1]",
        ),
        ("raise ImportError('Error loading psycopg2 or psycopg module')", "can add 'psycopg[binary]'"),
        ("raise ImportError('Error loading MySQLdb module')", "requirements.packages can add mysqlclient"),
        ("open('config.json')", "files: a file that is missing in the source"),
        ("open('logs/x.log', 'a')", "shared: the source has no folder logs; shared: [logs/] makes one"),
        ("open('/nowhere/x.log', 'a')", "The host has no folder /nowhere"),
        ("raise PermissionError(13, 'Permission denied', '/var/log/x')", "The app may not use /var/log/x"),
        ("import extra.blogs", "PYTHONPATH: {format: '{RELEASE_DIR}/src/apps'} in env"),
        ("import blog.local", "files: the source has no module blog.local"),
        (
            "raise ValueError('not correctly installed') from FileNotFoundError(2, 'No such file', 'logs/x.log')",
            "\nCaused by FileNotFoundError: [Errno 2] No such file: 'logs/x.log'\nshared: the source has no folder",
        ),
    ],
)
def test_what_a_project_lacks_is_named_by_field(line: str, told: str, project: Project) -> None:
    write(project.folder / "src/settings.py", f"{line}\n")
    write(project.folder / "src/blog/__init__.py", "")
    write(project.folder / "src/apps/extra/blogs.py", "")
    done = project.run("migrate", below="src")
    assert told in done.stderr.decode()


CONFIGURED = """
from configurations import Configuration


class Base(Configuration):
    SECRET_KEY = 'x'
    INSTALLED_APPS = ['blog']
    DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}


class Production(Base):
    DEBUG = False
"""
# How django-configurations loads the module that the variable names, without its values and checks.
CONFIGURATIONS = {
    "__init__.py": "import configurations.importer\n\n\nclass Configuration:\n    pass\n",
    "importer.py": """
import importlib.machinery, importlib.util, os, sys

class Loader:
    def __init__(self, spec):
        self.spec = spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__file__ = self.spec.origin
        self.spec.loader.exec_module(module)
        chosen = getattr(module, os.environ['DJANGO_CONFIGURATION'])
        for step in ('pre_setup', 'setup', 'post_setup'):
            getattr(chosen, step, lambda: None)()
        vars(module).update({name: getattr(chosen(), name) for name in dir(chosen) if name.isupper()})

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ.get('DJANGO_SETTINGS_MODULE'):
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            return spec and importlib.machinery.ModuleSpec(spec.name, Loader(spec), origin=spec.origin)

def install():
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
""",
}


ELSEWHERE = """
STATIC_URL = '/static/'
INSTALLED_APPS += ['django.contrib.staticfiles']
STORAGES = {'default': {'BACKEND': 'x.Y'}, 'staticfiles': {'BACKEND': 'django.core.files.storage.%s'}}
"""


def test_static_files_that_are_stored_elsewhere_need_no_static_root(project: Project) -> None:
    settings = (project.folder / "settings.py").read_text()
    for storage, status in (("InMemoryStorage", 0), ("FileSystemStorage", 4)):
        write(project.folder / "settings.py", settings + ELSEWHERE % storage)
        assert project.run("probe", collect=True, static_digest="").returncode == status


def test_settings_that_are_a_class(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project.folder / "settings.py", CONFIGURED)
    for name, text in CONFIGURATIONS.items():
        write(project.folder / "configurations" / name, text)
    assert project.run("migrate").returncode != 0
    monkeypatch.setenv("DJANGO_CONFIGURATION", "Production")
    assert project.ask(go=True)["applied"] == ["blog.0001_initial"]


def test_the_overlay_over_settings_that_are_a_class(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project.folder / "base.py", CONFIGURED + "    TIMES = 3\n")
    for name, text in CONFIGURATIONS.items():
        write(project.folder / "configurations" / name, text)
    overlay = ROOT / "roles/django_app/files/config/homeport_settings.py"
    write(project.folder / "settings.py", overlay.read_text() + "STORAGES = {}\nassert TIMES == 3\n")
    given = {"DJANGO_CONFIGURATION": "Production", "HOMEPORT_BASE_SETTINGS": "base", "SITE_URL": "http://x"}
    given |= {"SECRET_KEY": "y", "STATIC_URL": "/s/", "STATIC_ROOT": "/s"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert project.ask(go=True)["applied"] == ["blog.0001_initial"]


@pytest.mark.parametrize("own", ["", "configurations.py", "configurations/__init__.py"])
def test_a_project_that_uses_the_variable_of_configurations_itself(
    project: Project, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    write(project.folder / "base.py", (project.folder / "settings.py").read_text() + "TIMES = 3\n")
    if own:
        write(project.folder / own, "raise RuntimeError('is not asked for')\n")
    overlay = ROOT / "roles/django_app/files/config/homeport_settings.py"
    write(project.folder / "settings.py", overlay.read_text() + "STORAGES = {}\nassert TIMES == 3\n")
    given = {"DJANGO_CONFIGURATION": "production", "HOMEPORT_BASE_SETTINGS": "base", "SITE_URL": "http://x"}
    given |= {"SECRET_KEY": "y", "STATIC_URL": "/s/", "STATIC_ROOT": "/s"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert project.ask(go=True)["applied"] == ["blog.0001_initial"]


MANIFEST = """
INSTALLED_APPS += ['django.contrib.staticfiles']
STATIC_URL, STATIC_ROOT = 'static/', {root!r}
STORAGES = {{'staticfiles': {{'BACKEND': 'django.contrib.staticfiles.storage.ManifestStaticFilesStorage'}}}}
"""


def test_static_files_that_the_source_brings_stay_in_the_manifest(project: Project) -> None:
    root = project.folder / "static"
    with open(project.folder / "settings.py", "a", encoding="utf-8") as settings:
        settings.write(MANIFEST.format(root=str(root)))
    write(project.folder / "blog/static/own.css", "a {}")
    write(root / "front.abc.css", "b {}")
    paths = {"front.css": "front.abc.css", "gone.css": "gone.abc.css", "own.css": "own.abc.css"}
    known = ""
    for _deploy in range(2):  # the second one's static files are those of the first
        write(root / "staticfiles.json", json.dumps({"paths": paths, "version": "1.1", "hash": ""}))
        done = project.run("probe", mark=MARK, collect=True, static_digest=known)
        known = json.loads(done.stdout.decode().partition(MARK)[2])["static_digest"]
        found = json.loads((root / "staticfiles.json").read_text())["paths"]
        assert sorted(found) == ["front.css", "own.css"]
        assert found["front.css"] == "front.abc.css"
        assert (root / found["own.css"]).read_text() == "a {}"


def test_nothing_to_do_is_done_in_the_same_process(migrated: Project) -> None:
    found = migrated.ask(go_if_nothing=True)
    assert (found["pending"], found["applied"]) == ([], [])
    assert "No migrations to apply" in found["output"]


def test_a_lock_that_is_not_free_is_told(migrated: Project) -> None:
    migrated.add(*migration("0002_good", "0001_initial", FIELD.format("IntegerField(null=True)")))
    write(
        migrated.folder / "settings.py",
        (migrated.folder / "settings.py").read_text()
        + "DATABASES['default']['OPTIONS'] = {'timeout': 0.1}\n",
    )
    with sqlite3.connect(migrated.database, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert migrated.ask(go=True)["sqlstate"] == "55P03"
        other.execute("ROLLBACK")


def test_a_dump_brings_everything_back(migrated: Project) -> None:
    with sqlite3.connect(migrated.database) as database:
        database.execute("insert into blog_post (title) values ('first')")
    saved = migrated.run("dump")
    assert saved.returncode == 0, saved.stderr
    migrated.add(*migration("0002_drop", "0001_initial", "migrations.DeleteModel('Post')"))
    assert migrated.ask(go=True)["applied"] == ["blog.0002_drop"]
    done = migrated.run("restore", stdin=saved.stdout)
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(migrated.database) as database:
        assert database.execute("select title from blog_post").fetchall() == [("first",)]
    assert migrated.ask()["pending"] == ["blog.0002_drop"]


def test_a_damaged_dump_is_refused(migrated: Project) -> None:
    done = migrated.run("restore", stdin=b"no database")
    assert done.returncode != 0
    assert migrated.ask()["pending"] == []


# What the programs are made of

PROGRAMS = sorted(
    path for path in (ROOT / "plugins/module_utils/host/programs").glob("*.py") if path.stem not in OURS
)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_runs_without_homeport_and_with_old_pythons(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    names = {path.stem for path in PROGRAMS}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1
            assert node.module in names
            continue
        elif isinstance(node, ast.ImportFrom):
            found = {(node.module or "").partition(".")[0]}
        else:
            continue
        assert found <= {*sys.stdlib_module_names, "django", "django_migration_linter"}


def test_a_program_is_handed_over_with_what_it_imports() -> None:
    sources: dict[str, str] = {}
    command.collect("move", sources)
    assert list(sources) == ["counts", "move"]
    with pytest.raises(FileNotFoundError, match=r"The program .*\.programs\.none is missing"):
        argv_of("none")


def test_programs_are_handed_over_from_an_archive_too(tmp_path: Path) -> None:
    """As Ansible packs a module with what it imports."""
    archive = tmp_path / "payload.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for folder in ("", "plugins/", "plugins/module_utils/", "plugins/module_utils/host/"):
            stream.writestr(f"ansible_collections/homeport/django/{folder}__init__.py", "")
        for name in ("__init__.py", "homeport/__init__.py"):
            stream.writestr(f"ansible_collections/{name}", "")
        for path in (ROOT / "plugins/module_utils/host/programs").glob("*.py"):
            stream.write(path, f"ansible_collections/homeport/django/{path.relative_to(ROOT)}")
    code = (
        "import json; from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import "
        "argv_of; print(json.dumps(argv_of('restore', release='/r')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(archive)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)[2:3] == argv_of("restore", release="/r")[2:3]


# What the settings say of data


SETTINGS = """
INSTALLED_APPS = ["blog", "django.contrib.staticfiles"]
STATIC_URL = "static/"
ROOT_URLCONF = "urls"
"""
MODELS = """
from django.db import models


class Photo(models.Model):
    image = models.FileField()
"""


def described(project: Project, settings: str, collect: bool = False, models: str = MODELS) -> dict[str, Any]:
    with (project.folder / "settings.py").open("a") as stream:
        stream.write(SETTINGS + settings)
    write(project.folder / "urls.py", "urlpatterns = []\n")
    write(project.folder / "blog/models.py", models)
    done = project.run("probe", collect=collect, static_digest="")
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout.decode().partition(MARK)[2])
    return answer


def test_relative_paths_are_those_of_the_project(project: Project) -> None:
    write(project.folder / "blog/static/site.css")
    found = described(
        project,
        "STATIC_ROOT = 'collected'\nMEDIA_ROOT = 'media/'\nDATABASES = {'default': {'ENGINE': "
        "'django.db.backends.sqlite3', 'NAME': 'var/db.sqlite3'}}\n",
        collect=True,
    )
    assert found["sqlite"] == [f"{project.folder}/var/db.sqlite3"]
    assert found["STATIC_ROOT"] == f"{project.folder}/collected"
    assert found["MEDIA_ROOT"] == found["media_real"] == f"{project.folder}/media"
    assert found["default"] == {"name": "var/db.sqlite3", "host": "", "vendor": "sqlite"}
    assert (project.folder / "collected/site.css").is_file()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (":memory:", ""),
        ("file:memory?mode=memory&cache=shared", ""),
        ("file:some%20db?mode=rwc", "some db"),
        ("", ""),
    ],
)
def test_what_sqlite_opens(name: str, file: str, project: Project) -> None:
    found = described(
        project, f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': {name!r}}}}}\n"
    )
    assert found["sqlite"] == ([f"{project.folder}/{file}"] if file else [])


def test_static_files_that_are_collected_elsewhere(project: Project) -> None:
    write(project.folder / "blog/static/site.css")
    write(project.folder / "urls.py", "urlpatterns = []\n")
    storages = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {
            "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage",
            "OPTIONS": {"location": "two"},
        },
    }
    with (project.folder / "settings.py").open("a") as stream:
        stream.write(f"{SETTINGS}STATIC_ROOT = 'one'\nSTORAGES = {storages}\n")
    done = project.run("probe", collect=True, static_digest="")
    told = f"collected in {project.folder}/two, and STATIC_ROOT is {project.folder}/one"
    assert told in done.stderr.decode()


S3 = "STORAGES = {'default': {'BACKEND': 'storages.backends.s3.S3Storage'}, 'staticfiles': {'BACKEND': "
S3 += "'django.contrib.staticfiles.storage.StaticFilesStorage'}}\n"


@pytest.mark.parametrize(
    ("settings", "models", "uploads"),
    [
        ("", MODELS, ["blog.Photo.image"]),
        (S3, MODELS, []),
        ("", "", []),
        ("", MODELS.replace("FileField()", "FileField(storage=FileSystemStorage('/private'))"), []),
        (S3, MODELS.replace("FileField()", "FileField(storage=FileSystemStorage())"), ["blog.Photo.image"]),
    ],
)
def test_fields_that_are_kept_in_media(
    settings: str, models: str, uploads: list[str], project: Project
) -> None:
    models = f"from django.core.files.storage import FileSystemStorage\n{models}"
    assert described(project, settings, models=models)["uploads"] == uploads


def test_media_with_code(project: Project) -> None:
    found = described(project, f"MEDIA_ROOT = {str(project.folder)!r}\nMEDIA_URL = '/files/'\n")
    assert found["media_code"] == str(project.folder)
    assert (found["media_writable"], found["media_view"]) == (True, False)


def test_media_within_an_application(project: Project) -> None:
    found = described(project, f"MEDIA_ROOT = '{project.folder}/blog'\n")
    assert found["media_code"] == f"{project.folder}/blog"


def test_files_that_replace_the_settings_are_named(project: Project) -> None:
    line = 'os.environ["DJANGO_SETTINGS_MODULE"] = "{}"\n'
    write(project.folder / "manage.py", f"import os\n\n{line.format('settings.dev')}")
    test = line.format("settings.test")
    write(
        project.folder / "celery.py",
        f"import os\n{line.format('settings')}if os.environ.get('T'):\n    {test}",
    )
    assert described(project, "")["own_settings"] == [
        "manage.py, line 3 sets DJANGO_SETTINGS_MODULE to settings.dev, where this app has settings: write "
        "os.environ.setdefault"
    ]
