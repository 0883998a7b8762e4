"""Every secret of a scenario, and a search for each of them where none may be.

Those are what Ansible printed, and on a host its journal, its logs, the command lines of processes, and every file that
somebody else can read: ``nobody``, or the user of another app.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from ansible_collections.homeport.django.plugins.module_utils.common.derive import PURPOSES, SITE, accepted

LEAST = 12  # characters; what is shorter is found by chance
PLANT = "planted"
# Variables of an inventory that hold secrets, whatever their shape.
VARIABLES = (
    "homeport_secret", "homeport_secret_previous", "homeport_authority_key", "vault_django_apps",
    "backup_password", "backup_previous_passwords", "backup_ssh_key", "backup_credentials",
    "pgbackrest_password", "pgbackrest_ssh_key", "pgbackrest_credentials",
    "certificates_dns_key_secret", "certificates_eab_hmac_key",
    "postgres_databases", "redis_instances", "rabbitmq_vhosts",
)  # fmt: skip


class Secret(NamedTuple):
    name: str
    owner: str  # the app that may read it; empty where none may
    texts: list[str]


def secrets_of(variables: Mapping[str, Any]) -> list[Secret]:
    """Everything that is secret in an inventory, and everything that is derived from it."""
    found = []
    for variable in VARIABLES:
        for path, text in leaves(variables.get(variable)):
            owner = path[0] if variable == "vault_django_apps" else ""
            found.append(Secret(".".join([variable, *path]), owner, shapes(text)))
    sources = [variables["homeport_secret"], *(variables.get("homeport_secret_previous") or [])]
    for name, app in (variables.get("django_apps") or {}).items():
        for purpose in PURPOSES:
            generations = app.get("rotation", {}).get(purpose, [])
            for number, text in enumerate(accepted(sources, name, purpose, (), generations)):
                # the one of SECRET_KEY is two, one after the other: half of it is too much
                found.append(Secret(f"{purpose} {number} of {name}", name, [text[:43]]))
    for purpose in ("archive_password", "backup_password"):
        found.append(Secret(purpose, "", accepted(sources, SITE, purpose)))
    return [secret for secret in found if secret.texts]


def leaves(value: Any, *path: str) -> Iterator[tuple[list[str], str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, *path, str(key))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from leaves(item, *path, str(number))
    elif isinstance(value, str):
        yield list(path), value


def shapes(text: str) -> list[str]:
    """What to look for: the text as it may be written, the lines of a key, and the password of an address."""
    parts = (
        [line for line in text.splitlines() if not line.startswith("-----")] if "-----" in text else [text]
    )
    if "://" in text:
        parts.append(unquote(urlsplit(text).password or ""))
    forms = {form for part in parts for form in (part, quote(part, safe=""), json.dumps(part)[1:-1])}
    return sorted(form for form in forms if len(form) >= LEAST)


def variables_of(host: Any) -> dict[str, Any]:
    """The variables of a host that matter here, as a playbook would see them."""
    names = (*VARIABLES, "django_apps")
    fields = ", ".join(f"'{name}': {name} | default('')" for name in names)
    found: dict[str, Any] = host.ansible("ansible.builtin.debug", f'msg="{{{{ {{{fields}}} }}}}"')["msg"]
    return found


def found_in_file(path: Path, wanted: list[Secret]) -> list[str]:
    """Names of the secrets that are in a file of the controller."""
    text = path.read_text(errors="replace")
    return [secret.name for secret in wanted if any(form in text for form in secret.texts)]


# What comes to a host comes in hexadecimal, so that the search does not find itself. It plants something of its own in
# every place first: a search that finds that finds the rest.
SEARCH = r"""
import glob, json, os, pwd, subprocess, sys, time
wanted, users, plant, samples = json.loads(bytes.fromhex(sys.argv[1]))
forms = [(name, owner, form.encode()) for name, owner, texts in wanted for form in texts]
found = set()

open_plant, log_plant, patterns = "/var/tmp/homeport-plant", "/var/log/homeport-plant.log", "/run/homeport-patterns"
os.environ["LC_ALL"] = "C"

def search(where, data, reader=""):
    # many words in much text are grep's trade; of words inside each other it shows the longest
    seen = subprocess.run(["grep", "-aohF", "-f", patterns], input=data, stdout=subprocess.PIPE).stdout.splitlines()
    for name, owner, form in forms:
        if any(form in one for one in set(seen)) and (not reader or owner != reader):
            found.add((where + (" as " + reader if reader else ""), name))

def read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""

def readable(paths, user):
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            entry = pwd.getpwnam(user)
            os.initgroups(user, entry.pw_gid)
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            with os.fdopen(sending, "w") as stream:
                stream.write("begun")
                for number, path in enumerate(paths):
                    try:
                        open(path, "rb").close()
                    except OSError:
                        continue
                    stream.write(" %d" % number)
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as stream:
        words = stream.read().split()
    os.waitpid(child, 0)
    assert words, user
    return [paths[int(word)] for word in words[1:]]

for path, mode in ((open_plant, 0o644), (log_plant, 0o600)):
    with open(path, "w") as stream:
        stream.write(plant)
    os.chmod(path, mode)
subprocess.run(["systemd-cat"], input=plant.encode(), check=True)
process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", plant])
try:
    old = os.umask(0o077)
    with open(patterns, "wb") as stream:
        stream.write(b"".join(form + b"\n" for _name, _owner, form in forms))
    os.umask(old)
    time.sleep(0.5)
    subprocess.run(["journalctl", "--sync"], check=True)
    search("journal", subprocess.run(["journalctl", "--no-pager", "--output=export"], stdout=subprocess.PIPE).stdout)
    for top, folders, names in os.walk("/var/log"):
        folders[:] = [name for name in folders if name != "journal"]
        for name in names:
            search(os.path.join(top, name), read(os.path.join(top, name)))
    end = time.monotonic() + 30
    while plant.encode() not in read(samples) and time.monotonic() < end:
        time.sleep(0.1)
    search("commands", read(samples))
    # what is newer than the host's first boot
    words = ["find", "/", "/run", "/dev/shm", "-xdev", "-type", "f", "-newercm", "/etc/machine-id"]
    words += ["!", "-path", "/run/log/*", "!", "-path", "/var/log/journal/*", "!", "-path", patterns]
    words += ["-exec", "grep", "-laF", "-f", patterns, "{}", "+"]
    paths = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode().splitlines()
    for user in ["nobody", *users]:
        for path in readable(paths, user):
            search(path, read(path), user)
finally:
    process.kill()
    for path in (open_plant, log_plant, patterns):
        if os.path.exists(path):
            os.unlink(path)
print(json.dumps(sorted(found)))
"""
PLACES = {"journal", "/var/log/homeport-plant.log", "commands", "/var/tmp/homeport-plant as nobody"}


def found_on_host(host: Any, wanted: list[Secret]) -> list[str]:
    """Where on a host something secret is that must not be there, as ``place: name of the secret``."""
    plant = secrets.token_hex(20)
    users = [name for name in sorted({secret.owner for secret in wanted} - {""}) if host.user(name).exists]
    planted = [*wanted, Secret(PLANT, "", [plant])]
    question = json.dumps([planted, users, plant, "/run/homeport-sampler/commands"]).encode().hex()
    ran = host.run("python3 -c %s %s", SEARCH, question)
    assert ran.rc == 0, ran.stderr
    found = json.loads(ran.stdout)
    seen = {where for where, name in found if name == PLANT}
    assert seen >= PLACES, f"the search does not find what it has planted itself: {PLACES - seen}"
    return [f"{where}: {name}" for where, name in found if name != PLANT]
