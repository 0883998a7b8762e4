# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether a host can fetch an app's code, looked at before anything is installed: git may not be there yet."""

from __future__ import annotations

import base64
import http.client
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from ansible_collections.homeport.django.plugins.module_utils.common.addresses import is_url
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    PATH,
    DeployError,
    Layout,
    Runner,
    host_settings,
    tail,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.archives import (
    is_socks,
    proxies_for,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.git_access import (
    COMMIT,
    commit_of,
    no_version,
    private,
    refs_of,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.source import Source

SECONDS = 20
MOST = 64 << 20  # bytes of a repository's list of branches and tags
SSH_CONFIG = "/etc/ssh/ssh_config"


def source_problem(spec: dict[str, Any], secrets: dict[str, str], folder: str) -> str:
    """What keeps a host from fetching the code of an app; empty when nothing does, or when that cannot be told yet.

    ``folder`` is for root alone.
    """
    layout = Layout(spec, secrets)
    source = spec["source"]
    try:
        if "archive" in source:
            if is_url(source["archive"]):
                fetch(source["archive"], "source.archive", source["archive"])
        elif shutil.which("git", path=PATH) and has_user(layout):
            look(Source(layout, Runner(layout, 3 * SECONDS)))
        else:
            look_without_git(layout, folder)
    except DeployError as error:
        return str(error)
    except Exception:  # whatever an app brings about concerns no other app: its release fails with it
        return ""
    return ""


def has_user(layout: Layout) -> bool:
    """Whether the app is on the host, so that its own user can look."""
    try:
        layout.ids()
    except KeyError:
        return False
    return os.path.isdir(layout.cache) and os.path.isdir(layout.runtime)


def look(source: Source) -> None:
    """A commit is not looked for before it is fetched, but its repository is."""
    if COMMIT.fullmatch(source.spec.get("version", "HEAD")):
        source.refs("HEAD")
    else:
        source.revision()


def look_without_git(layout: Layout, folder: str) -> None:
    url, version = layout.spec["source"]["git"], layout.spec["source"].get("version", "HEAD")
    secret = layout.secrets.get("git") or url
    hint = private(layout.name)
    if is_url(secret):
        refs = over_http(secret, url, hint)
    elif ssh_place(secret):
        refs = over_ssh(secret, url, hint, layout.secrets.get("deploy_key", ""), folder)
    else:
        return
    if refs and version == "HEAD":
        return  # servers that only have files do not list it
    if refs is not None and not COMMIT.fullmatch(version) and not commit_of(version, refs):
        raise DeployError(no_version(url, version, refs))


def over_http(secret: str, url: str, hint: str) -> dict[str, str] | None:
    parts = urlsplit(secret)
    place = parts.netloc.rpartition("@")[2]
    login = ""
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    address = urlunsplit(parts._replace(netloc=place, path=parts.path.rstrip("/") + "/info/refs"))
    text = fetch(f"{address}?service=git-upload-pack", "source.git", url, login, hint)
    return None if text is None else parsed(text)


def fetch(address: str, field: str, url: str, login: str = "", hint: str = "") -> bytes | None:
    """The beginning of what is at an address; nothing where the host lacks what it would be asked with."""
    proxies = proxies_for(address, host_settings())
    if is_socks(proxies.get(urlsplit(address).scheme, "")):
        return None  # git knows how to use it
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    # some servers give others than git their pages
    request = urllib.request.Request(address, headers={"User-Agent": "git/2 homeport"})
    if login:  # not for another server that this one names
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return bytes(answer.read(MOST if field == "source.git" else 1))
    except urllib.error.HTTPError as error:
        refused = f"; {hint}" if hint and error.code in (401, 403, 404) else ""
        raise DeployError(f"{field}: {url} answers with status {error.code}{refused}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error) and not os.path.exists(
            "/etc/ssl/certs/ca-certificates.crt"
        ):
            return None  # the packages to come bring the authorities
        reason = getattr(error, "reason", error)
        if isinstance(error, http.client.InvalidURL):
            reason = "invalid address"  # which it quotes, with a token
        raise DeployError(f"{field}: {url} cannot be reached from the host: {reason}") from None


def ssh_place(address: str) -> tuple[str, ...]:
    """Login, port and path of an address for ssh; nothing for others."""
    if address.startswith(("ssh://", "git+ssh://")):
        parts = urlsplit(address)
        path = re.sub("^/(~)", r"\1", parts.path)
        return (parts.netloc.rpartition(":")[0] if parts.port else parts.netloc, str(parts.port or ""), path)
    found = re.fullmatch(r"([\w.+-]+@)?([\w.-]+|\[[\da-fA-F:]+\]):(?!//)(.+)", address)
    return (f"{found[1] or ''}{found[2]}", "", found[3]) if found else ()


def over_ssh(secret: str, url: str, hint: str, key: str, folder: str) -> dict[str, str] | None:
    if not shutil.which("ssh", path=PATH):
        return None
    login, port, path = ssh_place(secret)
    # nothing of root's own: the app's user will have none of it
    name = f"{folder}/deploy_key"
    words = ["ssh", "-F", SSH_CONFIG if os.path.exists(SSH_CONFIG) else "none"]
    words += ["-i", name] if key else ["-o", "PubkeyAuthentication=no"]
    for option in (
        "BatchMode=yes", f"ConnectTimeout={SECONDS}", "StrictHostKeyChecking=accept-new", "IdentitiesOnly=yes",
        "IdentityAgent=none", f"UserKnownHostsFile={folder}/known_hosts",
    ):  # fmt: skip
        words += ["-o", option]
    words += ["-p", port] if port else []
    quoted = "'" + path.replace("'", "'\\''") + "'"
    words += ["--", login.replace("[", "").replace("]", ""), f"git-upload-pack {quoted}"]
    if key:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(key.rstrip("\n") + "\n")
    try:
        # "0000": that is all that was wanted
        done = subprocess.run(
            words, input=b"0000", capture_output=True, timeout=2 * SECONDS, check=False, env={"PATH": PATH}
        )
    except subprocess.TimeoutExpired:
        raise DeployError(f"source.git: {url} does not answer within {2 * SECONDS} s") from None
    finally:
        if key:
            os.unlink(name)
    refs = parsed(done.stdout)
    if done.returncode and not refs:
        output = tail(done.stderr.decode(errors="replace"), 5)
        refused = f"\n{hint}" if "Permission denied (" in output else ""
        raise DeployError(f"source.git: {url} cannot be read from the host:\n{output}{refused}")
    return refs


def parsed(text: bytes) -> dict[str, str]:
    """Branches and tags, in the lines of git's protocol, or of a server that only has files."""
    if not re.match(rb"[0-9a-f]{4}", text) or re.match(rb"[0-9a-f]{40}\t", text):
        return refs_of(text.decode(errors="replace"))
    found, place = {}, 0
    while re.fullmatch(rb"[0-9a-f]{4}", text[place : place + 4]):
        size = int(text[place : place + 4], 16)
        line = text[place + 4 : place + size].split(b"\0")[0].decode(errors="replace").strip()
        commit, _space, name = line.partition(" ")
        if COMMIT.fullmatch(commit):
            found[name] = commit
        place += max(size, 4)
    found.pop("capabilities^{}", "")  # of an empty one
    return found
