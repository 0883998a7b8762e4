"""What one app can do to another, tried as an attacker who runs code as its user.

Each attempt returns what succeeded, as text that a person understands: an empty list is what is wanted. An attempt
that cannot fail proves nothing, so each first makes sure that what it goes for is there (``there``), and the same
commands succeed for the app's own things where that can be tried (``check_the_attacker_is_able``).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

Found = list[str]


class Attacker:
    """The user of one app, trying its hand at another."""

    def __init__(self, host: Any, app: str, victim: str) -> None:
        self.host = host
        self.app = app
        self.victim = victim

    def run(self, command: str) -> Any:
        """A command as the attacker: with the groups and the rights that code of the app has."""
        return self.host.run(f"runuser -u {self.app} -- sh -c {shlex.quote(command)}")

    def there(self, path: str) -> str:
        """A path that the attempt goes for; without it there would be nothing to keep."""
        assert self.host.run(f"ls -d {path}").rc == 0, f"there is no {path}"
        return path

    def succeed(self, attempts: dict[str, str]) -> Found:
        """Those of ``attempts`` (what it would mean: command) that work; each in a shell of its own, at one go."""
        lines = [
            f"sh -c {shlex.quote(command)} >/dev/null 2>&1 </dev/null && echo {number}"
            for number, command in enumerate(attempts.values())
        ]
        done = self.run("\n".join([*lines, "echo end"]))
        *numbers, end = done.stdout.split()
        assert end == "end", done.stderr
        return [what for number, what in enumerate(attempts) if str(number) in numbers]


# What a client of Redis or RabbitMQ without any library says. The passwords are those that the user who runs it
# knows: none is in the arguments of a process, which others may see and the journal keeps.
CLIENT = """
import os, socket, struct, sys
from urllib.parse import unquote, urlsplit

def known():
    addresses = [urlsplit(value) for name, value in os.environ.items() if name.endswith("_URL")]
    found = [unquote(address.password) for address in addresses if address.password]
    return ["", *dict.fromkeys([*found, os.environ["SECRET_KEY"]])]

def redis(place, *words):
    for password in known():
        stream = socket.create_connection(place.split(":"), 5).makefile("rwb")
        for line in (["AUTH", password], list(words)) if password else (list(words),):
            stream.write(b"*%d\\r\\n" % len(line) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(w), w.encode()) for w in line))
            stream.flush()
            answer = stream.readline()
        if answer and not answer.startswith(b"-"):
            return True
    return False

def frame(stream):
    kind, _channel, size = struct.unpack(">BHI", stream.read(7))
    payload = stream.read(size + 1)
    return struct.unpack(">HH", payload[:4]) if kind == 1 else (0, 0)

def rabbitmq(place, user, vhost):
    for password in [*known()[1:], "guest"]:
        stream = socket.create_connection(place.split(":"), 5).makefile("rwb")
        def send(numbers, payload):
            payload = struct.pack(">HH", *numbers) + payload
            stream.write(struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\\xce")
            stream.flush()
        def short(text):
            return bytes([len(text)]) + text.encode()
        try:
            stream.write(b"AMQP\\0\\0\\x09\\x01")
            stream.flush()
            assert frame(stream) == (10, 10)
            login = f"\\0{user}\\0{password}".encode()
            # else it keeps silent for three seconds before it hangs up
            able = short("authentication_failure_close") + b"t\\x01"
            able = short("capabilities") + b"F" + struct.pack(">I", len(able)) + able
            able = struct.pack(">I", len(able)) + able
            send((10, 11), able + short("PLAIN") + struct.pack(">I", len(login)) + login + short("en_US"))
            if frame(stream) != (10, 30):
                continue
            send((10, 31), struct.pack(">HIH", 1, 131072, 0))
            send((10, 40), short(vhost) + short("") + b"\\0")
            if frame(stream) == (10, 41):
                return True
        except (OSError, struct.error):  # it hung up
            continue
    return False

kind, place, *words = sys.argv[1:]
sys.exit(0 if {"redis": redis, "rabbitmq": rabbitmq}[kind](place, *words) else 1)
"""


def sh_python(code: str, *arguments: str) -> str:
    return shlex.join(["python3", "-c", code, *arguments])


def reach(path: str) -> str:
    """Connects to a unix socket."""
    return sh_python("import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])", path)


def client(app: str, *words: str) -> str:
    """A command to a server, with the passwords in the environment of ``app``."""
    return f". /srv/{app}/config/env && {sh_python(CLIENT, *words)}"


def usable(attacker: Attacker, paths: list[str], how: str) -> Found:
    """Those of ``paths`` that the attacker may read (R) or write (W)."""
    code = (
        "import os, sys; "
        f"print(*(path for path in sys.stdin.read().split('\\n') if path and os.access(path, os.{how}_OK)))"
    )
    done = attacker.run(f"printf '%s\\n' {shlex.quote(chr(10).join(paths))} | {sh_python(code)}")
    assert done.rc == 0, done.stderr
    return str(done.stdout).split()


def files(attacker: Attacker) -> Found:
    """Reads and lists everything of the other app's."""
    host, victim = attacker.host, attacker.victim
    home = attacker.there(f"/srv/{victim}")
    found = attacker.succeed(
        {
            f"lists {path}": f"ls {path}/."
            for path in (
                home,
                *(f"{home}/{name}" for name in ("config", "releases", "current", "current/src", "slots")),
                *(f"{home}/{name}" for name in ("shared", "shared/data", "home", "cache", "static")),
                *([f"{home}/shared/media"] if host.file(f"{home}/shared/media").exists else []),
                *([f"{home}/dumps"] if host.file(f"{home}/dumps").exists else []),
                f"/run/homeport/{victim}",
                f"/var/log/homeport/{victim}",
            )
        }
    )
    # by name, as somebody would who knows how it is laid out; what visitors get is no secret
    listed = host.check_output(
        f"find {home}/ /var/log/homeport/{victim} /run/homeport/{victim} -ignore_readdir_race -type f "
        f"-not -path '{home}/static/*' -not -path '{home}/maintenance/page.html' -not -path '*/venv/*' "
        f"-not -path '{home}/cache/*'"
    ).split("\n")
    assert f"{home}/config/env" in listed
    return found + [f"reads {path}" for path in usable(attacker, listed, "R")]


def writing(attacker: Attacker) -> Found:
    """Puts a file into, or appends to, what is not its own."""
    home = attacker.there(f"/srv/{attacker.victim}")
    places = attacker.host.check_output(
        f"find {home} /run/homeport /var/log/homeport /etc/homeport /usr/local/lib/homeport /var/lib/homeport "
        f"/etc/supervisor /etc/nginx /etc/systemd/system /srv/{attacker.app}/releases -maxdepth 3 "
        f"-not -path '/srv/{attacker.app}/releases/*/src*' -not -path '/srv/{attacker.app}/releases/*/venv*' "
        f"-not -path '/srv/{attacker.app}/releases/*/static*' -not -type l 2>/dev/null || true"
    ).split("\n")
    places += [f"/srv/{attacker.app}", f"/srv/{attacker.app}/config", f"/srv/{attacker.app}/config/env"]
    own = (f"/run/homeport/{attacker.app}", f"/run/homeport/{attacker.app}.sock")
    assert home in places
    return [
        f"writes to {path}"
        for path in usable(attacker, places, "W")
        if path not in own and not path.startswith(f"{own[0]}/")
    ]


def sockets(attacker: Attacker) -> Found:
    """Talks to the other app past nginx, and to what rules all of them."""
    listed = attacker.host.check_output("find /run -ignore_readdir_race -type s").split()
    known = {
        attacker.there(f"/run/homeport/{attacker.victim}.sock"),
        # on which a new release is tried; it may last for a moment only (``tried``)
        attacker.there(f"/run/homeport/{attacker.victim}/try.sock"),
        attacker.there("/run/supervisor.sock"),
        *(path for path in listed if path.startswith(f"/run/homeport/{attacker.victim}")),
    }
    # a socket that anybody reaches on any Debian: it asks each who they are
    found = attacker.succeed({f"connects to {path}": reach(path) for path in sorted(known)})
    return found + attacker.succeed(
        {"rules supervisord": f"supervisorctl status {attacker.victim}.web:0 >/dev/null"}
    )


def listening(attacker: Attacker) -> Found:
    """Finds the other app's processes listening where no folder keeps anybody out, as gunicorn's control socket
    would in the home of a user."""
    seen = attacker.host.check_output(f"runuser -u {attacker.victim} -- ss -Hxtlp").split("\n")
    mine = [words for line in seen if "users:" in line for words in [line.split()] if words[1] == "LISTEN"]
    public = f"/run/homeport/{attacker.victim}"
    paths = {words[4] for words in mine}
    assert f"{public}.sock" in paths, paths
    return [
        f"may find {path}, on which {attacker.victim} listens"
        for path in sorted(paths)
        if path != f"{public}.sock" and not path.startswith(f"{public}/")
    ]


def address(host: Any, app: str, name: str) -> Any:
    """The parts of an address in an app's environment."""
    return urlsplit(host.check_output(f'. /srv/{app}/config/env && printf %s "${{{name}:-}}"'))


def services(attacker: Attacker) -> Found:
    """Gets at the other app's cache and broker: by the network, by their sockets, by what is written of them."""
    host, victim = attacker.host, attacker.victim
    found: Found = []
    for service in ("cache", "broker"):
        where = address(host, victim, f"{service.upper()}_URL")
        if where.scheme == "redis":
            found += redis(attacker, service, f"{where.hostname}:{where.port}")
        elif where.scheme == "amqp":
            found += rabbitmq(attacker, f"{where.hostname}:{where.port}")
        elif where.scheme == "pymemcache":
            socket = attacker.there(where.path)
            assert Attacker(host, victim, victim).run(reach(socket)).rc == 0, (
                f"{victim} cannot reach {socket}"
            )
            found += attacker.succeed({f"connects to {socket}": reach(socket)})
    return found


def redis(attacker: Attacker, service: str, place: str) -> Found:
    """Talks to the other app's instance without a password and with all that it knows itself."""
    host, victim = attacker.host, attacker.victim
    assert Attacker(host, victim, victim).run(client(victim, "redis", place, "PING")).rc == 0, f"no {service}"
    found = attacker.succeed(
        {
            f"says {words} to the {service}": client(attacker.app, "redis", place, *words.split())
            for words in (
                "PING",
                "KEYS *",
                "INFO",
                "SET intruder 1",
                "CLIENT LIST",
                "CONFIG GET *",
                "FLUSHALL",
            )
        }
    )
    # nobody does, whose it may be: it is asked last, and as its owner
    for who in (attacker, Attacker(host, victim, victim)):
        found += who.succeed(
            {f"{who.app} ends the {service}": client(who.app, "redis", place, "SHUTDOWN", "NOSAVE")}
        )
    name = f"{victim}-{service}"
    server = "valkey" if host.file(f"/etc/valkey/valkey-{name}.conf").exists else "redis"
    unit = f"{server}-server@{name}"
    attacker.there(f"/etc/{server}/{server}-{name}.conf")
    folders = f"/etc/{server} /var/lib/{server}/{name} /run/{server}-{name}"
    files = host.check_output(
        f"find {folders} -ignore_readdir_race -name '*{name}*' -o -path '*{name}/*'"
    ).split()
    pid = host.check_output(f"systemctl show --value --property=MainPID {unit}")
    assert int(pid) > 0
    found += [
        f"{what} {path}"
        for how, what in (("R", "reads"), ("W", "writes"))
        for path in usable(attacker, files, how)
    ]
    return found + attacker.succeed(
        {
            **{
                f"{what} of {unit}": f"cat /proc/{pid}/{what} >/dev/null"
                for what in ("environ", "cmdline", "status")
            },
            f"signals {unit}": f"kill -0 {pid}",
            f"stops {unit}": f"systemctl --no-ask-password stop {unit}",
        }
    )


def rabbitmq(attacker: Attacker, place: str) -> Found:
    """Goes into the other app's virtual host, as itself, as that app, and as everybody."""
    host, app, victim = attacker.host, attacker.app, attacker.victim
    own = Attacker(host, victim, victim)
    login = str(address(host, victim, "BROKER_URL").username)
    assert own.run(client(victim, "rabbitmq", place, login, victim)).rc == 0, f"{victim} cannot log in"
    cookie = attacker.there("/var/lib/rabbitmq/.erlang.cookie")
    found = attacker.succeed(
        {
            f"opens {vhost} of RabbitMQ as {user}": client(app, "rabbitmq", place, user, vhost)
            for user in (address(host, app, "BROKER_URL").username or app, login, "guest")
            for vhost in (victim, "/")
        }
    )
    return found + [f"reads {path}" for path in usable(attacker, [cookie], "R")]


def processes(attacker: Attacker) -> Found:
    """Sees, reads and signals the other app's processes."""
    host = attacker.host
    pids = host.check_output(f"pgrep -u {attacker.victim}").split()
    assert pids
    users = attacker.run("ps -eo user:32=").stdout.split()
    assert attacker.app in users
    found = [f"sees processes of {user}" for user in sorted(set(users) - {attacker.app})]
    attempts = {}
    for pid in pids:
        for what in ("environ", "cmdline", "maps", "status", "mem"):
            attempts[f"{what} of process {pid}"] = f"cat /proc/{pid}/{what}"
        attempts[f"signals process {pid}"] = f"kill -0 {pid}"
        attempts[f"is in /proc: {pid}"] = f"test -d /proc/{pid}"
        attempts[f"changes the limits of {pid}"] = f"prlimit --pid {pid} --nofile=99:99"
    return found + attacker.succeed(attempts)


def has_database(host: Any, app: str) -> bool:
    """Whether an app's database is in the host's PostgreSQL."""
    return bool(address(host, app, "DATABASE_URL").scheme == "postgres")


def database(attacker: Attacker) -> Found:
    """Becomes the other app's role, or goes into its database as its own."""
    app, victim = attacker.app, attacker.victim
    if not has_database(attacker.host, victim):
        return []  # a file, which is among its files
    own = Attacker(attacker.host, victim, victim).run(f"psql -X -d {victim} -c 'select 1'")
    assert own.rc == 0, own.stderr
    return attacker.succeed(
        {
            f"connects to the database {victim} as {app}": f"psql -X -d {victim} -c 'select 1'",
            f"connects as {victim} by the socket": f"psql -X -U {victim} -d {victim} -c 'select 1'",
            f"connects as {victim} over TCP": f"psql -X -w -h 127.0.0.1 -U {victim} -d {victim} -c 'select 1'",
            "connects as postgres": "psql -X -U postgres -d postgres -c 'select 1'",
            f"becomes {victim}": f"psql -X -d {app} -c 'set role \"{victim}\"'",
            "reads passwords": f"psql -X -d {app} -c 'select rolpassword from pg_authid'",
            "reads files of the server": f"psql -X -d {app} -c \"select pg_read_file('PG_VERSION')\"",
            "runs programs as postgres": f"psql -X -d {app} -c \"copy (select 1) to program 'cat'\"",
            "ends connections of others": f'psql -X -d {app} -c "select 1 / (count(*) filter (where '
            f"pg_terminate_backend(pid)))::int from pg_stat_activity where datname = '{victim}'\"",
            f"reads queries of {victim}": f'test -n "$(psql -X -At -d {app} -c "select query from '
            f"pg_stat_activity where datname = '{victim}' and query not like '<insufficient%' and query <> ''\")\"",
            "makes a role": f"psql -X -d {app} -c 'create role intruder'",
            "makes a database": f"psql -X -d {app} -c 'create database intruder'",
        }
    )


def settings(attacker: Attacker, secrets: tuple[str, ...]) -> Found:
    """Looks for what is secret in all that anybody may read of the host's configuration, records and journal."""
    assert secrets
    # in hexadecimal: a pattern on a command line would itself be what is found
    places = (
        "/etc /var/lib/homeport /var/log /run /usr/local /tmp /var/tmp /dev/shm /var/backups /var/spool /opt"
    )
    patterns = "".join(f"{secret}\n" for secret in secrets).encode().hex()
    decode = "import sys; sys.stdout.write(bytes.fromhex(sys.argv[1]).decode())"
    done = attacker.run(
        f"python3 -c {shlex.quote(decode)} {patterns} | timeout 120 grep -rIlsF -f - {places}; true"
    )
    found = [f"finds a secret in {path}" for path in done.stdout.split()]
    found += attacker.succeed(
        {
            "reads records of deploys": "ls /var/lib/homeport/. || ls /var/lib/homeport/deploys/.",
            "reads backups of removed apps": "ls /var/backups/homeport/.",
            "reads supervisord's log": "cat /var/log/supervisor/supervisord.log",
            "reads the journal of others": "journalctl -q -n 1 _SYSTEMD_UNIT=supervisor.service | grep -q .",
            "reads root's home": "ls /root/.",
            "becomes root": "sudo -n true",
        }
    )
    # each by its name: nginx writes one for each site, and its folder may forbid nothing but to be listed
    logs = attacker.host.check_output(
        "find /var/log/nginx /var/log/postgresql /var/log/supervisor -ignore_readdir_race -type f"
    ).split()
    found += [f"reads {path}" for path in usable(attacker, logs, "R")]
    units = attacker.run(
        f"systemctl cat supervisor.service nginx.service '{attacker.victim}.*' '*@{attacker.victim}*' 2>/dev/null; "
        "systemctl show --property=Environment,ExecStart supervisor.service nginx.service "
        f"'*@{attacker.victim}*' rabbitmq-server.service; "
        "cat /etc/crontab /etc/cron.*/*"
    ).stdout
    return found + ["finds a secret in what systemd tells" for secret in secrets if secret in units]


def leftovers(attacker: Attacker) -> Found:
    """What builds, deploys and runs left where everybody looks."""
    listed = attacker.host.check_output(
        f"find /tmp /var/tmp /dev/shm -xdev -mindepth 1 -user {attacker.victim} || true"
    ).split()
    return [f"reads {path}" for path in usable(attacker, listed, "R")]


# Further things that a host may have for each app add their attempts here.
ATTEMPTS = (files, writing, sockets, listening, services, processes, database, leftovers)


@contextmanager
def tried(host: Any, apps: list[str]) -> Iterator[None]:
    """Each app's live release as if it were a new one that is being tried."""
    for app in apps:
        host.check_output(
            f"systemd-run --quiet --collect --unit=homeport-try-{app} -p User={app} -p Group={app} "
            f"/usr/local/lib/homeport/gunicorn-try $(readlink -f /srv/{app}/current) /run/homeport/{app}/try.sock"
        )
    try:
        for app in apps:
            host.check_output(
                f"for _ in $(seq 1200); do [ -S /run/homeport/{app}/try.sock ] && exit 0; sleep 0.1; done; exit 1"
            )
        yield
    finally:
        for app in apps:
            host.run(f"systemctl stop homeport-try-{app}")


def check_the_attacker_is_able(host: Any, app: str) -> None:
    """What is tried on others works on one's own: it is not for another reason that it fails there."""
    own = Attacker(host, app, app)
    for command in (
        f"cat /srv/{app}/config/env /srv/{app}/current/config/env",
        f"ls /srv/{app}/current/src/. /srv/{app}/shared/data/.",
        reach(f"/run/homeport/{app}.sock"),
        reach(f"/run/homeport/{app}/try.sock"),
        f"cat /proc/$(pgrep -u {app} -o)/environ",
        f"kill -0 $(pgrep -u {app} -o)",
        *([f"psql -X -d {app} -c 'select 1'"] if has_database(host, app) else []),
    ):
        done = own.run(command)
        assert done.rc == 0, (command, done.stderr)


def secrets_of(host: Any, app: str) -> tuple[str, ...]:
    """Values of the app's environment that nobody else may know."""
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    environment = json.loads(host.check_output(f"set -a; . /srv/{app}/config/env; {sh_python(script)}"))
    urls = [urlsplit(value).password for name, value in environment.items() if name.endswith("_URL")]
    found = [
        environment["SECRET_KEY"],
        environment.get("PGPASSWORD", ""),
        *(unquote(url or "") for url in urls),
    ]
    return tuple(dict.fromkeys(value for value in found if len(value) >= 8))


def check_isolation(host: Any, apps: list[str]) -> None:
    """Each app tries everything on each other one."""
    with tried(host, apps):
        for app in apps:
            check_the_attacker_is_able(host, app)
            for victim in apps:
                if victim == app:
                    continue
                attacker = Attacker(host, app, victim)
                found = [text for attempt in ATTEMPTS for text in attempt(attacker)]
                found += settings(attacker, secrets_of(host, victim))
                assert not found, f"{app} against {victim}: {'; '.join(found)}"
