"""layouts: what projects of every shape see of their surroundings, and how mistakes are reported."""

import hashlib
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.acceptance.checks import check_deployment_checks
from tests.layouts.build import HOSTILE, HOSTILE_ARGUMENTS, HOSTILE_FILE, HOSTILE_FOLDER

ROOT = Path(__file__).parents[3]

# What the page of each project says of it; the layouts themselves are in tests/layouts/build.py.
SEEN: dict[str, dict[str, Any]] = {
    "dburl": {"engine": "postgresql", "gunicorn": "20.1.0"},
    "nested": {"settings": "core.settings", "gunicorn": "21.2.0"},
    "private": {"engine": "postgresql", "gunicorn": "23.0.0", "extra": ["1.0", "1.0"]},
    "pair": {"engine": "postgresql"},
    "built": {"hello": "hallo"},
    "packaged": {"settings": "packaged_site.settings", "engine": "postgresql"},
    "files": {
        "extra": {"site": "files.example", "media": "/srv/files/shared/media", "motd": "Good morning.\n"},
        "django": "5.2.1",
    },
    "pipenv": {"engine": "postgresql"},
    "poetry": {"engine": "postgresql", "django": "5.2.1"},
    "locked": {"engine": "postgresql"},
    "async": {"scope": "http"},
    "kept": {"engine": "sqlite3"},
    "busy": {"settings": "site_.production"},
}
STARTPROJECT = {"plain": "5.2", "oldest": "4.2", "newest": "6.0"}
RUN = "/usr/local/lib/homeport/run"


class Site:
    """The web server's address, and a visitor who has no DNS."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, name: str, path: str = "/", **options: Any) -> requests.Response:
        url = f"http://{self.address}{path}"
        headers = {"Host": f"{name}.example", **options.pop("headers", {})}
        return requests.get(url, headers=headers, allow_redirects=False, timeout=20, **options)


@pytest.fixture
def site(host: Any) -> Site:
    return Site(host.ansible.get_variables()["ansible_host"])


def deploy(host: Any, broken: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
    """Runs the app part of the playbook, with something changed in the definitions of the apps."""
    inventory = Path(host.backend.ansible_runner.inventory_file)
    inventory = inventory if inventory.is_dir() else inventory.parent
    extra = json.dumps({"layouts_broken": broken})
    command = [
        "ansible-playbook",
        "playbooks/deploy.yml",
        "--inventory",
        str(inventory),
        "--extra-vars",
        extra,
        *words,
    ]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def releases(host: Any) -> dict[str, str]:
    """The release that each app runs."""
    found = host.check_output("for app in /srv/*; do echo ${app##*/} $(readlink $app/current); done")
    return dict(line.split() for line in found.splitlines())


@pytest.mark.parametrize("name", SEEN)
def test_the_project_sees_its_surroundings(name: str, site: Site, host: Any) -> None:
    answer = site.get(name)
    assert answer.status_code == 200
    page = answer.json()
    assert {key: page[key] for key in SEEN[name]} == SEEN[name]
    assert page["layout"] == name
    if "release" in page:
        assert page["debug"] is False
        assert host.file(f"/srv/{name}/current").linked_to.endswith(f"/{page['release']}")


# Asks from the address of a trusted proxy, and from another, with the same claims.
FROM = """
import http.client, json
for source in ("127.0.0.2", "127.0.0.3"):
    connection = http.client.HTTPConnection("127.0.0.1", 80, source_address=(source, 0))
    claims = {"X-Forwarded-For": "192.0.2.1, 203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "on"}
    connection.request("GET", "/", headers={"Host": "NAME.example:666", **claims})
    print(json.dumps(json.load(connection.getresponse())["client"]))
"""


# with gunicorn 20.1 and a current one, and with its ASGI worker
@pytest.mark.parametrize(("name", "trusted"), [("dburl", False), ("poetry", True), ("async", True)])
def test_who_asks_is_who_a_trusted_proxy_says(name: str, trusted: bool, host: Any) -> None:
    said = host.check_output(f"python3 -c {shlex.quote(FROM.replace('NAME', name))}").splitlines()
    proxy = ["203.0.113.9", "https"] if trusted else ["127.0.0.2", "http"]
    assert [json.loads(line) for line in said] == [
        [*proxy, f"{name}.example"],
        ["127.0.0.3", "http", f"{name}.example"],
    ]


def test_names_of_its_own_in_the_environment(site: Site) -> None:
    page = site.get("nested").json()
    assert page["extra"] == f"jdbc:postgresql:nested?user=nested&release={page['release']}"


@pytest.mark.parametrize("name", STARTPROJECT)
def test_startproject_is_a_site_with_a_working_admin(name: str, site: Site, host: Any) -> None:
    within = f"runuser -u {name} -- {RUN} /srv/{name}/current"
    forget = "from django.contrib.auth.models import User; User.objects.all().delete()"
    host.check_output(f"{within} manage.py shell -c '{forget}'")
    user = "manage.py createsuperuser --noinput --username root --email root@example.org"
    host.check_output(f"{within} env DJANGO_SUPERUSER_PASSWORD=let-me-in {user}")
    session = requests.Session()
    session.headers["Host"] = f"{name}.example"
    address = f"http://{site.address}/admin/login/?next=/admin/"
    form = session.get(address, timeout=20)
    assert form.status_code == 200
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', form.text)
    assert token
    login = {"username": "root", "password": "let-me-in", "csrfmiddlewaretoken": token[1]}
    entered = session.post(address, data=login, allow_redirects=False, timeout=20)
    assert (entered.status_code, entered.headers["Location"]) == (302, "/admin/")
    assert "/admin/auth/user/" in session.get(f"http://{site.address}/admin/", timeout=20).text
    sheet = re.search(r'href="(/static/admin/css/base\.[0-9a-f]{12}\.css)"', form.text)
    assert sheet, "the style sheet has no hash in its name"
    assert "text/css" in site.get(name, sheet[1]).headers["Content-Type"]
    assert host.check_output(f"{within} python -m django --version").startswith(STARTPROJECT[name])


def test_hosts_that_startproject_does_not_know(site: Site) -> None:
    answer = site.get("www.plain", "/admin/")
    assert (answer.status_code, answer.headers["Location"]) == (308, "http://plain.example/admin/")


@pytest.mark.parametrize(
    ("name", "path", "text"),
    [
        ("dburl", "/static/site.css", "/* dburl */"),
        ("nested", "/static/site.css", "/* nested */"),
        ("built", "/static/made.txt", "SOURCE"),
        ("files", "/assets/site.css", "/* prebuilt */"),
        ("async", "/static/site.css", "/* async */"),
    ],
)
def test_static_files_are_served(name: str, path: str, text: str, site: Site) -> None:
    answer = site.get(name, path)
    assert answer.status_code == 200
    assert text in answer.text
    assert answer.headers["Server"].startswith("nginx")


def test_an_app_without_static_files(site: Site) -> None:
    assert site.get("pipenv", "/static/site.css").status_code == 404


def test_the_deploy_key_does_not_stay(host: Any) -> None:
    assert host.check_output("find / -xdev -name 'deploy_key*'") == ""
    folders = "/srv /run/homeport /etc/supervisor /var/log/homeport"
    assert host.check_output(f"grep -rl --exclude='*.py' 'BEGIN OPENSSH PRIVATE KEY' {folders} || true") == ""


def test_the_default_branch_was_not_taken(host: Any) -> None:
    for name in ("newest", "dburl", "private"):
        assert host.run(f"grep -rq 'this is the default branch' /srv/{name}/current/src").rc == 1


def test_an_examiner_of_https_gives_the_best_of_marks(host: Any) -> None:
    """testssl.sh, told to trust the certificate: A+, no suite with CBC, nothing that it thinks is worth a remark."""
    certificate = "/etc/homeport/certificates/examined/live/fullchain.pem"
    # what a grade needs, and no more: it takes its time
    words = "testssl --quiet --color 0 --warnings off --overwrite --ip 127.0.0.1 -p -s -f -S -h -U"
    done = host.run(
        f"timeout 1200 {words} --add-ca {certificate} --jsonfile /run/testssl.json examined.example"
    )
    found = {one["id"]: one for one in json.loads(host.file("/run/testssl.json").content_string)}
    assert found["overall_grade"]["finding"] == "A+", done.stdout
    assert found["cipherlist_OBSOLETED"]["finding"] == "not offered", done.stdout
    # nobody could revoke a certificate that nobody else has signed
    grave = {name for name, one in found.items() if one["severity"] in ("MEDIUM", "HIGH", "CRITICAL")}
    assert grave <= {"cert_revocation"}, done.stdout


def test_long_running_commands(host: Any) -> None:
    status = host.check_output("supervisorctl status 'busy.worker:*' 'busy.listener:*'")
    assert re.findall(r"^(\S+) +RUNNING", status, re.MULTILINE) == [
        "busy.worker:0",
        "busy.listener:0",
        "busy.listener:1",
    ]
    release = releases(host)["busy"].rpartition("/")[2]
    assert f"worker of {release} sees " in host.file("/var/log/homeport/busy/worker-0.log").content_string
    assert f"listener of {release}" in host.file("/var/log/homeport/busy/listener-1.log").content_string


def test_hostile_values_arrive_as_they_are_written(site: Site, host: Any) -> None:
    named = {name: value for name, value in HOSTILE.items() if name.startswith("HOSTILE_")}
    page = site.get("busy").json()
    assert page["hostile"] == {**named, "HOSTILE_WEB": HOSTILE["HOSTILE_QUOTES"]}
    everywhere = {**HOSTILE, "MOTTO": "{{ 7 * 7 }} is not 49", "SECRET": HOSTILE["HOSTILE_QUOTES"]}
    log = host.file("/var/log/homeport/busy/listener-0.log").content_string
    arguments, digests = json.loads([line for line in log.splitlines() if line.startswith("[[")][-1])
    assert arguments == HOSTILE_ARGUMENTS
    own = {**everywhere, "OWN": f"{HOSTILE['HOSTILE_QUOTES']} of /srv/busy/releases/{page['release']}"}
    del own["HOSTILE_SPACES"]
    expected = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in own.items()}
    assert {name: digests[name] for name in own} == expected
    assert not digests.keys() & {"HOSTILE_SPACES", "HOSTILE_WEB"}
    # and what a management command gets
    within = ["runuser", "-u", "busy", "--", RUN, "/srv/busy/current", "manage.py", "shell", "-c"]
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    found = json.loads(host.check_output(shlex.join([*within, program])).splitlines()[-1])
    assert {name: found[name] for name in everywhere} == everywhere
    assert not found.keys() & {"OWN", "HOSTILE_WEB"}
    written = host.file(f"/srv/busy/current/src/{HOSTILE_FILE}")
    assert written.content == "".join(HOSTILE.values()).encode()


def test_extensions_come_with_their_packages(host: Any) -> None:
    query = "runuser -u postgres -- psql -qAt dburl -c 'SELECT extname FROM pg_extension ORDER BY 1'"
    assert host.check_output(query).split() == ["citext", "plpgsql", "semver"]


def test_a_second_database_is_in_backups_and_drills(host: Any) -> None:
    def rows(database: str, table: str) -> str:
        query = f"SELECT count(*) > 0 FROM {table}"
        done = host.run(f"runuser -u postgres -- psql -qAt {database} -c {shlex.quote(query)}")
        return str(done.stdout.strip()) if done.rc == 0 else "no table"

    code = "from site_.models import Report; Report.objects.create(title='one')"
    host.check_output(f"runuser -u pair -- {RUN} /srv/pair/current manage.py shell -c {shlex.quote(code)}")
    assert (rows("pair_reports", "site__report"), rows("pair", "site__report")) == ("t", "no table")
    assert (rows("pair", "django_content_type"), rows("pair_reports", "auth_user")) == ("t", "no table")
    host.check_output("homeport-backup backup pair")
    host.check_output("homeport-backup drill pair")
    state = json.loads(host.file("/var/lib/homeport/backups/pair.json").content_string)
    backup, drill = state["backup"]["last"], state["drill"]["last"]
    assert (drill["rows"], drill["tables"]) == (backup["rows"], backup["tables"])
    tables = "select count(*) from pg_tables where schemaname = 'public'"
    counts = [
        int(host.check_output(f'runuser -u postgres -- psql -qAt {name} -c "{tables}"'))
        for name in ("pair", "pair_reports")
    ]
    assert backup["tables"] == sum(counts)


@pytest.mark.parametrize("name", STARTPROJECT)
def test_the_checks_of_a_deployment_find_nothing(name: str, host: Any) -> None:
    check_deployment_checks(host, name)


def test_nor_would_they_over_https(host: Any) -> None:
    check_deployment_checks(host, "newest", "https://newest.example")


def test_scheduled_commands(host: Any) -> None:
    assert host.service("busy.digest.timer").is_enabled
    assert host.service("busy.digest.timer").is_running
    host.check_output("systemctl start busy.digest.service")
    log = host.file("/var/log/homeport/busy/digest.log").content_string
    assert '{{ 7 * 7 }} is not 49|50% $x|it"s|#|digest of' in log
    assert re.search(
        r"digest of \d+ users$", host.file("/var/log/homeport/busy/digest.log").content_string, re.MULTILINE
    )


def test_data_beside_the_code_survives_a_release(site: Site, host: Any) -> None:
    before = site.get("kept").json()
    name = f"ann-{before['users']}"
    assert site.get("kept", f"/add/{name}/").text == "added"
    done = deploy(host, {"kept": {"env": {"GENERATION": before["release"]}}}, "--extra-vars", "app=kept")
    assert done.returncode == 0, done.stdout
    after = site.get("kept").json()
    assert after["release"] != before["release"]
    assert after["users"] == before["users"] + 1
    assert site.get("kept", f"/media/{name}.txt").text == name


# By app: what is changed, and what the message must say.
MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "plain": ({"overlay": False, "env": {"DEBUG": "True"}}, ["STATIC_ROOT", "overlay: true"]),
    "oldest": ({"manage": "src/manage.py"}, ["manage: the source has no src/manage.py"]),
    "newest": ({"overlay": False}, ["settings: DEBUG is on", "overlay: true"]),
    "nested": ({"settings": "core.nowhere"}, ["settings: the project has no module core.nowhere"]),
    "pipenv": ({"source": {"subdirectory": "none"}}, ["source.subdirectory: the source has no folder none"]),
    "built": ({"build": ["cat nothing-here"]}, ["build command 'cat nothing-here'", "No such file"]),
    "packaged": (
        {"source": {"package": "packaged-site @ http://127.0.0.1:8111/packaged_site-2.0-py3-none-any.whl"}},
        ["source.package", "packaged_site-2.0"],
    ),
    "files": ({"files": {"site_/settings.py": "this is = = no Python\n"}}, ["settings.py", "SyntaxError"]),
    "poetry": (
        {"source": {"path": "../projects/twins"}},
        ["one/manage.py, two/manage.py", "name one in manage"],
    ),
    "locked": ({"requirements": {"packages": ["Django==99.0"]}}, ["requirements.packages", "django==99.0"]),
    "async": (
        {"requirements": {"packages": ["gunicorn==23.0.0"]}},
        ["web.server: asgi needs gunicorn", "23.0.0"],
    ),
    "kept": ({"files": {"site_/settings.py": "import os\nos.environ['NO_KEY']\n"}}, ["env: ", "NO_KEY"]),
    "busy": (
        {"files": {f"{HOSTILE_FOLDER}/site_/urls.py": "import not_there\n"}},
        ["requirements: ", "not_there"],
    ),
}
# The same for those that show only when the new release is asked for its page.
LATE_MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "busy": ({"env": {"ALLOWED_HOSTS": "other.example"}}, ["status 400", "ALLOWED_HOSTS"]),
    "dburl": (
        {
            "files": {
                "site_/urls.py": "from django.urls import path\ndef page(request): return missing\n"
                "urlpatterns = [path('', page)]\n"
            }
        },
        ["status 500", "NameError: name 'missing' is not defined"],
    ),
    "kept": (
        {"files": {"site_/wsgi.py": "raise RuntimeError('no start')\n"}},
        ["does not start", "no start"],
    ),
}


@pytest.mark.parametrize("mistakes", [MISTAKES, LATE_MISTAKES], ids=["build", "activate"])
def test_mistakes_are_named_and_leave_everything_running(
    mistakes: dict[str, Any], site: Site, host: Any
) -> None:
    before = releases(host)
    done = deploy(host, {name: change for name, (change, _words) in mistakes.items()})
    assert done.returncode != 0
    message = re.search(r"^ *msg: \|-\n(.*?)^PLAY RECAP", done.stdout, re.MULTILINE | re.DOTALL)
    assert message, done.stdout
    told = re.split(rf"(?:^|\n\n)        (?=(?:{'|'.join(mistakes)}): )", message[1])
    for name, (_change, words) in mistakes.items():
        mine = [part for part in told if part.startswith(f"{name}: ")]
        assert len(mine) == 1, f"{name} is not named in\n{message[1]}"
        assert [word for word in words if word not in mine[0]] == []
    secrets = host.check_output("sh -c '. /srv/private/config/env; echo $SECRET_KEY $API_TOKEN'").split()
    assert len(secrets) == 2
    assert not any(secret in done.stdout + done.stderr for secret in secrets)
    assert releases(host) == before
    for name in SEEN:
        assert site.get(name).status_code == 200


def test_code_that_cannot_be_fetched_is_named_before_anything_is_changed(host: Any) -> None:
    before = releases(host)
    done = deploy(
        host,
        {
            "dburl": {"source": {"git": "git://127.0.0.1/nothing.git"}},
            "private": {"source": {"version": "nowhere"}},
        },
        "--check",
    )
    assert done.returncode != 0
    assert "nothing was changed:" in done.stdout
    assert "- django_apps.dburl.source.git: " in done.stdout
    assert re.search(r"- django_apps\.private\.source\.version: .* has no branch or tag nowhere", done.stdout)
    assert "changed=0" in done.stdout
    assert releases(host) == before


def test_a_good_definition_ends_all_of_it(host: Any) -> None:
    done = deploy(host, {})
    assert done.returncode == 0, done.stdout
    assert "failed=0" in done.stdout
