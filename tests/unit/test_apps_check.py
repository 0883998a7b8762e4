# ruff: noqa: E501  (a table reads best with one case a line)
import json
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.check import check
from ansible_collections.homeport.django.plugins.module_utils.app.fields.app import APP
from ansible_collections.homeport.django.plugins.module_utils.app.fields.secrets import SECRETS
from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS
from ansible_collections.homeport.django.plugins.module_utils.common.names import RESERVED_NAMES

from tests.unit.support import CANARY, KEY, SECRET, app, problems

GIT = "https://git.example.org/blog.git"

GOOD: list[dict[str, Any]] = [
    {},
    {"domains": "blog.example.org"},
    {"domains": ["xn--bcher-kva.example", "127.0.0.1", f"{'a' * 63}.example.org"]},
    {"aliases": ["*.example.org", "other.example.org"]},
    {"source": {"git": "git@git.example.org:me/blog.git", "version": "v1.0/rc+1", "subdirectory": "app/web"}},
    {"source": {"path": "../blog"}},
    {"source": {"archive": "https://example.org/blog.tar.gz", "checksum": "0" * 64}},
    {"source": {"package": "blog[extra]==1.2 ; python_version > '3.9'"}},
    {"requirements": ["requirements/base.txt", "requirements/prod.txt"]},
    {"requirements": {"packages": ["Django~=5.2"], "extras": ["web"], "groups": ["prod"]}},
    {"database": "sqlite"},
    {"database": {"url": "postgres://user@db.example.org:5433/blog?sslmode=require"}},
    {"database": {"name": "other_name"}},
    {"static": "whitenoise"},
    {"static": {"collect": False, "path": "build/static"}},
    {"media": "none"},
    {"manage": "python -m blog"},
    {"manage": "backend/manage.py"},
    {"python": "3.12"},
    {"processes": {"x": {"command": "x", "env": {"DJANGO_SETTINGS_MODULE": "blog.settings.worker"}}}},
    {"build": "make all && make more"},
    {"overlay": True, "overlay_settings": {"LOGIN_URL": "'/login'", "ADMINS": "[('a', 'b')]", "X": "{\n  1: 2\n}"}},
    {"processes": {"queue": "manage.py qcluster", "alerts": {"command": "sh -c 'a && b; c | d'", "count": 0}}},
    {"processes": {"quoted": "manage.py say 'a;b' \"c & d\""}},
    {"schedules": {"digest": {"command": "a && b", "calendar": "Mon..Fri *-*-* 06:30:00"}}},
    {"env": {"A": 1, "B": True, "C": "$x `y` \"'%\n", "D": {"from": "DATABASE_URL"}, "E": {"format": "{SITE_URL}/x{A}"}}},
    {"env": {"CONFIG": {"format": '{"static": "{STATIC_ROOT}"}'}, "PLAIN": {"format": "{not a name} {}"}}},
    {"files": {"config/local.py": "X = 1\n", "a.json": {"template": "a.json.j2"}}},
    {"web": {"application": "blog.wsgi:application", "workers": 4, "gunicorn": {"max_requests": 500}}},
    {"health": "/health/"},
    {"health": {"path": "/health?x=1", "status": 204}},
    {"health": "/%C3%A9/(a)?next=https://x.example//y/../z&n=%0A"},
    {"manage": "'my dir/manage.py' --traceback"},
    {"processes": {"find": "find . -name '*.tmp #' -exec echo {} \\; -o -path a#b"}},
    {"requirements": {"packages": ["x[a,b] >=1,<2 ; python_version > '3'", "git+https://h/x", "y @ https://h/y.whl", "./lib"]}},
    {"env": {"release": "x", "command": "y", "RELEASE_NAME": "z", "LONG": "é" * 60_000}},
    {"proxy": {"upload_limit": "1g", "extra": "location /x {\n  return 404;\n}\n"}},
    {"tls": "proxy", "proxy": {"trusted_proxies": ["10.0.0.7", "cloudflare", "2001:db8::/32"], "public_port": 8443}},
    {"web": {"server": "asgi"}, "database": {"conn_max_age": 0}},
    {"shared": ["data", "var/index"], "keep_releases": 2},
    {"maintenance": "pages/closed.html"},
    {"maintenance": {"page": "closed.html.j2", "allow": ["203.0.113.7", "10.0.0.0/8", "2001:db8::/32", "::1"], "retry_after": 60}},
    {"maintenance": {"allow": "10.0.0.0/255.0.0.0"}},
]  # fmt: skip


@pytest.mark.parametrize("fields", GOOD, ids=json.dumps)
def test_good(fields: dict[str, Any]) -> None:
    assert problems(app(**fields)) == []


# What is said, the setup, and the beginning of what is wrong with it.
BAD: list[tuple[dict[str, Any], str, str]] = [
    *(
        ({"maintenance": {"allow": [address]}}, "typical", "django_apps.blog.maintenance.allow[0]: must be an address or a network, such as")
        for address in ("", "office", "10.0.0", "300.1.1.1", "10.0.0.0/33", "10.0.0.1-9", "fe80::1%eth0", "example.org", "1.2.3.4;")
    ),
    ({"maintenance": {"allow": ["10.0.0.1/8"]}}, "typical", "django_apps.blog.maintenance.allow[0]: is neither an address nor the first address of a network"),
    ({"maintenance": {"allow": ["10.0.0.1", "10.0.0.1"]}}, "typical", "django_apps.blog.maintenance.allow[1]: is there twice"),
    ({"maintenance": {"retry_after": 0}}, "typical", "django_apps.blog.maintenance.retry_after: must be from 1 to 604800"),
    ({"maintenance": {"pages": "x"}}, "typical", "django_apps.blog.maintenance.pages: is not a field here (did you mean 'page'?)"),
    ({"maintenance": True}, "typical", "django_apps.blog.maintenance: must be a dictionary"),
    ({"databse": "postgres"}, "typical", "django_apps.blog.databse: is not a field here (did you mean 'database'?)"),
    ({"database": "postgers"}, "typical", "django_apps.blog.database.engine: must be one of postgres, sqlite, none (did you mean 'postgres'?)"),
    ({"database": "postgres"}, "simple", "django_apps.blog.database: postgres is not part of the simple setup, which has sqlite, none"),
    ({"database": {"engine": "postgres", "url": "postgres://x/y"}}, "typical", "django_apps.blog.database: takes either an engine or the url"),
    ({"database": {"url": "nonsense"}}, "typical", "django_apps.blog.database.url: must be a URL"),
    ({"database": {"url": f"postgres://u:{CANARY}[x@h/n"}}, "typical", "django_apps.blog.database.url: is not a URL"),
    ({"database": {"url": "postgres://u@h:port/n"}}, "typical", "django_apps.blog.database.url: is not a URL"),
    ({"database": {"name": "Blog"}}, "typical", "django_apps.blog.database.name: must be lower-case letters"),
    ({"database": {"name": "postgres"}}, "typical", "django_apps.blog.database.name: is a database of the system"),
    ({"database": {"name": "template1"}}, "typical", "django_apps.blog.database.name: is a database of the system"),
    ({"static": "nginx"}, "simple", "django_apps.blog.static: nginx is not part of the simple setup, which has whitenoise, none"),
    ({"static": {"collect": False}}, "typical", "django_apps.blog.static.path: is required when"),
    ({"static": {"url": "/"}}, "typical", "django_apps.blog.static.url: must start and end with a slash"),
    ({"static": {"url": "/assets/"}, "media": {"url": "/assets/"}}, "typical", "django_apps.blog.media.url: is that of the static files"),
    ({"static": {"url": "static"}}, "typical", "django_apps.blog.static.url: must start and end with a slash"),
    ({"static": {"url": "/a b/"}}, "typical", "django_apps.blog.static.url: must start and end with a slash"),
    ({"domains": []}, "typical", "django_apps.blog.domains: must have at least 1 item"),
    ({"domains": None}, "typical", "django_apps.blog.domains: is required: host names"),
    ({"domains": ["https://blog.example.org"]}, "typical", "django_apps.blog.domains[0]: must be a host name"),
    ({"domains": ["Blog.example.org"]}, "typical", "django_apps.blog.domains[0]: must be a host name"),
    ({"domains": ["bücher.example"]}, "typical", "django_apps.blog.domains[0]: must be a host name"),
    ({"domains": ["a.example", "a.example"]}, "typical", "django_apps.blog.domains[1]: is there twice"),
    ({"domains": ["-a.example"]}, "typical", "django_apps.blog.domains[0]: must be a host name"),
    ({"domains": [f"{'a' * 64}.example"]}, "typical", "django_apps.blog.domains[0]: must be a host name"),
    ({"domains": ["a; return 200 x;"]}, "typical", "django_apps.blog.domains[0]: must be a host name"),
    ({"aliases": ["blog.example.org"]}, "typical", "django_apps.blog.aliases: blog.example.org is among its domains already"),
    ({"source": None}, "typical", "django_apps.blog.source: is required: where the code comes from"),
    ({"source": {}}, "typical", "django_apps.blog.source: needs exactly one of git, path, archive or package (found none)"),
    ({"source": GIT}, "typical", "django_apps.blog.source: must be a dictionary"),
    ({"source": {"git": GIT, "path": "x"}}, "typical", "django_apps.blog.source: needs exactly one of git, path, archive or package (found git and path)"),
    ({"source": {"path": "x", "version": "main"}}, "typical", "django_apps.blog.source.version: goes with git only"),
    ({"source": {"git": GIT, "version": 1.0}}, "typical", "django_apps.blog.source.version: must be a string, not a number (put it in quotes)"),
    ({"source": {"git": GIT, "version": "--upload-pack=x"}}, "typical", "django_apps.blog.source.version: must be a branch"),
    ({"source": {"git": "--upload-pack=x"}}, "typical", "django_apps.blog.source.git: is not the address"),
    ({"source": {"git": "ext::sh -c x"}}, "typical", "django_apps.blog.source.git: is not the address"),
    ({"source": {"git": f"https://me:{CANARY}@git.example.org/x"}}, "typical", "django_apps.blog.source.git: holds a password or token"),
    ({"source": {"git": f"https://{CANARY}@git.example.org/x"}}, "typical", "django_apps.blog.source.git: holds a password or token"),
    ({"source": {"archive": f"https://me:{CANARY}@example.org/x.zip"}}, "typical", "django_apps.blog.source.archive: holds a password or token"),
    ({"source": {"git": GIT, "subdirectory": "../x"}}, "typical", "django_apps.blog.source.subdirectory: must be a path inside"),
    ({"source": {"git": GIT, "subdirectory": "/etc"}}, "typical", "django_apps.blog.source.subdirectory: must be a path inside"),
    ({"source": {"archive": "x.zip", "checksum": "abc"}}, "typical", "django_apps.blog.source.checksum: must be 64 hexadecimal digits"),
    ({"source": {"package": "-e ."}}, "typical", "django_apps.blog.source.package: must be a requirement"),
    ({"python": 3.10}, "typical", "django_apps.blog.python: must be a string, not a number (put it in quotes)"),
    ({"python": "python3.12"}, "typical", "django_apps.blog.python: must be a version"),
    ({"system_packages": ["libpq5 && x"]}, "typical", "django_apps.blog.system_packages[0]: must be the name of a Debian package"),
    ({"web": {"port": 0}}, "simple", "django_apps.blog.web.port: must be from 1 to 65535"),
    ({"web": {"port": "http"}}, "simple", "django_apps.blog.web.port: must be a whole number"),
    ({"web": {"application": "blog.wsgi"}}, "typical", "django_apps.blog.web.application: must look like"),
    ({"web": "wsgi"}, "typical", "django_apps.blog.web: must be a dictionary with fields among server"),
    ({"web": {"gunicorn": {"Workers": 1}}}, "typical", "django_apps.blog.web.gunicorn: Workers is not a good name here"),
    ({"processes": {"web": "x"}}, "typical", "django_apps.blog.processes: web is not a good name here"),
    ({"processes": {"a b": "x"}}, "typical", "django_apps.blog.processes: 'a b' is not a good name here"),
    ({"processes": {"queue": {}}}, "typical", "django_apps.blog.processes.queue: needs exactly one of command, kind (found none)"),
    ({"processes": {"queue": "a && b"}}, "typical", "django_apps.blog.processes.queue.command: must be one command"),
    ({"processes": {"queue": "a;b"}}, "typical", "django_apps.blog.processes.queue.command: must be one command"),
    ({"processes": {"queue": "a >/dev/null"}}, "typical", "django_apps.blog.processes.queue.command: must be one command"),
    ({"processes": {"queue": "say 'x"}}, "typical", "django_apps.blog.processes.queue.command: cannot be split into words"),
    ({"processes": {"queue": "exec worker"}}, "typical", "django_apps.blog.processes.queue.command: begins with exec"),
    ({"processes": {"queue": "  "}}, "typical", "django_apps.blog.processes.queue.command: is empty"),
    ({"processes": {"queue": "a\nb"}}, "typical", "django_apps.blog.processes.queue.command: must be a single line"),
    ({"build": ["a\nb"]}, "typical", "django_apps.blog.build[0]: must be a single line: make an entry of each command"),
    ({"hooks": {"after_migrate": ["a\nb"]}}, "typical", "django_apps.blog.hooks.after_migrate[0]: must be a single line: make an entry of each"),
    ({"processes": {"x": "a"}, "schedules": {"x": {"command": "b", "calendar": "daily"}}}, "typical", "django_apps.blog.schedules.x: is also the name of a process"),
    ({"schedules": {"x": {"command": "b", "calendar": "daily\nExecStart=x"}}}, "typical", "django_apps.blog.schedules.x.calendar: must be a single line"),
    ({"schedules": {"x": {"command": "b", "calendar": "0 6 * * %"}}}, "typical", "django_apps.blog.schedules.x.calendar: must be a calendar expression"),
    ({"env": {"1A": "x"}}, "typical", "django_apps.blog.env: 1A is not a good name here"),
    ({"env": {"A-B": "x"}}, "typical", "django_apps.blog.env: A-B is not a good name here"),
    ({"env": {"A": [1]}}, "typical", "django_apps.blog.env.A: must be a string, a number or a boolean, not a list"),
    ({"env": {"A": {"from": "DATABASE_URI"}}}, "typical", "django_apps.blog.env.A: takes the value of DATABASE_URI, which the app's environment does not have (did you mean 'DATABASE_URL'?)"),
    ({"env": {"A": {"from": "B"}, "B": {"from": "DATABASE_URL"}}}, "typical", "django_apps.blog.env.A: takes the value of B, which takes its own from another variable"),
    ({"env": {"A": {"from": "DEBUG"}, "DEBUG": None}}, "typical", "django_apps.blog.env.A: takes the value of DEBUG, which the app's environment does not have"),
    ({"env": {"SITE_URL": None}, "overlay": True}, "typical", "django_apps.blog.env.SITE_URL: is what the overlay takes the setting from; give it a value"),
    ({"env": {"A": {"from": "PGHOST"}}}, "simple", "django_apps.blog.env.A: takes the value of PGHOST"),
    ({"env": {"A": {"from": "X", "format": "{X}"}}}, "typical", "django_apps.blog.env.A: needs exactly one of from, format"),
    ({"env": {"A": {"form": "X"}}}, "typical", "django_apps.blog.env.A.form: is not a field here (did you mean 'format'?)"),
    ({"files": {"../x": "y"}}, "typical", "django_apps.blog.files: '../x' is not a good name here"),
    (
        {"files": {"a": {"template": "a.j2", "content": "y"}}},
        "typical",
        "django_apps.blog.files.a: needs exactly one of template, content",
    ),
    ({"files": {"/etc/passwd": "y"}}, "typical", "django_apps.blog.files: '/etc/passwd' is not a good name here"),
    ({"overlay_settings": {"X": "1"}}, "typical", "django_apps.blog.overlay_settings: has no effect without overlay"),
    ({"overlay": True, "overlay_settings": {"X": "import os"}}, "typical", "django_apps.blog.overlay_settings.X: is not a Python expression"),
    ({"overlay": True, "overlay_settings": {"x": "1"}}, "typical", "django_apps.blog.overlay_settings: x is not a good name here"),
    ({"overlay": "yes"}, "typical", "django_apps.blog.overlay: must be true or false, not a string"),
    ({"proxy": {"upload_limit": "20 MB"}}, "typical", "django_apps.blog.proxy.upload_limit: must be a number with k, m or g"),
    ({"health": "health"}, "typical", "django_apps.blog.health.path: must start with a slash"),
    ({"keep_releases": 1}, "typical", "django_apps.blog.keep_releases: must be from 2 to 100"),
    ({"env": {"A": "x" * 131_071}}, "typical", "django_apps.blog.env.A: makes A longer than the 131071 bytes that Linux takes"),
    ({"env": {f"A{number}": "x" * 130_000 for number in range(8)}}, "typical", "django_apps.blog.env: has more than 1000000 bytes"),
    ({"aliases": [f"{'x' * 60}{number}.{'y' * 60}.{'z' * 60}.example" for number in range(1000)]}, "typical", "django_apps.blog.domains: makes "),
    ({"env": {"A": "\ud800"}}, "typical", "django_apps.blog.env.A: contains half a character"),
    ({"env": {"A": float("inf")}}, "typical", "django_apps.blog.env.A: is not a number that could be written down (put it in quotes)"),
    ({"env": {"DJANGO_SETTINGS_MODULE": "x"}}, "typical", "django_apps.blog.env.DJANGO_SETTINGS_MODULE: is set by the app's field settings"),
    ({"processes": {"x": {"command": "x", "env": {"DJANGO_SETTINGS_MODULE": "a/b"}}}}, "typical", "django_apps.blog.processes.x.env.DJANGO_SETTINGS_MODULE: must be a module"),
    ({"web": {"env": {"DJANGO_SETTINGS_MODULE": None}}}, "typical", "django_apps.blog.web.env.DJANGO_SETTINGS_MODULE: must be a module"),
    ({"overlay": True, "processes": {"x": {"command": "x", "env": {"DJANGO_SETTINGS_MODULE": "a.b"}}}}, "typical", "django_apps.blog.processes.x.env.DJANGO_SETTINGS_MODULE: would replace the overlay's settings"),
    ({"manage": " "}, "typical", "django_apps.blog.manage: is empty"),
    ({"manage": "../x/manage.py"}, "typical", "django_apps.blog.manage: must be the path of a file inside the source"),
    ({"processes": {"x": "manage.py x #5"}}, "typical", "django_apps.blog.processes.x.command: has a #"),
    ({"processes": {"x": "A=b manage.py x"}}, "typical", "django_apps.blog.processes.x.command: begins with a variable"),
    ({"requirements": {"packages": ["x --index-url http://h"]}}, "typical", "django_apps.blog.requirements.packages[0]: must be a requirement as pip reads it"),
    ({"files": {"a/": "x"}}, "typical", "django_apps.blog.files: 'a/' is not a good name here"),
    ({"shared": ["var"], "files": {"var/x.ini": "x"}}, "typical", "django_apps.blog.files.'var/x.ini': lies in a path of shared"),
    ({"shared": ["x" * 256]}, "typical", "django_apps.blog.shared[0]: has a name that is too long"),
    ({"cache": {"url": "redis://h:port/0"}}, "cache", "django_apps.blog.cache.url: is not a URL"),
    ({"web": {"server": "asgi"}, "database": {"conn_max_age": 60}}, "typical", "django_apps.blog.database.conn_max_age: must be 0 with web.server: asgi"),
    ({"proxy": {"trusted_proxies": ["cloudfare"]}}, "typical", "django_apps.blog.proxy.trusted_proxies[0]: must be an address or a network, such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32, or one of cloudflare, fastly (did you mean 'cloudflare'?)"),
    ({"proxy": {"trusted_proxies": ["0.0.0.0/0"]}}, "typical", "django_apps.blog.proxy.trusted_proxies[0]: is everybody"),
    ({"proxy": {"trusted_proxies": ["10.0.0.1/8"]}}, "typical", "django_apps.blog.proxy.trusted_proxies[0]: is neither an address"),
    ({"tls": "proxy"}, "typical", "django_apps.blog.proxy.trusted_proxies: is required with tls: proxy"),
    ({"tls": "proxy"}, "simple", "django_apps.blog.proxy.trusted_proxies: is required with tls: proxy"),
    ({"database": {"name": "homeport_drill_x"}}, "typical", "django_apps.blog.database.name: is a database of the system"),
    ({"schedules": {"x": {"command": "x", "calendar": "whenever"}}}, "typical", "django_apps.blog.schedules.x.calendar: must be a calendar expression"),
    ({"overlay": True, "overlay_settings": {"X": "-" * 9_000 + "1"}}, "typical", "django_apps.blog.overlay_settings.X: is not a Python expression"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "setup", "message"), BAD, ids=lambda value: json.dumps(value)[:60])
def test_bad(fields: dict[str, Any], setup: str, message: str) -> None:
    found = problems(app(**fields), setup=setup)
    assert [problem for problem in found if problem.startswith(message)], found
    assert CANARY not in "".join(found)


@pytest.mark.parametrize("value", [None, "x", 3, ["x"], True])
def test_an_app_that_is_no_dictionary(value: Any) -> None:
    assert problems(value)[0].startswith("django_apps.blog: must be a dictionary with fields among domains")


@pytest.mark.parametrize("value", [None, "x", 3, ["x"]])
def test_apps_that_are_no_dictionary(value: Any) -> None:
    assert check(value, {}, SECRET, "typical")[0].startswith(
        "django_apps: must be a dictionary of apps by name"
    )


NAMES = [
    "Blog",
    "1blog",
    "blög",
    "b" * 32,
    "a b",
    "a.b",
    "a/b",
    "a'b",
    'a"b',
    "a%b",
    "a\nb",
    "",
    "../a",
    "-a",
    "a$(x)",
]


@pytest.mark.parametrize("name", NAMES)
def test_bad_names(name: str) -> None:
    found = problems(app(), name=name)
    assert len(found) == 1
    assert "cannot name an app: start with a lower-case letter" in found[0]
    assert "\n" not in found[0]


@pytest.mark.parametrize(
    "name", sorted(RESERVED_NAMES & {"root", "postgres", "www-data", "template1", "nginx", "admin"})
)
def test_names_of_the_system(name: str) -> None:
    assert problems(app(), name=name) == [
        f"django_apps.{name}: is the name of a user or service of the system; choose another"
    ]


@pytest.mark.parametrize("name", ["a", "b" * 31, "a-b_c9"])
def test_good_names(name: str) -> None:
    assert problems(app(), name=name) == []


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        (None, "homeport_secret: is required"),
        ("", "homeport_secret: is required"),
        (CANARY, "homeport_secret: must be a string of at least 32 characters"),
        (12345678901234567890123456789012345, "homeport_secret: must be a string of at least 32 characters"),
        ([CANARY * 9], "homeport_secret: must be a string of at least 32 characters"),
    ],
)
def test_the_secret(secret: Any, message: str) -> None:
    found = check({"blog": app()}, {}, secret, "typical")
    assert len(found) == 1
    assert found[0].startswith(message)
    assert CANARY not in found[0]


OTHER = f"{CANARY}{'x' * 40}"


@pytest.mark.parametrize(
    ("previous", "message"),
    [
        (OTHER, "homeport_secret_previous: must be a list of the values before, not a string"),
        ({OTHER: 1}, "homeport_secret_previous: must be a list of the values before, not a dictionary"),
        ([CANARY], "homeport_secret_previous[0]: must be a string of at least 32 characters"),
        ([OTHER, None], "homeport_secret_previous[1]: must be a string of at least 32 characters"),
        ([SECRET], "homeport_secret_previous[0]: is homeport_secret itself"),
        ([OTHER, OTHER], "homeport_secret_previous[1]: is there twice"),
    ],
)
def test_earlier_secrets(previous: Any, message: str) -> None:
    found = check({"blog": app()}, {}, SECRET, "typical", previous)
    assert len(found) == 1
    assert found[0].startswith(message)
    assert CANARY not in found[0]
    assert check({"blog": app()}, {}, SECRET, "typical", [OTHER]) == []


@pytest.mark.parametrize(
    ("rotation", "message"),
    [
        ({"sekret_key": [2, 1]}, "rotation.sekret_key: is not a field here (did you mean 'secret_key'?)"),
        ({"secret_key": [0]}, "rotation.secret_key[0]: must be from 1 to 9999"),
        ({"secret_key": []}, "rotation.secret_key: must have at least 1 item"),
        ({"secret_key": [2, 2]}, "rotation.secret_key[1]: is there twice"),
        ({"secret_key": "new"}, "rotation.secret_key: must be a list, not a string"),
        (2, "rotation: must be a dictionary with fields among secret_key, database_password"),
    ],
)
def test_bad_rotations(rotation: Any, message: str) -> None:
    found = problems(app(rotation=rotation))
    assert len(found) == 1
    assert message in found[0]


def test_an_unknown_setup() -> None:
    assert check({}, {}, SECRET, "typcal") == [
        f"homeport_setup: must be one of {', '.join(SETUPS)} (did you mean 'typical'?)"
    ]


def together(first: dict[str, Any], second: dict[str, Any], setup: str = "typical") -> list[str]:
    apps = {"blog": {**app(), **first}, "shop": {**app(domains=["shop.example.org"]), **second}}
    return check(apps, {}, SECRET, setup)


def test_two_apps_side_by_side() -> None:
    assert together({}, {}) == []


def test_two_apps_with_one_domain() -> None:
    assert together({}, {"domains": ["shop.example.org", "blog.example.org"]}) == [
        "django_apps.shop.domains: blog.example.org belongs to the app blog already"
    ]
    assert together({"aliases": ["*.example.org"]}, {"aliases": ["*.example.org"]}) == [
        "django_apps.shop.aliases: *.example.org belongs to the app blog already"
    ]


def test_two_apps_with_one_database() -> None:
    assert together({"database": {"name": "shop"}}, {}) == [
        "django_apps.shop.database.name: shop is the database of the app blog"
    ]


def test_without_a_proxy_each_app_has_its_own_port() -> None:
    simple = {"setup": "simple"}
    assert together({}, {}, **simple) == [
        "django_apps.shop.web.port: 80 is used by the app blog; without nginx each app needs its own port"
    ]
    assert together({}, {"web": {"port": 8080}}, **simple) == []
    assert together({"web": {"port": 8080}}, {"web": {"port": 8080}}) == []


def test_what_the_vault_may_hold() -> None:
    vault = {
        "env": {"STRIPE_KEY": "a\nb'\"$"},
        "secret_key": "x" * 50,
        "database_password": ["pass w%rd'\" and more", "another one, too"],
        "cache_password": "x" * 16,
        "database_url": "postgres://u:p%40@h/n",
        "deploy_key": KEY,
        "git": "https://token@git.example.org/blog.git",
    }
    assert problems(app(), vault) == []


VAULT: list[tuple[Any, str]] = [
    (
        {"sekret_key": CANARY},
        "vault_django_apps.blog.sekret_key: is not a field here (did you mean 'secret_key'?)",
    ),
    ({"secret_key": CANARY}, "vault_django_apps.blog.secret_key[0]: must be at least 32"),
    ({"secret_key": f"{CANARY}{'x' * 40}\n"}, "vault_django_apps.blog.secret_key[0]: must be a single line"),
    ({"secret_key": []}, "vault_django_apps.blog.secret_key: must have at least 1 item"),
    ({"secret_key": [CANARY * 5] * 2}, "vault_django_apps.blog.secret_key[1]: is there twice"),
    (
        {"secret_key": ["x" * 40, f"{CANARY * 5},"]},
        "vault_django_apps.blog.secret_key[1]: has a comma in it, which separates the keys in SECRET_KEY_FALLBACKS",
    ),
    ({"database_password": CANARY}, "vault_django_apps.blog.database_password[0]: must be at least 16"),
    ({"database_url": CANARY}, "vault_django_apps.blog.database_url: must be a URL"),
    ({"database_url": f"postgres://u:{CANARY}@[h/n"}, "vault_django_apps.blog.database_url: is not a URL"),
    (
        {"env": {"A": {"from": CANARY}}},
        "vault_django_apps.blog.env.A: must be a string, a number or a boolean",
    ),
    ({"env": {"A": f"{CANARY}\0"}}, "vault_django_apps.blog.env.A: contains a NUL byte"),
    ({"env": [CANARY]}, "vault_django_apps.blog.env: must be a dictionary"),
    ([CANARY], "vault_django_apps.blog: must be a dictionary with fields among env"),
    (CANARY, "vault_django_apps.blog: must be a dictionary with fields among env"),
]


@pytest.mark.parametrize(("vault", "message"), VAULT)
def test_what_is_wrong_in_the_vault_is_not_shown(vault: Any, message: str) -> None:
    found = problems(app(), vault)
    assert found[0].startswith(message)
    assert CANARY not in "".join(found)
    assert CANARY[:5] not in "".join(found)


def test_secrets_of_an_app_that_is_not_there() -> None:
    assert check({"blog": app()}, {"blgo": {}}, SECRET, "typical") == [
        "vault_django_apps.blgo: no such app in django_apps (did you mean 'blog'?)"
    ]


def test_no_setting_in_two_places() -> None:
    both = problems(
        app(env={"KEY": CANARY}, database={"url": "postgres://h/n"}),
        {"env": {"KEY": "x"}, "database_url": "postgres://h/m"},
    )
    assert both == [
        "django_apps.blog.env.KEY: is also in vault_django_apps.blog.env; keep one",
        "django_apps.blog.database.url: is also in vault_django_apps.blog.database_url; keep one",
    ]


def test_references_may_name_secrets() -> None:
    assert problems(app(env={"A": {"format": "x{KEY}"}}), {"env": {"KEY": CANARY}}) == []


ODD: list[Any] = [
    None,
    "",
    "x",
    CANARY,
    0,
    -1,
    1.5,
    True,
    [],
    [[]],
    [None],
    [{}],
    {},
    {"a": None},
    {"": ""},
    {1: 2},
    {"url": []},
    {"command": {}},
]


@pytest.mark.parametrize("setup", SETUPS)
def test_nothing_that_yaml_can_say_breaks_the_check(setup: str) -> None:
    for field in APP.fields:
        for value in ODD:
            found = problems(app(**{field: value}), setup=setup)
            assert CANARY not in "".join(found)
    for field in SECRETS.fields:
        for value in ODD:
            assert CANARY not in "".join(problems(app(), {field: value}, setup=setup))


@pytest.mark.parametrize(
    ("database", "vault", "message"),
    [
        ({"ca": "ca.pem"}, {}, "goes with the url of a database that exists already; Homeport verifies its own"),
        ({"ca": "ca.pem", "url": "mysql://u@h/n"}, {}, "is for PostgreSQL; write what another driver takes into the url"),
        ({"ca": "ca.pem"}, {"database_url": "postgres://u:p@h/n?sslrootcert=system"}, "is also in the url, as sslrootcert; keep one"),
        ({"ca": "ca.pem"}, {"database_url": "postgres://u:p@h/n"}, ""),
    ],
)  # fmt: skip
def test_the_authority_of_a_database(database: dict[str, Any], vault: dict[str, str], message: str) -> None:
    wanted = [f"django_apps.blog.database.ca: {message}"] if message else []
    assert problems(app(database=database), vault) == wanted
