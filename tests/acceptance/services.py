"""What holds of the instances of Redis, Valkey and Memcached on a server, for the tests of any setup."""

import json
import shlex
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from tests.acceptance.checks import listening

# Runs on the host, which has no client libraries: speaks with Redis in its own protocol.
CLIENT = """
import json, os, signal, socket, subprocess, sys, time

class Redis:
    def __init__(self, place, password=""):
        self.stream = socket.create_connection(place.split(":"), 5).makefile("rwb")
        if password:
            answer = self("AUTH", password)
            if answer != "OK":
                raise ConnectionError(answer)

    def __call__(self, *words):
        parts = [str(word).encode() for word in words]
        self.stream.write(b"*%d\\r\\n" % len(parts))
        for part in parts:
            self.stream.write(b"$%d\\r\\n%s\\r\\n" % (len(part), part))
        self.stream.flush()
        return self.answer()

    def answer(self):
        line = self.stream.readline().decode().rstrip()
        if not line:
            raise ConnectionError("closed")
        kind, rest = line[0], line[1:]
        if kind == "$":
            return None if rest == "-1" else self.stream.read(int(rest) + 2)[:-2].decode()
        if kind == "*":
            return [self.answer() for _ in range(int(rest))]
        return line if kind == "-" else rest

def main_pid(unit):
    return int(subprocess.check_output(["systemctl", "show", "--value", "--property=MainPID", unit]))

def kill(unit):
    pid = main_pid(unit)
    assert pid > 0, unit + " does not run"
    os.kill(pid, signal.SIGKILL)
    return pid

def until(question, seconds):
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        try:
            if question():
                break
        except OSError:
            pass
        time.sleep(0.02)
    return time.monotonic() - start
"""

ASK = """
place, password, words = json.loads(bytes.fromhex(sys.argv[1]))
try:
    print(json.dumps(Redis(place, password)(*words)))
except ConnectionError as error:
    print(json.dumps(str(error)))
"""

BACK = """
unit, place, password = json.loads(bytes.fromhex(sys.argv[1]))
kill(unit)
print(json.dumps(until(lambda: Redis(place, password)("PING") == "PONG", 30)))
"""

# The server is killed while acknowledgements come in; a write without one may be there or not.
WRITE = """
unit, place, password, kills = json.loads(bytes.fromhex(sys.argv[1]))
key = "homeport-test-" + str(os.getpid())
acknowledged, times, sent = [], [], 0
server = Redis(place, password)
for _ in range(kills):
    at, dead = len(acknowledged) + 400, False
    while True:
        try:
            if len(acknowledged) >= at and not dead:
                dead = True
                # by another process, so that writes go on until the server is gone
                killer = subprocess.Popen(["kill", "-9", str(main_pid(unit))])
            sent += 1
            server("LPUSH", key, sent)
            acknowledged.append(sent)
        except OSError:
            break
    killer.wait()
    times.append(until(lambda: Redis(place, password)("PING") == "PONG", 30))
    server = Redis(place, password)
found = {int(value) for value in server("LRANGE", key, 0, -1)}
server("DEL", key)
print(json.dumps({"lost": sorted(set(acknowledged) - found)[:9], "acknowledged": len(acknowledged), "times": times}))
"""

KNOCK = """
address, port = json.loads(bytes.fromhex(sys.argv[1]))
try:
    socket.create_connection((address, port), 3).close()
    print(json.dumps("open"))
except OSError as error:
    print(json.dumps(type(error).__name__))
"""

MEMCACHED = """
path, value = json.loads(bytes.fromhex(sys.argv[1]))
client = socket.socket(socket.AF_UNIX)
client.settimeout(3)
try:
    client.connect(path)
    client.sendall(b"set homeport-test 0 60 %d\\r\\n%s\\r\\nget homeport-test\\r\\n" % (len(value), value.encode()))
    found = b""
    while not found.endswith(b"END\\r\\n"):
        part = client.recv(4096)
        if not part:
            break
        found += part
    print(json.dumps(found.decode()))
except OSError as error:
    print(json.dumps(type(error).__name__))
"""

BACK_MEMCACHED = """
unit, path = json.loads(bytes.fromhex(sys.argv[1]))
kill(unit)

def connects():
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(b"version\\r\\n")
    return client.recv(100).startswith(b"VERSION")

print(json.dumps(until(connects, 30)))
"""


SEARCH = """
import glob
wanted = json.loads(bytes.fromhex(sys.argv[1]))[0].encode()
folders = ("/etc", "/run", "/var/lib/redis", "/var/lib/valkey", "/var/lib/homeport", "/var/log")
paths = glob.glob("/proc/[0-9]*/cmdline")
for folder in folders:
    for top, _folders, names in os.walk(folder):
        paths += [os.path.join(top, name) for name in names]
found = ["journal"] if wanted in subprocess.check_output(["journalctl", "--no-pager"]) else []
for path in paths:
    try:
        if os.path.isfile(path) and wanted in open(path, "rb").read():
            found.append(path)
    except OSError:
        continue
print(json.dumps(found))
"""

# Takes what a service listens on in the moment in which it does not, and keeps it.
SQUAT = """
places, flag = json.loads(bytes.fromhex(sys.argv[1]))
held, tries = {}, 0
while os.path.exists(flag):
    for place in places:
        address, port = place.split(":")
        for there in {address, "0.0.0.0"} - {name.split(":")[0] for name in held if name.endswith(":" + port)}:
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            tries += 1
            try:
                server.bind((there, int(port)))
                server.listen()
            except OSError:
                server.close()
            else:
                held[there + ":" + port] = server
    time.sleep(0.001)
print(json.dumps([tries, sorted(held)]))
"""


def script(host: Any, text: str, *arguments: Any, user: str = "root") -> Any:
    """What a script on the host printed, run as one of its users."""
    # in hexadecimal, so that no password is on a command line, and so in the journal
    given = json.dumps(arguments).encode().hex()
    ran = host.run(f"runuser -u {user} -- python3 -c %s %s", CLIENT + text, given)
    assert ran.rc == 0, ran.stderr
    return json.loads(ran.stdout)


def url_of(host: Any, app: str, use: str) -> SplitResult:
    """The address of an app's cache or broker."""
    return urlsplit(host.check_output(f'. /srv/{app}/config/env && echo "${use.upper()}_URL"'))


def redis_of(host: Any, app: str, use: str) -> tuple[str, str]:
    """Where the Redis is that an app has as its cache or its broker (address and port), and its password."""
    url = url_of(host, app, use)
    return f"{url.hostname}:{url.port}", unquote(url.password or "")


def ask(host: Any, place: str, password: str, *words: str) -> Any:
    """The answer of a Redis on the host to one command; refusals start with ``-``."""
    return script(host, ASK, place, password, words)


def check_redis_refuses(host: Any, place: str, password: str) -> None:
    """Nobody is let in without the password, and nobody administers the server with it."""
    for line in ("PING", "GET x", "INFO", "FLUSHALL", "CONFIG GET *"):
        assert ask(host, place, "", *line.split()).startswith("-NOAUTH"), line
    assert ask(host, place, f"{password}x", "PING").startswith("-WRONGPASS")
    for line in (
        "CONFIG SET dir /tmp",
        "CONFIG GET *",
        "ACL LIST",
        "MODULE LIST",
        "REPLICAOF 127.0.0.1 1",
        "SHUTDOWN",
        "MONITOR",
    ):
        assert ask(host, place, password, *line.split()).startswith("-NOPERM"), line


def check_redis_serves(host: Any, place: str, password: str) -> None:
    """What Django's cache and the queues ask for."""
    assert ask(host, place, password, "SET", "homeport-test", "1", "EX", "60") == "OK"
    assert (
        ask(host, place, password, "EVAL", "return redis.call('INCR', KEYS[1])", "1", "homeport-test") == "2"
    )
    assert "homeport-test" in ask(host, place, password, "KEYS", "homeport-*")
    assert "redis_version" in ask(host, place, password, "INFO")
    assert "name=" in ask(host, place, password, "CLIENT", "LIST")
    assert ask(host, place, password, "PUBLISH", "anything", "x") == "0"
    assert ask(host, place, password, "SUBSCRIBE", "anything")[0] == "subscribe"
    assert ask(host, place, password, "DEL", "homeport-test") == "1"


def check_redis_is_back(host: Any, unit: str, place: str, password: str, seconds: float = 30) -> None:
    """It answers again soon after it was killed."""
    took = script(host, BACK, unit, place, password)
    assert took < seconds, f"{unit} took {took:.1f} s"


def check_acknowledged_writes_survive(
    host: Any, unit: str, place: str, password: str, kills: int = 3
) -> dict[str, Any]:
    """A persistent instance that is killed under a writing client has all that it acknowledged."""
    found: dict[str, Any] = script(host, WRITE, unit, place, password, kills)
    assert found["acknowledged"] >= kills * 400
    assert found["lost"] == []
    assert max(found["times"]) < 30, found["times"]
    return found


def check_ports_are_kept(host: Any, unit: str, user: str, *places: str) -> None:
    """Another user of the host never gets an address of a service while that restarts, and the service comes back."""
    flag = host.check_output("mktemp -p /run homeport-squat.XXXXXX")
    given = json.dumps([places, flag]).encode().hex()
    squat = f"runuser -u {user} -- timeout 900 python3 -c {shlex.quote(CLIENT + SQUAT)} {given}"
    # at last the service is left to come back by itself
    restart = f"for _ in 1 2 3; do timeout 120 systemctl restart {unit}; done"
    killed = f"systemctl kill --signal=KILL {unit}; sleep 1"
    up = f"for _ in $(seq 600); do systemctl is-active -q {unit} && break; sleep 0.5; done"
    ran = host.run(f"{squat} & sleep 1; {{ {restart}; {killed}; {up}; }} >&2; rm {flag}; wait")
    tries, taken = json.loads(ran.stdout)
    assert tries > 100
    assert taken == [], f"{user} has bound {taken}"
    assert host.run(f"systemctl is-active {unit}").stdout.strip() == "active", ran.stderr
    assert set(places) <= set(listening(host)), listening(host)


def check_unreachable(host: Any, address: str, *ports: int) -> None:
    """Nothing answers at an address, seen from a host."""
    for port in ports:
        assert script(host, KNOCK, address, port) != "open", f"{address}:{port}"


def check_no_packaged_instance(host: Any) -> None:
    """What the packages start by themselves, open to everybody, does not run."""
    ports = {address.rpartition(":")[2] for address in listening(host)}
    assert not ports & {"6379", "11211"}


def check_password_is_nowhere(host: Any, password: str) -> None:
    """Neither in a file of the servers, nor in the journal or among the arguments of a process."""
    assert script(host, SEARCH, password) == []


def check_memcached(host: Any, name: str, member: str, stranger: str) -> None:
    """A member of the group reads and writes, another user does not even reach the socket."""
    path = f"/run/memcached-{name}/memcached.sock"
    answer = script(host, MEMCACHED, path, "hello", user=member)
    assert answer == "STORED\r\nVALUE homeport-test 0 5\r\nhello\r\nEND\r\n"
    assert script(host, MEMCACHED, path, "hello", user=stranger) == "PermissionError"


def check_memcached_is_back(host: Any, name: str, seconds: float = 30) -> None:
    """It answers again soon after it was killed."""
    took = script(host, BACK_MEMCACHED, f"memcached@{name}.service", f"/run/memcached-{name}/memcached.sock")
    assert took < seconds, f"memcached@{name} took {took:.1f} s"
