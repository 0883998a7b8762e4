"""Writes the small projects that the scenario molecule/layouts deploys, each laid out in its own way.

    python tests/layouts/build.py FOLDER

FOLDER/<name> is a project as its author would have it; git/, http/ and the keys are what the test host serves
them from. Everything is made at this moment, so no lock file and no key is ever committed.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
Files = dict[str, str]

# Values that mean something to whatever stands between a definition and the app that it is for.
HOSTILE = {
    "HOSTILE_QUOTES": 'it\'s "quoted" `id` $(id) ${HOME} $HOME \\ \\n \\$ \'\' ""',
    "HOSTILE_PERCENT": "100% %s %(here)s %% %h {x} {} {{ 7 * 7 }} {% raw %} {# #}",
    "HOSTILE_LINES": "\n one\n\ttwo\r\nthree\n\n",
    "HOSTILE_SPACES": "  x  ",
    "HOSTILE_SIGNS": "# ; = & | < > * ? [a] (b) ! ~ ^ .. ../ -- --x ~root",
    "HOSTILE_UNICODE": "é e\u0301 日本語 \U0001f600 \u202e \ufeff \u2028 \x85 \x1b[31m \x7f \x01",
    "HOSTILE_LONG": "é'\"$\n" * 17_000,
    "HOSTILE_EMPTY": "",
    # what the launchers have variables of that name for
    "release": "mine",
    "command": "mine, too",
}
HOSTILE_FOLDER = "it's my $site 50%"
HOSTILE_FILE = "conf d/it's $x 100% {{ y }}.ini"
HOSTILE_ARGUMENTS = ['--name=a "b" #', "c d", "50%", "$HOME", "é", ";", "it's", "{{ 7 }}"]

SETTINGS = """
    import os
    from pathlib import Path

    BASE_DIR = Path(__file__).resolve().parent.parent
    SECRET_KEY = os.environ["SECRET_KEY"]
    ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split(",")
    INSTALLED_APPS = ["django.contrib." + name for name in ("auth", "contenttypes", "staticfiles")]
    INSTALLED_APPS.append("{package}")
    MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
    TEMPLATES = [{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}}]
    ROOT_URLCONF = "{package}.urls"
    WSGI_APPLICATION = "{package}.wsgi.application"
    DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    DATABASES = {{
        "default": {{
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ.get("PGDATABASE", ""),
            "USER": os.environ.get("PGUSER", ""),
            "HOST": os.environ.get("PGHOST", ""),
        }}
    }}
    STATIC_URL = "/static/"
    STATIC_ROOT = os.environ["STATIC_ROOT"]
    MEDIA_ROOT = os.environ["MEDIA_ROOT"]
    MEDIA_URL = "/media/"
    EXTRA = ""
"""

# Tells what a project sees of its surroundings, and lets a test leave data behind.
URLS = """
    import os
    import platform

    import django
    import gunicorn
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage
    from django.http import HttpResponse, JsonResponse
    from django.urls import path
    from django.utils.translation import gettext, override


    def about(request):
        with override("de"):
            hello = gettext("hello")
        return JsonResponse({{
            "layout": "{name}",
            "settings": os.environ["DJANGO_SETTINGS_MODULE"],
            "engine": settings.DATABASES["default"]["ENGINE"].rpartition(".")[2],
            "users": User.objects.count(),
            "static": settings.STATIC_URL,
            "debug": settings.DEBUG,
            "python": platform.python_version(),
            "django": django.__version__,
            "gunicorn": gunicorn.__version__,
            "release": os.environ["RELEASE"],
            "extra": settings.EXTRA,
            "client": [request.META.get("REMOTE_ADDR"), request.scheme, request.get_host()],
            "hello": hello,
            "hostile": {{name: os.environ[name] for name in os.environ if name.startswith("HOSTILE_")}},
        }})


    def add(request, name):
        User.objects.create(username=name)
        default_storage.save(name + ".txt", ContentFile(name))
        return HttpResponse("added")


    urlpatterns = [path("", about), path("add/<name>/", add)]
"""

MANAGE = """
    #!/usr/bin/env python
    import os
    import sys

    if __name__ == "__main__":
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{settings}")
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
"""

SERVER = """
    import os

    from django.core.{kind} import get_{kind}_application

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{settings}")
    {callable} = get_{kind}_application()
"""

DATABASE_URL = """
    from urllib.parse import urlsplit

    _url = urlsplit(os.environ["DATABASE_URL"])
    DATABASES["default"].update(NAME=_url.path[1:], USER=_url.username, HOST=_url.hostname)
"""

SQLITE = """
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
"""


def text(template: str, **values: str) -> str:
    plain = textwrap.dedent(template).lstrip("\n")
    return plain.format(**values) if values else plain


def project(
    name: str,
    package: str = "site_",
    folder: str = "",
    settings: str = "settings",
    extra: str = "",
    wsgi: str = "wsgi.application",
    **more: str,
) -> Files:
    """A Django project below ``folder``; ``extra`` is added to its settings, ``more`` to its files."""
    root = f"{folder}/" if folder else ""
    module, _dot, function = wsgi.partition(".")
    dotted = f"{package}.{settings}"
    return {
        f"{root}manage.py": text(MANAGE, settings=dotted),
        f"{root}{package}/__init__.py": "",
        f"{root}{package}/{settings}.py": text(SETTINGS, package=package) + text(extra),
        f"{root}{package}/urls.py": text(URLS, name=name),
        f"{root}{package}/{module}.py": text(SERVER, kind="wsgi", callable=function, settings=dotted),
        f"{root}{package}/static/site.css": f"/* {name} */\n" + "body { color: black; }\n" * 60,
        **more,
    }


def django_startproject(version: str) -> Files:
    """What `django-admin startproject config .` writes, whatever Python that version of Django needs."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["pip", "install", "--quiet", "--no-deps", "--target", folder, "--python-version", "3.13"]
        uv([*words, f"Django=={version}.*"], Path(folder))
        template = Path(folder) / "django" / "conf" / "project_template"
        values = {
            "project_name": "config",
            "secret_key": "django-insecure-" + "0" * 50,
            "docs_version": version,
            "django_version": version,
        }
        files = {}
        for path in sorted(template.rglob("*.py-tpl")):
            content = path.read_text()
            for key, value in values.items():
                content = content.replace("{{ " + key + " }}", value)
            name = str(path.relative_to(template)).replace("project_name", "config")
            files[name.removesuffix("-tpl")] = content
        return files


def pyproject(*dependencies: str) -> str:
    return text(
        """
        [project]
        name = "layout"
        version = "1.0"
        requires-python = ">=3.10"
        dependencies = {dependencies}
        """,
        dependencies=json.dumps(list(dependencies)),
    )


def versioned(name: str, *dependencies: str, modules: str, root: str = ".") -> str:
    return text(
        """
        [build-system]
        requires = ["setuptools>=64", "setuptools-scm>=8"]
        build-backend = "setuptools.build_meta"

        [project]
        name = "{name}"
        dynamic = ["version"]
        dependencies = {dependencies}

        [tool.setuptools]
        packages = ["{modules}"]

        [tool.setuptools_scm]
        root = "{root}"
        """,
        name=name,
        dependencies=json.dumps(list(dependencies)),
        modules=modules,
        root=root,
    )


VERSIONS = """
    from importlib.metadata import version

    del WSGI_APPLICATION
    EXTRA = [version("private"), version("library")]
"""

POETRY = """
    [tool.poetry]
    name = "layout"
    version = "1.0"
    description = ""
    authors = []
    package-mode = false

    [tool.poetry.dependencies]
    python = "^3.10"
    Django = "~5.2"
    psycopg = "^3.2"
    psycopg-binary = "^3.2"
"""

# Locking asks more of a package index than many a mirror answers; the versions here are old and stay.
POETRY_PACKAGES = {
    "asgiref": "3.8.1",
    "django": "5.2.1",
    "psycopg": "3.2.9",
    "psycopg-binary": "3.2.9",
    "sqlparse": "0.5.3",
}
POETRY_PACKAGE = """
    [[package]]
    name = "{name}"
    version = "{version}"
    description = ""
    optional = false
    python-versions = ">=3.8"
    groups = ["main"]
    files = []
"""
POETRY_METADATA = """

    [metadata]
    lock-version = "2.1"
    python-versions = "^3.10"
    content-hash = "{content}"
"""
POETRY_HASH = """
from pathlib import Path
from poetry.factory import Factory
print(Factory().create_poetry(Path()).locker._get_content_hash())
"""

PAIR = """
    from urllib.parse import urlsplit

    _url = urlsplit(os.environ["REPORTS_DATABASE_URL"])
    _reports = {"NAME": _url.path[1:], "USER": _url.username, "HOST": _url.query.partition("host=")[2]}
    DATABASES["reports"] = {**DATABASES["default"], **_reports}
    DATABASE_ROUTERS = ["site_.models.Router"]
"""
PAIR_MODELS = """
    from django.db import models


    class Report(models.Model):
        title = models.CharField(max_length=80)


    class Router:
        def db_for_read(self, model, **hints):
            return "reports" if model is Report else "default"

        db_for_write = db_for_read

        def allow_migrate(self, db, app_label, **hints):
            return (db == "reports") == (app_label == "site_")
"""
PAIR_MIGRATION = """
    from django.db import migrations, models


    class Migration(migrations.Migration):
        initial = True
        operations = [
            migrations.CreateModel(
                "Report",
                [("id", models.BigAutoField(primary_key=True)), ("title", models.CharField(max_length=80))],
            )
        ]
"""

MESSAGES = """
    msgid ""
    msgstr "Content-Type: text/plain; charset=UTF-8\\n"

    msgid "hello"
    msgstr "hallo"
"""

TRANSLATED = """
    LOCALE_PATHS = [BASE_DIR / "locale"]
    STATICFILES_DIRS = [BASE_DIR / "frontend"]
"""

ASYNC_VIEW = """
    import asyncio

    from django.http import JsonResponse
    from django.urls import path


    async def about(request):
        await asyncio.sleep(0)
        client = [request.META.get("REMOTE_ADDR"), request.scheme, request.get_host()]
        return JsonResponse({{"layout": "{name}", "scope": request.scope["type"], "client": client}})


    urlpatterns = [path("", about)]
"""


# Beside the projects, as an operator has it: the app that it belongs to reads the file that it makes.
CONFIG_TEMPLATE = """
    {
      "database": {
        "NAME": "{{ app.database.name }}",
        "USER": "{{ app.database.user }}",
        "HOST": "{{ app.database.host }}"
      },
      "site": "{{ app.canonical }}",
      "media": "{{ app.media.root }}"
    }
"""


def layouts() -> dict[str, Files]:
    """Every project by the name of the app that deploys it."""
    return {
        # Three generations of Django, as startproject leaves them; nothing in them knows of a server.
        "plain": django_startproject("5.2"),
        "oldest": {**django_startproject("4.2"), "requirements.txt": "Django~=4.2.0\n"},
        "newest": {**django_startproject("6.0"), "requirements.txt": "Django~=6.0.0\n"},
        # DATABASE_URL, psycopg2, static files collected into the source, and a gunicorn of 2021.
        "dburl": project(
            "dburl",
            extra=DATABASE_URL + '    STATIC_ROOT = BASE_DIR / "staticfiles"\n',
            **{"requirements.txt": "Django~=5.2.0\npsycopg2-binary\ngunicorn==20.1.0\nsetuptools<81\n"},
        ),
        # manage.py in a folder of its own, requirements in another, names of their own in the environment.
        "nested": project(
            "nested",
            package="core",
            folder="backend/src",
            wsgi="server.app",
            extra="""
                WSGI_APPLICATION = "core.server.app"
                for _name in ("NAME", "USER", "HOST"):
                    DATABASES["default"][_name] = os.environ["DB_" + _name]
                EXTRA = os.environ["JDBC_URL"]
            """,
            **{
                "requirements/base.txt": "Django~=5.2.0\n",
                "requirements/production.txt": "-r base.txt\npsycopg[binary]\ngunicorn==21.2.0\n",
                "docs/manage.py": "",
            },
        ),
        # The app is one folder of a private repository; its settings do not say where its WSGI module is. It is a
        # package whose version comes from git, and depends on another private repository.
        "private": project(
            "private",
            folder="services/app",
            wsgi="wsgi.application",
            extra=VERSIONS,
            **{
                "services/app/pyproject.toml": versioned(
                    "private",
                    "Django~=5.2.0",
                    "psycopg[binary]",
                    "gunicorn==23.0.0",
                    "library @ git+ssh://git@127.0.0.1/home/git/git/library.git@v1.0",
                    modules="site_",
                    root="../..",
                ),
                "services/other/manage.py": "",
            },
        ),
        "library": {
            "pyproject.toml": versioned("library", modules="library"),
            "library/__init__.py": "",
            "manage.py": "",
        },
        # Two databases, and a router between them.
        "pair": project(
            "pair",
            extra=PAIR,
            **{
                "requirements.txt": "Django~=5.2.0\npsycopg[binary]\n",
                "site_/models.py": text(PAIR_MODELS),
                "site_/migrations/__init__.py": "",
                "site_/migrations/0001_initial.py": text(PAIR_MIGRATION),
            },
        ),
        # Several requirements files, translations to compile, a file that the build makes.
        "built": project(
            "built",
            extra=TRANSLATED,
            **{
                "deps/django.txt": "Django~=5.2.0\n",
                "deps/database.txt": "psycopg[binary]\n",
                "locale/de/LC_MESSAGES/django.po": text(MESSAGES),
                "frontend/source.txt": "source\n",
            },
        ),
        # A project that is a Python package, without manage.py.
        "packaged": project("packaged", package="packaged_site"),
        # Settings that come from files which the server writes; static files that are in the source already.
        "files": project(
            "files",
            extra="""
                import json

                EXTRA = json.loads((BASE_DIR / "config.json").read_text())
                DATABASES["default"].update(EXTRA.pop("database"))
                EXTRA["motd"] = (BASE_DIR / "conf.d" / "motd.txt").read_text()
                INSTALLED_APPS.remove("django.contrib.staticfiles")
                STATIC_URL = os.environ["STATIC_URL"]
            """,
            **{
                "Pipfile": '[packages]\nDjango = "~=5.2.0"\n',
                "Pipfile.lock": json.dumps(
                    {
                        "default": {
                            "django": {"version": "==5.2.1"},
                            "asgiref": {"version": ">=3.8"},
                            "sqlparse": {"version": ">=0.3"},
                            "psycopg": {
                                "version": "~=3.2",
                                "extras": ["binary"],
                                "markers": "python_version >= '3.8'",
                            },
                        },
                        "develop": {"pytest": {"version": "*"}},
                    }
                ),
                "prebuilt/site.css": "/* prebuilt */\n",
            },
        ),
        # A Pipfile alone, and no static files at all.
        "pipenv": project(
            "pipenv",
            extra='INSTALLED_APPS.remove("django.contrib.staticfiles")\nSTATIC_ROOT = None\n',
            Pipfile='[packages]\nDjango = "~=5.2.0"\npsycopg = {extras = ["binary"], version = "*"}\n',
        ),
        "poetry": project("poetry", **{"pyproject.toml": text(POETRY)}),
        # A lock, and the modules in a folder src.
        "locked": {
            path if path == "manage.py" else f"src/{path}": content
            for path, content in project("locked").items()
        }
        | {"pyproject.toml": pyproject("Django~=5.2.0", "psycopg[binary]")},
        # An async view behind the ASGI interface.
        "async": {
            **project("async", **{"requirements.txt": "Django~=5.2.0\npsycopg[binary]\n"}),
            "site_/urls.py": text(ASYNC_VIEW, name="async"),
            "site_/asgi.py": text(SERVER, kind="asgi", callable="application", settings="site_.settings"),
        },
        # Keeps its database and what users upload beside its code.
        "kept": project(
            "kept",
            extra=SQLITE + '    MEDIA_ROOT = BASE_DIR / "media"\n',
            **{"requirements.txt": "Django~=5.2.0\n"},
        ),
        # Long-running and scheduled commands, settings of another name, a folder whose name a shell might misread.
        "busy": project(
            "busy",
            folder=HOSTILE_FOLDER,
            settings="production",
            **{
                "requirements.txt": "Django~=5.2.0\npsycopg[binary]\n",
                f"{HOSTILE_FOLDER}/site_/management/__init__.py": "",
                f"{HOSTILE_FOLDER}/site_/management/commands/__init__.py": "",
                f"{HOSTILE_FOLDER}/site_/management/commands/worker_loop.py": text(WORKER_LOOP),
                f"{HOSTILE_FOLDER}/site_/management/commands/digest.py": text(DIGEST),
                "listener/__init__.py": "",
                "listener/__main__.py": text(LISTENER),
            },
        ),
        # Two projects in one source, and nothing that says which is meant.
        "twins": {
            **project("twins", folder="one"),
            **project("twins", folder="two"),
            "requirements.txt": "Django\n",
        },
    }


WORKER_LOOP = """
    import os
    import time

    from django.contrib.auth.models import User
    from django.core.management.base import BaseCommand


    class Command(BaseCommand):
        def handle(self, **options):
            print("worker of", os.environ["RELEASE"], "sees", User.objects.count(), "users", flush=True)
            while True:
                time.sleep(1)
"""

DIGEST = """
    from django.contrib.auth.models import User
    from django.core.management.base import BaseCommand


    class Command(BaseCommand):
        def handle(self, **options):
            self.stdout.write(f"digest of {User.objects.count()} users")
"""

LISTENER = """
    import hashlib
    import json
    import os
    import sys
    import time

    print("listener of", os.environ["RELEASE"], flush=True)
    digests = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in os.environ.items()}
    print(json.dumps([sys.argv[1:], digests]), flush=True)
    while True:
        time.sleep(1)
"""


def poetry_lock(folder: Path) -> str:
    content = uv(["run", "--quiet", "--no-project", "--with", "poetry", "python", "-c", POETRY_HASH], folder)
    packages = [text(POETRY_PACKAGE, name=name, version=version) for name, version in POETRY_PACKAGES.items()]
    return "\n".join([*packages, text(POETRY_METADATA, content=content)])


def uv(words: list[str], folder: Path) -> str:
    environment = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        ["uv", *words], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def git(folder: Path, *words: str) -> str:
    identity = [
        "-c",
        "user.name=Fixture",
        "-c",
        "user.email=fixture@example.org",
        "-c",
        "init.defaultBranch=main",
    ]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def repository(folder: Path, bare: Path) -> str:
    """A bare repository of a project; returns its commit, after which the default branch goes on."""
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=first")
    commit = git(folder, "rev-parse", "HEAD")
    git(folder, "branch", "release/1.x")
    git(folder, "tag", "--annotate", "--message=one", "v1.0")
    # Who gets the default branch instead of what was asked for has a project that does not load.
    for path in folder.rglob("manage.py"):
        path.write_text("raise SystemExit('this is the default branch')\n")
    git(folder, "commit", "--quiet", "--all", "--message=broken")
    git(folder, "clone", "--quiet", "--bare", str(folder), str(bare))
    shutil.rmtree(folder / ".git")
    return commit


def tar(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as stream:
        stream.add(folder, arcname=f"{folder.name}-1.0")


def zip_(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted(folder.rglob("*")):
            stream.write(path, path.relative_to(folder))


def wheel(folder: Path, archive: Path) -> None:
    """A wheel of everything below ``folder``, made by hand: it takes no build tool."""
    info = "packaged_site-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: packaged-site\nVersion: 1.0\nRequires-Dist: Django~=5.2.0\n"
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted((folder / "packaged_site").rglob("*")):
            stream.write(path, path.relative_to(folder))
        stream.writestr(f"{info}/METADATA", metadata + "Requires-Dist: psycopg[binary]\n")
        stream.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: fixture\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        names = [*stream.namelist(), f"{info}/RECORD"]
        stream.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))


def main(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    for folder in ("git", "http"):
        (target / folder).mkdir(parents=True)
    for name, files in layouts().items():
        write(target / name, files)
    shutil.copytree(
        ROOT / "bench" / "queues", target / "queues", ignore=shutil.ignore_patterns("__pycache__")
    )
    uv(["lock", "--quiet"], target / "locked")
    (target / "poetry" / "poetry.lock").write_text(poetry_lock(target / "poetry"))
    commits = {
        name: repository(target / name, target / "git" / f"{name}.git")
        for name in ("newest", "dburl", "nested", "private", "library")
    }
    zip_(target / "oldest", target / "oldest.zip")
    tar(target / "built", target / "http" / "built.tar.gz")
    wheel(target / "packaged", target / "http" / "packaged_site-1.0-py3-none-any.whl")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "layouts", "-f", target / "deploy_key"],
        check=True,
    )
    facts = {
        "nested_commit": commits["nested"],
        "hostile": HOSTILE,
        "hostile_file": HOSTILE_FILE,
        "hostile_command": shlex.join(["python", "-m", "listener", *HOSTILE_ARGUMENTS]),
        "built_checksum": hashlib.sha256((target / "http" / "built.tar.gz").read_bytes()).hexdigest(),
    }
    (target / "config.json.j2").write_text(text(CONFIG_TEMPLATE))
    (target / "facts.json").write_text(json.dumps(facts))
    with tarfile.open(target / "served.tar", "w") as stream:
        for folder in ("git", "http"):
            stream.add(target / folder, arcname=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
