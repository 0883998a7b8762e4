# Written by Homeport (role django_app).
"""Runs a command on one of several hosts at a time, by a lease in the app's own database.

    lease.py once NAME CALENDAR COMMAND...          a scheduled command, for each of its times on one host
    lease.py hold NAME SIGNAL SECONDS [--state=FILE] [--standby=ARGUMENT] COMMAND...
                                                    a process, on the one host that has the lease

It runs in the environment of a release, and reaches the database by the project's settings. Only the database's clock
tells whether a lease has expired. What a time of a schedule is, each host tells by its own.
"""

import calendar as calendars
import contextlib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections import namedtuple

TABLE = "homeport_leases"
# Seconds. A lease that is not renewed expires after LEASE. Its holder ends the command before, since it may be the
# one that is cut off; a failover of the database takes less than SURE.
LEASE = 45
SURE = 35
RENEW = 5
ENDING = 8  # for the command to end within the rest
# How long what has no lease waits for the database, and how far the clocks of host and database may differ.
CONNECT = 60
SKEW = 300
# The kernel gives up a connection without an answer.
UNANSWERED = 8
# EX_TEMPFAIL
TEMPORARY = 75

CLOCKS = {
    "postgresql": "EXTRACT(EPOCH FROM clock_timestamp())",
    "mysql": "UNIX_TIMESTAMP(SYSDATE(6))",
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
}
OPTIONS = {
    "postgresql": {"connect_timeout": UNANSWERED, "tcp_user_timeout": UNANSWERED * 1000},
    "mysql": {"connect_timeout": UNANSWERED, "read_timeout": UNANSWERED, "write_timeout": UNANSWERED},
}
# What shelve appends to the name of a file, by Python's version and its libraries; the last two are SQLite's.
SUFFIXES = ("", ".db", ".dat", ".bak", ".dir", "-wal", "-shm")
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

Row = namedtuple("Row", ("holder", "expires", "slot", "now"))


class NotNow(Exception):
    """The command is not to be run: what to print, and the exit status."""

    def __init__(self, message, status=0):
        super().__init__(message)
        self.status = status


class Store:
    """The table of leases. A failure closes the connection; the next statement opens another."""

    def __init__(self, connect):
        self.connect = connect
        self.connection = None

    def ask(self, statement, *values):
        """The rows of a query, or how many rows a change found."""
        try:
            if self.connection is None:
                connection = self.connect()
                connection.set_autocommit(True)
                if TABLE not in connection.introspection.table_names():
                    with connection.cursor() as cursor:
                        cursor.execute(
                            f"CREATE TABLE IF NOT EXISTS {TABLE} (name varchar(150) NOT NULL PRIMARY KEY, "
                            "holder varchar(64) NOT NULL, expires double precision NOT NULL, slot bigint NOT NULL)"
                        )
                self.connection = connection
            clock = CLOCKS[self.connection.vendor]
            with self.connection.cursor() as cursor:
                cursor.execute(statement.format(table=TABLE, clock=clock), values)
                return cursor.fetchall() if statement.startswith("SELECT") else cursor.rowcount
        except Exception:
            self.forget()
            raise

    def forget(self):
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def row(self, name):
        query = "SELECT holder, expires, slot, {clock} FROM {table} WHERE name = %s"
        rows = self.ask(query, name)
        if not rows:
            # another host may have inserted it by now
            with contextlib.suppress(Exception):
                self.ask("INSERT INTO {table} (name, holder, expires, slot) VALUES (%s, '', 0, 0)", name)
            rows = self.ask(query, name)
        holder, expires, slot, now = rows[0]
        return Row(holder, float(expires), int(slot), float(now))

    def take(self, name, holder, seen, slot):
        """Whether the lease is ours now: nobody else has touched it since it was ``seen``."""
        return bool(
            self.ask(
                "UPDATE {table} SET holder = %s, slot = %s, expires = {clock} + %s "
                "WHERE name = %s AND holder = %s AND slot = %s AND (holder = %s OR expires < {clock})",
                *(holder, slot, LEASE, name, seen.holder, seen.slot, holder),
            )
        )

    def renew(self, name, holder):
        change = "UPDATE {table} SET expires = {clock} + %s WHERE name = %s AND holder = %s"
        return bool(self.ask(change, LEASE, name, holder))

    def release(self, name, holder):
        self.ask("UPDATE {table} SET expires = 0 WHERE name = %s AND holder = %s", name, holder)


class Keeper(threading.Thread):
    """Takes a lease and renews it, in a thread of its own: a database without an answer keeps nobody waiting.

    ``judge`` looks at the row, and returns the slot to record with the lease, or None where somebody else has it. It
    raises ``NotNow`` where the lease is not wanted.
    """

    def __init__(self, store, name, holder, judge):
        super().__init__(daemon=True)
        self.store, self.name_of_lease, self.holder, self.judge = store, name, holder, judge
        self.ending = threading.Event()
        self.answered = threading.Event()
        self.worked = time.monotonic()  # when the database last answered
        self.since = None  # when the lease was last taken or renewed, by the monotonic clock
        self.previous = ""  # who had it before
        self.refusal = None
        self.problem = ""

    def has(self):
        return self.since is not None and time.monotonic() - self.since < SURE

    def fails(self):
        """Whether the lease can neither be taken nor seen with another host, for CONNECT seconds."""
        return time.monotonic() - self.worked > CONNECT

    def run(self):
        while not self.ending.is_set():
            began = time.monotonic()
            try:
                self.step(began)
                self.problem, pause = "", RENEW
            except NotNow as refusal:
                self.refusal = refusal
                return
            except Exception as error:  # of any driver, and of the project's settings
                self.problem, pause = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", 1
            else:
                self.worked = time.monotonic()
                self.answered.set()
            self.ending.wait(pause)
        if self.refusal is None and self.since is not None:
            with contextlib.suppress(Exception):
                self.store.release(self.name_of_lease, self.holder)

    def step(self, began):
        if self.since is not None:
            if self.store.renew(self.name_of_lease, self.holder):
                self.since = began
            elif self.since > 0:
                self.since = float("-inf")
            return
        seen = self.store.row(self.name_of_lease)
        slot = self.judge(seen)
        if slot is not None and self.store.take(self.name_of_lease, self.holder, seen, slot):
            self.previous, self.since = seen.holder, began

    def end(self):
        """Gives the lease back, where the database answers soon."""
        self.ending.set()
        self.join(UNANSWERED)


class Command:
    """A command, to which signals are passed on."""

    def __init__(self):
        self.process = None
        self.asked = None
        for name in ("TERM", "INT", "QUIT", "HUP", "USR1", "USR2"):
            signal.signal(signal.Signals[f"SIG{name}"], self.pass_on)

    def pass_on(self, number, _frame):
        if number in STOPS:
            self.asked = number
        self.send(number)

    def send(self, number):
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def start(self, words):
        self.process = subprocess.Popen(words)
        if self.asked:
            self.send(self.asked)

    def status(self):
        """The exit status as a shell has it; None while the command runs."""
        found = self.process.poll()
        return found if found is None or found >= 0 else 128 - found

    def stop(self, number, seconds):
        self.send(number)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def say(text):
    print(f"homeport: {text}", flush=True)


def following(calendar, moment):
    """The first time of a calendar after a point in time, both in seconds since 1970; None where there is no more."""
    # Django's settings set TZ. The timer goes by the zone of the host.
    environment = {**os.environ, "LC_ALL": "C"}
    environment.pop("TZ", None)
    words = ["systemd-analyze", "calendar", f"--base-time=@{moment}", "--", calendar]
    text = subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout
    # where the host has another zone, the time in UTC is on a line of its own
    found = re.search(r"\(in UTC\): (.*)", text) or re.search(r"Next elapse: (.*)", text)
    if not found or found[1] == "never":
        return None
    date, clock, _zone = found[1].split()[1:]
    numbers = [int(number) for number in re.split("[-:]", f"{date}:{clock.partition('.')[0]}")]
    return calendars.timegm((*numbers, 0, 0, 0))


def started():
    """When systemd started this run, in seconds since 1970: when the first program of this process began. (What
    systemd itself tells in TRIGGER_TIMER_REALTIME_USEC stays that of the first run.)"""
    with open("/proc/self/stat") as stream:
        ticks = int(stream.read().rpartition(")")[2].split()[19])
    ago = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return int(time.time() - ago)


class Turn:
    """Whether it is this host's turn to run a scheduled command."""

    def __init__(self, holder, calendar, slot):
        self.holder, self.calendar, self.slot = holder, calendar, slot
        # the lease of a host that is lost has expired by then
        self.until = time.monotonic() + LEASE + RENEW

    def __call__(self, row):
        if row.holder == self.holder:
            return row.slot  # the answer to the change was lost
        skew = time.time() - row.now
        if abs(skew) > SKEW:
            raise NotNow(
                f"The clock of this host is {abs(skew):.0f} s {'fast' if skew > 0 else 'slow'}, compared to the "
                "database's. The command was not run here. Synchronize the clock (timedatectl).",
                TEMPORARY,
            )
        if row.slot and not self.due(row.slot):
            raise NotNow("")
        if row.expires >= row.now:
            if time.monotonic() > self.until:
                raise NotNow("The previous run has not ended on another host. This one was left out.")
            return None
        return max(self.slot, row.slot)

    def due(self, last):
        """Whether a time of the schedule has come since the last run."""
        coming = following(self.calendar, last)
        return coming is not None and coming <= self.slot


def failure(keeper):
    return (
        f"The lease could not be taken for {CONNECT} s: {keeper.problem or 'the database does not answer'}."
    )


def once(store, name, calendar, words):
    holder = secrets.token_hex(16)
    keeper, command = Keeper(store, name, holder, Turn(holder, calendar, started())), Command()
    keeper.start()
    while not keeper.has():
        if keeper.refusal is not None:
            if str(keeper.refusal):
                say(keeper.refusal)
            return keeper.refusal.status
        if command.asked:
            return 128 + command.asked
        if keeper.fails():
            say(f"{failure(keeper)} The command was not run.")
            return TEMPORARY
        time.sleep(0.05)
    command.start(words)
    while command.status() is None:
        if not keeper.has():
            command.stop(signal.SIGTERM, ENDING)
            say(
                f"The lease was lost, so that another host may run the command. It was stopped: {keeper.problem}"
            )
            return TEMPORARY
        time.sleep(0.1)
    keeper.end()
    return command.status()


def hold(store, name, holder, stop, seconds, words, state="", standby=""):
    def judge(row):
        return row.slot if row.holder == holder or row.expires < row.now else None

    keeper, command, leads = Keeper(store, name, holder, judge), Command(), False
    keeper.start()
    if standby:
        keeper.answered.wait(2 * UNANSWERED)
        if not keeper.has():
            command.start([*words, standby])
    told = False
    while command.process is None or command.status() is None:
        if keeper.has() and not leads:
            if command.process is not None:
                # supervisord starts it again, and the lease is still this host's
                command.stop(stop, seconds)
                return 0
            if state and keeper.previous not in ("", holder):
                # where another host was the last one to schedule, what is noted here is out of date
                for suffix in SUFFIXES:
                    with contextlib.suppress(FileNotFoundError):
                        os.remove(state + suffix)
            leads = True
            command.start(words)
        elif leads and not keeper.has():
            say(
                f"The lease was lost, so that another host may take over. The command is stopped. {keeper.problem}"
            )
            command.stop(stop, seconds if standby else ENDING)
            return TEMPORARY
        elif command.process is None and command.asked:
            return 128 + command.asked
        elif not leads and not standby and keeper.fails():
            say(f"{failure(keeper)} The command was not started.")
            return TEMPORARY
        elif not leads and not told and standby and keeper.fails():
            say(f"{failure(keeper)} Periodic tasks do not run here.")
            told = True
        elif not told and not leads and not standby and keeper.answered.is_set():
            say("Another host runs it. This one takes over when that host is lost.")
            told = True
        time.sleep(0.1)
    # The lease stays: the next release's process takes it up again.
    return command.status()


def connecting():
    """Opens a connection to the project's own database, without the application itself."""
    from django.db import connections

    settings = connections["default"].settings_dict
    vendor = connections["default"].vendor
    if vendor not in OPTIONS:
        say(
            f"The project's database is {vendor}, which several hosts cannot share: use PostgreSQL or one worker host."
        )
        sys.exit(TEMPORARY)
    options = {**settings.get("OPTIONS", {}), **OPTIONS[vendor]}
    options.pop("pool", None)
    settings["OPTIONS"] = options

    # the application is not loaded here, and none of its models is used
    warnings.filterwarnings("ignore", "Accessing the database during app initialization", RuntimeWarning)
    # of the thread that asks
    return lambda: connections.create_connection("default")


def this_host():
    """What tells this host from the others: names and machine ids are copied with its disk, addresses are not."""
    from django.db import connections

    settings = connections["default"].settings_dict
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError), open("/etc/machine-id") as stream:
        parts.append(stream.read().strip())
    with contextlib.suppress(OSError, ValueError):
        target = str(settings.get("HOST") or "").partition(",")[0]
        [family, kind, _protocol, _name, address] = socket.getaddrinfo(target, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            parts.append(probe.getsockname()[0])
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def has_configurations():
    """Whether django-configurations is installed: a project may have a use of its own for the variable."""
    package = importlib.util.find_spec("configurations")
    places = package and package.submodule_search_locations
    return bool(places and importlib.machinery.PathFinder.find_spec("configurations.importer", places))


def main(words):
    sys.path.insert(0, os.getcwd())
    if os.environ.get("DJANGO_CONFIGURATION") and has_configurations():
        importlib.import_module("configurations.importer").install()
    kind, name, *words = words
    store = Store(connecting())
    if kind == "once":
        calendar, *command = words
        return once(store, name, calendar, command)
    stop, seconds, *words = words
    options = {}
    while words[0].startswith("--"):
        key, _, value = words.pop(0)[2:].partition("=")
        options[key] = value
    return hold(store, name, this_host(), signal.Signals[f"SIG{stop}"], int(seconds), words, **options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
