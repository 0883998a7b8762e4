"""What one app can do to another, tried as an attacker who runs code as its user.

Each attempt returns what succeeded, as text that a person understands: an empty list is what is wanted. An attempt
that cannot fail proves nothing, so each first makes sure that what it goes for is there (``there``), and the same
commands succeed for the app's own things where that can be tried (``check_the_attacker_is_able``).
"""

from __future__ import annotations

import shlex
from typing import Any

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
        """Those of ``attempts`` (what it would mean: command) that work."""
        return [what for what, command in attempts.items() if self.run(command).rc == 0]


def sh_python(code: str, *arguments: str) -> str:
    return shlex.join(["python3", "-c", code, *arguments])


def reach(path: str) -> str:
    """Connects to a unix socket."""
    return sh_python("import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])", path)


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
        f"find {home}/ /var/log/homeport/{victim} /run/homeport/{victim} -type f "
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
    listed = attacker.host.check_output("find /run -type s").split()
    known = {
        attacker.there(f"/run/homeport/{attacker.victim}.sock"),
        attacker.there("/run/supervisor.sock"),
        *(path for path in listed if path.startswith(f"/run/homeport/{attacker.victim}")),
    }
    # a socket that anybody reaches on any Debian: it asks each who they are
    found = attacker.succeed({f"connects to {path}": reach(path) for path in sorted(known)})
    return found + attacker.succeed(
        {"rules supervisord": f"supervisorctl status {attacker.victim}.web:0 >/dev/null"}
    )


def processes(attacker: Attacker) -> Found:
    """Sees, reads and signals the other app's processes."""
    host = attacker.host
    pids = host.check_output(f"pgrep -u {attacker.victim}").split()
    assert pids
    users = attacker.run("ps -eo user:32=").stdout.split()
    assert attacker.app in users
    found = [f"sees processes of {user}" for user in sorted(set(users) - {attacker.app})]
    for pid in pids:
        found += attacker.succeed(
            {
                f"{what} of process {pid}": f"cat /proc/{pid}/{what} >/dev/null"
                for what in ("environ", "cmdline", "maps", "status", "mem")
            }
        )
        found += attacker.succeed(
            {
                f"signals process {pid}": f"kill -0 {pid}",
                f"is in /proc: {pid}": f"test -d /proc/{pid}",
                f"changes the limits of {pid}": f"prlimit --pid {pid} --nofile=99:99",
            }
        )
    return found


def database(attacker: Attacker) -> Found:
    """Becomes the other app's role, or goes into its database as its own."""
    app, victim = attacker.app, attacker.victim
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
    # by standard input: a pattern on a command line would itself be what is found
    places = (
        "/etc /var/lib/homeport /var/log /run /usr/local /tmp /var/tmp /dev/shm /var/backups /var/spool /opt"
    )
    patterns = shlex.quote("\n".join(secrets))
    done = attacker.run(f"printf '%s\\n' {patterns} | timeout 120 grep -rIlsF -f - {places}; true")
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
        "find /var/log/nginx /var/log/postgresql /var/log/supervisor -type f"
    ).split()
    found += [f"reads {path}" for path in usable(attacker, logs, "R")]
    units = attacker.run(
        f"systemctl cat supervisor.service nginx.service '{attacker.victim}.*' 2>/dev/null; "
        "systemctl show --property=Environment,ExecStart supervisor.service nginx.service; "
        "cat /etc/crontab /etc/cron.*/*"
    ).stdout
    return found + ["finds a secret in what systemd tells" for secret in secrets if secret in units]


def leftovers(attacker: Attacker) -> Found:
    """What builds, deploys and runs left where everybody looks."""
    listed = attacker.host.check_output(
        f"find /tmp /var/tmp /dev/shm -xdev -mindepth 1 -user {attacker.victim} || true"
    ).split()
    return [f"reads {path}" for path in usable(attacker, listed, "R")]


# Further things that a host may have for each app (a cache, a broker) add their attempts here.
ATTEMPTS = (files, writing, sockets, processes, database, leftovers)


def check_the_attacker_is_able(host: Any, app: str) -> None:
    """What is tried on others works on one's own: it is not for another reason that it fails there."""
    own = Attacker(host, app, app)
    for command in (
        f"cat /srv/{app}/config/env /srv/{app}/current/config/env",
        f"ls /srv/{app}/current/src/. /srv/{app}/shared/data/.",
        reach(f"/run/homeport/{app}.sock"),
        f"cat /proc/$(pgrep -u {app} -o)/environ",
        f"kill -0 $(pgrep -u {app} -o)",
        f"psql -X -d {app} -c 'select 1'",
    ):
        done = own.run(command)
        assert done.rc == 0, (command, done.stderr)


def secrets_of(host: Any, app: str) -> tuple[str, ...]:
    """Values of the app's environment that nobody else may know."""
    text = host.check_output(f'. /srv/{app}/config/env && printf \'%s\\n\' "$SECRET_KEY" "${{PGPASSWORD:-}}"')
    return tuple(line for line in text.split("\n") if len(line) >= 8)


def check_isolation(host: Any, apps: list[str]) -> None:
    """Each app tries everything on each other one."""
    for app in apps:
        check_the_attacker_is_able(host, app)
        for victim in apps:
            if victim == app:
                continue
            attacker = Attacker(host, app, victim)
            found = [text for attempt in ATTEMPTS for text in attempt(attacker)]
            found += settings(attacker, secrets_of(host, victim))
            assert not found, f"{app} against {victim}: {'; '.join(found)}"
