"""Root in folders where an app can write: links, races, pipes, devices, and processes that stay."""

import json
from typing import Any

import requests

from tests.acceptance.attacker import PROGRAMS, Evil

STATE = "/var/lib/homeport/backups"


def page(host: Any, app: str, path: str = "/") -> requests.Response:
    address = host.ansible.get_variables()["ansible_host"]
    return requests.get(f"http://{address}{path}", headers={"Host": f"{app}.example"}, timeout=30)


def live(host: Any, app: str) -> str:
    return str(host.check_output(f"readlink /srv/{app}/current"))


def test_a_shared_folder_that_is_a_link(evil: Evil, host: Any) -> None:
    """What the repository brings is copied to where the link leads by the app's own user, who may not."""
    evil.append("uploads/zz.sh", "touch /attacked\n")
    evil.do("rm -rf /srv/evil/shared/files/uploads; ln -s /etc/profile.d /srv/evil/shared/files/uploads")
    done = evil.play("deploy", "-e", "app=evil")
    assert not host.file("/etc/profile.d/zz.sh").exists
    assert done.status != 0
    assert "shared.uploads" in done.output, done.output
    assert page(host, "evil").status_code == 200


def test_a_forged_media_root(evil: Evil, host: Any) -> None:
    """The settings name as their media what leads out of the release; the repository has a file for it."""
    evil.append("media/deep/zz.sh", "touch /attacked\n")
    evil.do("rm -rf /srv/evil/shared/media/*; ln -s /etc/profile.d /srv/evil/shared/media/deep")
    evil.append("notes/settings.py", 'MEDIA_ROOT = f"{BASE_DIR}/x/../media"\n')
    evil.play("deploy", "-e", "app=evil", evil={"media": "local", "build": ["mkdir x"]})
    assert not host.file("/etc/profile.d/zz.sh").exists
    evil.do("rm -rf /srv/evil/shared/media/*")


def test_folders_and_files_that_are_exchanged_while_root_works(evil: Evil, host: Any) -> None:
    """Static files, files of the operator's, configuration: the live process exchanges what it can for links."""
    for name in ("trap/shadow", "trap/passwd", "victim/env", "shadow"):
        evil.append(f"notes/static/{name}", "x" * 1000)
    evil.append("conf/env", "x\n")
    evil.append("trap/shadow", "x\n")
    evil.lives("watch", f"exec python3 {PROGRAMS}/watch.py 1500")
    files = {"trap/shadow": {"content": "x"}, "trap/homeport.conf": {"content": "x"}}
    left = "setsid -f sh -c 'exec -a left-behind sleep 900'; true"
    for number in range(2):
        evil.append("notes/static/trap/changed.css", f"{number}\n")
        # a process in a session of its own holds the build's output open: the build ends, and so does that
        more = {"files": files if number else {}, "static": {"precompress": False}, "build": [left]}
        evil.play("deploy", "-e", "app=evil", evil=more)
        assert evil.gained() == []
        assert host.run("pgrep -u evil -f left-behind").rc != 0
    host.check_output("systemctl stop attack-watch")
    assert not host.file("/etc/homeport.conf").exists
    assert "root:" not in page(host, "evil", "/static/shadow").text
    assert "root:" not in page(host, "evil", "/static/trap/shadow").text
    assert page(host, "victim").status_code == 200


def test_pipes_and_devices_hold_nobody_up(evil: Evil, host: Any) -> None:
    """In the place of what root used to read: the other app is deployed, seen and backed up meanwhile."""
    source = f"{live(host, 'evil')}/src"
    evil.do(f"cd {source} && rm -f manage.py && mkfifo manage.py && ln -sf /dev/zero README.md")
    before = live(host, "victim")
    try:
        planned = evil.play("deploy", "-e", "app=evil", "--check", "--diff", evil={"env": {"X": "1"}})
        assert planned.status == 0, planned.output
        hooks = {
            "before_build": [
                "rm -f manage.py pyproject.toml; mkfifo manage.py; ln -s /dev/zero pyproject.toml"
            ]
        }
        done = evil.play("deploy", evil={"hooks": hooks}, env={"X": evil.nonce})
        assert done.status != 0
        assert live(host, "victim") != before
        assert evil.play("status").status in (0, 2)
    finally:
        evil.do(
            f"cd {source} && rm -f manage.py && cp /srv/victim/../evil/current/src/notes/wsgi.py manage.py"
        )


def test_answers_that_are_none_concern_their_app_alone(evil: Evil, host: Any) -> None:
    """What a process of the app prints behind the marks of Homeport's programs is a claim."""
    forged = (
        "import atexit, os, sys\n"
        "def lie():\n"
        "    for stream in (sys.stdout, sys.stderr):\n"
        "        stream.write('homeport-answer:' + os.environ.get('LIE', '[]') + '\\n')\n"
        "        stream.flush()\n"
        "if os.environ.get('LIE'):\n"
        "    atexit.register(lie)\n"
    )
    evil.append("notes/settings.py", forged)
    before = live(host, "victim")
    done = evil.play("deploy", evil={"env": {"LIE": "[]"}}, env={"X": evil.nonce})
    assert done.status != 0
    assert "evil: Loading the project: the project's answer is invalid" in done.output, done.output
    assert live(host, "victim") != before
    # live with a good answer, it begins to lie when its database is dumped
    late = forged.replace("os.environ.get('LIE'):", "'compress' in sys.argv[-1]:")
    evil.append("notes/settings.py", late)
    assert evil.play("deploy", "-e", "app=evil").status == 0
    host.run("systemctl start homeport-backup")
    states = {
        name: json.loads(host.file(f"{STATE}/{name}.json").content_string) for name in ("evil", "victim")
    }
    assert states["victim"]["backup"]["last"]["ok"], states
    assert not states["evil"]["backup"]["last"]["ok"], states


def test_a_forged_manifest(evil: Evil, host: Any) -> None:
    """Paths, owners and the home of another app, in what the app's own process says of its dump."""
    lie = {
        "vendor": "postgresql", "rows": {}, "migrations": [], "extensions": [], "bytes": 1, "home": "/srv/victim",
        "ids": {"uid": 0, "gid": 0, "web_gid": 0}, "paths": ["/etc/homeport", "/etc/shadow"],
        "dump": {"file": "../../../../../etc/homeport/backup/password", "bytes": 1, "sha256": "0" * 64},
    }  # fmt: skip
    forged = (
        "import atexit, json, os, sys\n"
        "def lie():\n"
        f"    sys.stderr.write('homeport-answer:' + json.dumps({lie!r}) + '\\n')\n"
        "    sys.stderr.flush()\n"
        "if 'compress' in sys.argv[-1]:\n"
        "    atexit.register(lie)\n"
    )
    evil.append("notes/settings.py", forged)
    assert evil.play("deploy", "-e", "app=evil").status == 0
    host.check_output("systemctl start homeport-backup")
    host.run("systemctl start homeport-drill")
    state = json.loads(host.file(f"{STATE}/evil.json").content_string)
    assert "password" not in json.dumps(state), state
    victim = host.check_output("find /srv/victim/home /srv/victim/shared -printf '%p %u %i\\n' | sort")
    done = evil.play("restore", "-e", "app=evil", "-e", "confirm=evil")
    assert (
        host.check_output("find /srv/victim/home /srv/victim/shared -printf '%p %u %i\\n' | sort") == victim
    )
    assert done.status != 0  # its own rows are not those that it has claimed
    assert "differs from the backup" in done.output, done.output


def test_nginx_follows_no_link_to_what_is_not_the_apps(evil: Evil, host: Any) -> None:
    media = "/srv/evil/shared/media"
    host.check_output("runuser -u victim -- sh -c 'echo private > /srv/victim/shared/media/private.txt'")
    page(host, "victim", "/?token=secret")
    evil.do(
        f"cd {media} && echo mine > own.txt && ln -sfn own.txt link.txt && echo hidden > .hidden && "
        "echo '<b>' > a.shtml && ln -sfn /var/log/nginx/victim.access.log log.txt && "
        "ln -sfn /srv/victim/shared/media others && ln -sfn /var/log/nginx logs && ln -sfn /etc/passwd passwd.txt"
    )
    assert page(host, "evil", "/media/own.txt").text == "mine\n"
    assert page(host, "evil", "/media/link.txt").text == "mine\n"
    for path in ("log.txt", "others/private.txt", "logs/victim.access.log", "passwd.txt", ".hidden"):
        assert page(host, "evil", f"/media/{path}").status_code in (403, 404), path
    assert page(host, "evil", "/media/a.shtml").headers["Content-Disposition"] == "attachment"
    assert "Content-Disposition" not in page(host, "evil", "/media/own.txt").headers


def test_what_an_app_prints_moves_no_cursor(evil: Evil) -> None:
    """Escape sequences, of which one sets the clipboard: in checks, errors, packages, commands and logs."""
    escape = "\\x1b]52;c;ZXZpbA==\\x07\\x9b31m\\u202e"
    checks = (
        "from django.core import checks\n"
        "@checks.register(checks.Tags.security, deploy=True)\n"
        f"def attack(app_configs, **_):\n    return [checks.Warning('{escape}', id='evil.W1{escape}')]\n"
    )
    evil.append("notes/models.py", checks)
    evil.append("notes/management/__init__.py", "")
    evil.append("notes/management/commands/__init__.py", "")
    command = "from django.core.management.base import BaseCommand\nclass Command(BaseCommand):\n"
    command += (
        f"    def handle(self, **_):\n        print('{escape}')\n        raise SystemExit('{escape}')\n"
    )
    evil.append("notes/management/commands/shout.py", command)
    done = evil.play("deploy", "-e", "app=evil")
    assert "52;c;" in done.output, done.output
    done.output += evil.play("manage", "-e", "app=evil", "-e", "command=shout").output
    failing = {"build": [f"printf '{escape}\\n'; printf '\\033]52;c;ZXZpbA==\\a\\n'; false"]}
    done.output += evil.play("deploy", "-e", "app=evil", evil=failing).output
    done.output += evil.play("logs", "-e", "app=evil").output
    done.output += evil.play("status").output
    for char in ("\x1b", "\x07", "\x9b", "\u202e"):
        assert char not in done.output, repr(done.output[done.output.index(char) - 200 :][:400])
