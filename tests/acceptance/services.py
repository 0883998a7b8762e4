"""What holds of the instances of Redis, Valkey and Memcached on a server, for the tests of any setup."""

import json
from typing import Any

from tests.acceptance.checks import listening

# Runs on the host, which has no client libraries: speaks with Redis in its own protocol.
CLIENT = """
import json, os, signal, socket, subprocess, sys, time

class Redis:
    def __init__(self, port, password="", address="127.0.0.1"):
        self.stream = socket.create_connection((address, int(port)), 5).makefile("rwb")
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
port, password, words = json.loads(bytes.fromhex(sys.argv[1]))
try:
    print(json.dumps(Redis(port, password)(*words)))
except ConnectionError as error:
    print(json.dumps(str(error)))
"""

BACK = """
unit, port, password = json.loads(bytes.fromhex(sys.argv[1]))
kill(unit)
print(json.dumps(until(lambda: Redis(port, password)("PING") == "PONG", 30)))
"""

# The server is killed while acknowledgements come in; a write without one may be there or not.
WRITE = """
unit, port, password, kills = json.loads(bytes.fromhex(sys.argv[1]))
key = "homeport-test-" + str(os.getpid())
acknowledged, times, sent = [], [], 0
server = Redis(port, password)
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
    times.append(until(lambda: Redis(port, password)("PING") == "PONG", 30))
    server = Redis(port, password)
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


def script(host: Any, text: str, *arguments: Any, user: str = "root") -> Any:
    """What a script on the host printed, run as one of its users."""
    # in hexadecimal, so that no password is on a command line, and so in the journal
    given = json.dumps(arguments).encode().hex()
    ran = host.run(f"runuser -u {user} -- python3 -c %s %s", CLIENT + text, given)
    assert ran.rc == 0, ran.stderr
    return json.loads(ran.stdout)


def ask(host: Any, port: int, password: str, *words: str) -> Any:
    """The answer of a Redis on the host to one command; refusals start with ``-``."""
    return script(host, ASK, port, password, words)


def check_redis_refuses(host: Any, port: int, password: str) -> None:
    """Nobody is let in without the password, and nobody administers the server with it."""
    for line in ("PING", "GET x", "INFO", "FLUSHALL", "CONFIG GET *"):
        assert ask(host, port, "", *line.split()).startswith("-NOAUTH"), line
    assert ask(host, port, f"{password}x", "PING").startswith("-WRONGPASS")
    for line in (
        "CONFIG SET dir /tmp",
        "CONFIG GET *",
        "ACL LIST",
        "MODULE LIST",
        "REPLICAOF 127.0.0.1 1",
        "SHUTDOWN",
        "MONITOR",
    ):
        assert ask(host, port, password, *line.split()).startswith("-NOPERM"), line


def check_redis_serves(host: Any, port: int, password: str) -> None:
    """What Django's cache and the queues ask for."""
    assert ask(host, port, password, "SET", "homeport-test", "1", "EX", "60") == "OK"
    assert (
        ask(host, port, password, "EVAL", "return redis.call('INCR', KEYS[1])", "1", "homeport-test") == "2"
    )
    assert "homeport-test" in ask(host, port, password, "KEYS", "homeport-*")
    assert "redis_version" in ask(host, port, password, "INFO")
    assert "name=" in ask(host, port, password, "CLIENT", "LIST")
    assert ask(host, port, password, "PUBLISH", "anything", "x") == "0"
    assert ask(host, port, password, "SUBSCRIBE", "anything")[0] == "subscribe"
    assert ask(host, port, password, "DEL", "homeport-test") == "1"


def check_redis_is_back(host: Any, unit: str, port: int, password: str, seconds: float = 30) -> None:
    """It answers again soon after it was killed."""
    took = script(host, BACK, unit, port, password)
    assert took < seconds, f"{unit} took {took:.1f} s"


def check_acknowledged_writes_survive(
    host: Any, unit: str, port: int, password: str, kills: int = 3
) -> dict[str, Any]:
    """A persistent instance that is killed under a writing client has all that it acknowledged."""
    found: dict[str, Any] = script(host, WRITE, unit, port, password, kills)
    assert found["acknowledged"] >= kills * 400
    assert found["lost"] == []
    assert max(found["times"]) < 30, found["times"]
    return found


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


def memory_kib(host: Any, unit: str) -> int:
    """Proportional set size of all processes of a unit."""
    text = host.check_output(
        f"for pid in $(systemctl show --value --property=MainPID {unit}); do cat /proc/$pid/smaps_rollup; done"
    )
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
