# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The checks of an audit: from what was seen to what is good, what is wrong, and what is to be done about it.

Each is a function that gets what was seen of a host, and returns a note with its problems, or nothing where it has
nothing to judge there.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.homeport.django.plugins.module_utils.status_report import (
    ago,
    at,
    certificate_problems,
    host_problems,
    size,
)

LEVELS = ("ok", "warning", "wrong")
Problem = dict[str, str]  # level, text, and what to do
Verdict = tuple[str, list[Problem]]
Checked = Optional[Verdict]

HOMEPORT = "inet homeport"
OURS = (
    "homeport",
    "nginx.",
    "supervisor.",
    "postgresql@",
    "redis-server@",
    "valkey-server@",
    "memcached@",
    "rabbitmq",
)
DAY = 86400
EPHEMERAL = 32768  # from here on, sockets of UDP are those of clients
DHCP = (68, 546)
AGAIN = "run the setup playbook, which puts it right"


@dataclass(frozen=True)
class Seen:
    """Of one host: what it says itself, what it looks like from outside, and what the inventory wants of it."""

    inside: Mapping[str, Any]
    outside: Mapping[str, Any]
    wanted: Mapping[str, Any]
    app: str = ""  # the app or the site that is judged
    spec: Mapping[str, Any] | None = None

    def part(self, name: str) -> Any:
        return self.inside[name]["found"]

    def own(self, name: str) -> Any:
        return self.inside["apps"][self.app][name]["found"]

    @property
    def site(self) -> Mapping[str, Any]:
        return self.wanted["sites"].get(self.app, {})

    def seen(self, question: str) -> Mapping[str, Any]:
        """What the site has answered a question; its C(found) is nothing where there was no answer."""
        return self.outside.get("sites", {}).get(self.app, {}).get(question) or {"found": None, "error": ""}


def wrong(text: str, do: str) -> Problem:
    return {"level": "wrong", "text": text, "do": do}


def warning(text: str, do: str) -> Problem:
    return {"level": "warning", "text": text, "do": do}


def listed(items: Iterable[Any], most: int = 6) -> str:
    """Some names in a sentence; of many the first."""
    names = [str(item) for item in items]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


# The network


def expected(seen: Seen) -> dict[tuple[str, int], list[str]]:
    """Protocol and port of everything that is to be open, with who may come."""
    found: dict[tuple[str, int], list[str]] = {}
    for entry in (*seen.wanted["exposure"], *seen.wanted["rules"]):
        for port in ports_of(entry["port"]):
            sources = found.setdefault((entry.get("protocol", "tcp"), port), [])
            sources += [str(source) for source in entry.get("sources") or ["any"]]
    # whoever forwards a port to the host connects to another one than sshd has
    sshd = (seen.inside.get("sshd") or {}).get("found") or {}
    for text in sshd.get("port", []):
        found.setdefault(("tcp", int(text)), ["any"])
    return found


def ports_of(value: Any) -> Iterator[int]:
    """The ports of a rule: a number, a range (6000-6010), or a list of them."""
    for item in value if isinstance(value, (list, tuple)) else [value]:
        first, _dash, last = str(item).partition("-")
        yield from range(int(first), int(last or first) + 1)


def stray(seen: Seen) -> dict[tuple[str, int], str]:
    """What listens to others and is not expected, with address and program."""
    wanted = expected(seen)
    found: dict[tuple[str, int], list[str]] = {}
    for entry in seen.part("sockets"):
        key = (entry["protocol"], entry["port"])
        client = key[0] == "udp" and (key[1] >= EPHEMERAL or key[1] in DHCP)
        if key not in wanted and not client and not local(entry["address"]):
            address = f"[{entry['address']}]" if ":" in entry["address"] else entry["address"]
            found.setdefault(key, []).append(f"{address}:{key[1]} ({entry['program'] or entry['user']})")
    return {key: ", ".join(dict.fromkeys(places)) for key, places in found.items()}


def local(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def ports(seen: Seen) -> Checked:
    """What listens beyond the host itself is what the inventory says; the rest nobody reaches."""
    others = stray(seen)
    dropping = seen.part("firewall")["dropping"]
    problems = []
    for (protocol, port), place in others.items() if HOMEPORT not in dropping else ():
        text = f"{place} listens to other hosts over {protocol}, and the inventory does not have it"
        do = (
            "stop it, or have it listen on 127.0.0.1 alone; if others are to reach it, add "
            f"{{port: {port}{', protocol: udp' if protocol == 'udp' else ''}}} to host_firewall_rules in group_vars"
        )
        if dropping:
            problems.append(warning(f"{text}; whether {listed(dropping)} drops it is not known", do))
        else:
            problems.append(
                (wrong if protocol == "tcp" else warning)(f"{text}, nor does a firewall drop it", do)
            )
    open_ports = sorted(
        {
            entry["port"]
            for entry in seen.part("sockets")
            if not local(entry["address"]) and (entry["protocol"], entry["port"]) not in others
            if entry["protocol"] == "tcp"
        }
    )
    note = f"{listed(open_ports)} as wanted" if open_ports else "nothing listens to others"
    if HOMEPORT in dropping and others:
        note += f"; the firewall drops what comes for {listed(others.values())}"
    return note, problems


def firewall(seen: Seen) -> Checked:
    found = seen.part("firewall")
    if HOMEPORT in found["dropping"]:
        return "drops what the inventory does not have", []
    if found["declared"]:
        return "off", [
            wrong(
                "the firewall is configured, but drops nothing",
                "systemctl restart homeport-firewall; journalctl -u homeport-firewall says why it stopped",
            )
        ]
    if found["dropping"]:
        return f"{listed(found['dropping'])}, which is not Homeport's, drops", []
    return "none", [
        warning(
            "there is no firewall: a program that opens a port by mistake opens it to everybody",
            "let the role host set its firewall up with the setup playbook",
        )
    ]


def reach(seen: Seen) -> Checked:
    """What answers the controller is meant for it."""
    outside = seen.outside
    if not outside:
        return None
    if not outside["reached"]:
        return "not looked at", [
            warning(
                f"nothing was looked at from outside: {outside['reason']}",
                "run the audit from a machine that reaches the host's address, or say -e outside=false",
            )
        ]
    wanted = expected(seen)
    # those that nothing drops are told of by the check of the ports
    inside = all(seen.inside.get(name, {}).get("found") is not None for name in ("sockets", "firewall"))
    said = stray(seen) if inside and not seen.part("firewall")["dropping"] else {}
    problems = []
    for port in outside["ports"]:
        sources = wanted.get(("tcp", port))
        if sources is None and ("tcp", port) not in said:
            problems.append(
                wrong(
                    f"port {port} answers {outside['source']}, and the inventory does not have it",
                    "have the firewall drop it (nft list ruleset), or stop what answers there; where something else "
                    f"than the host answers, look there; or add {{port: {port}}} to host_firewall_rules in group_vars",
                )
            )
        elif sources is not None and not allowed(outside["source"], sources):
            problems.append(
                wrong(
                    f"port {port} answers {outside['source']}, and is for {listed(sources)} alone",
                    "have the firewall drop it: let the role host set it up, or systemctl restart homeport-firewall",
                )
            )
    return f"{listed(outside['ports'])} answer {outside['source']}", problems


def allowed(source: str, sources: Iterable[str]) -> bool:
    """Whether an address is among those that may come; what is no address is somebody's name."""
    for each in sources:
        if each == "any":
            return True
        try:
            if ipaddress.ip_address(source) in ipaddress.ip_network(each, strict=False):
                return True
        except ValueError:
            continue
    return False


def strangers(seen: Seen) -> Checked:
    """Whoever asks for a name that is not here gets nothing."""
    asked = seen.outside.get("strangers")
    if not asked:
        return None
    problems = []
    for port, answer in asked.items():
        found = answer["found"]
        if port == "443" and found:
            problems.append(
                warning(
                    "a visitor who asks for a name that is not served here gets a certificate of somebody else",
                    "leave the default server of port 443 to the role nginx; nginx before 1.19.4 cannot refuse earlier",
                )
            )
        elif port != "443" and found and found["status"] < 400:
            problems.append(
                wrong(
                    f"a host name that is not served here is answered on port {port} (status {found['status']})",
                    "leave the default server to the role nginx (look for default_server in /etc/nginx); an app "
                    "without nginx needs its names in ALLOWED_HOSTS",
                )
            )
    return "unknown names are refused" if not problems else "unknown names are answered", problems


# Who gets in


def sshd(seen: Seen) -> Checked:
    settings = seen.part("sshd")
    if not settings:
        return None
    have = seen.part("accounts")["password"]
    yes = {name for name, values in settings.items() if values[:1] == ["yes"]}
    passwords = yes & {"passwordauthentication", "kbdinteractiveauthentication"}
    able = [name for name in have if name != "root" or "permitrootlogin" in yes]
    do = "write {} no into a file below /etc/ssh/sshd_config.d, and systemctl reload ssh"
    problems = []
    if "permitemptypasswords" in yes:
        problems.append(wrong("sshd lets accounts without a password in", do.format("PermitEmptyPasswords")))
    do = do.format(
        "PasswordAuthentication" if "passwordauthentication" in yes else "KbdInteractiveAuthentication"
    )
    if passwords and able:
        problems.append(wrong(f"sshd accepts passwords, and these accounts have one: {listed(able)}", do))
    elif passwords:
        problems.append(warning("sshd accepts passwords, though no account has one", do))
    root = (settings["permitrootlogin"] or ["no"])[0]
    return f"passwords {'accepted' if passwords else 'refused'}, root login {root}", problems


def accounts(seen: Seen) -> Checked:
    found = seen.part("accounts")
    problems = [
        wrong(f"{name} needs no password to log in", f"passwd --lock {name}") for name in found["empty"]
    ]
    problems += [
        wrong(f"{name} is root by another name (uid 0)", f"give it another uid, or userdel {name}")
        for name in found["roots"]
    ]
    return "root alone is root, no empty password" if not problems else "", problems


def files(seen: Seen) -> Checked:
    """Secrets are for whom they are meant: of an app where one is judged, else of the host."""
    found = seen.own("files") if seen.app else seen.part("files")
    problems = []
    for entry in found["open"]:
        path = shlex.quote(entry["path"])
        steps = [f"chmod {entry['good']} {path}"] if entry["mode"] != entry["good"] else []
        # the bits are all right: it is the owner that is not
        steps += [] if steps else [f"chown root {path}"]
        problems.append(
            wrong(f"{entry['path']} has mode {entry['mode']} and belongs to {entry['owner']}", *steps)
        )
    return f"{found['count']} looked at", problems


# What has to be kept up to date


def updates(seen: Seen) -> Checked:
    found = seen.part("updates")
    problems = []
    if found["security"]:
        count = len(found["security"])
        text = (
            f"{count} security upgrade{' is' if count == 1 else 's are'} pending: {listed(found['security'])}"
        )
        if found["automatic"]:
            problems.append(
                warning(text, "unattended-upgrades installs them within a day; or apt-get upgrade now")
            )
        else:
            problems.append(
                wrong(
                    f"{text}; nothing installs them by itself",
                    "apt-get upgrade; and unattended-upgrades for later",
                )
            )
    if found["age"] is None or found["age"] > DAY:
        old = "have never been fetched" if found["age"] is None else f"are {ago(found['age'])} old"
        problems.append(
            warning(f"the package lists {old}: more may be pending", "apt-get update on the host")
        )
    return f"{len(found['packages'])} pending, {len(found['security'])} of them for security", problems


def restarts(seen: Seen) -> Checked:
    """What runs is what is installed."""
    found, container = seen.part("kernel"), seen.part("clock")["container"]
    problems = []
    if found["asked"]:
        reason = f" ({listed(found['packages'])})" if found["packages"] else ""
        problems.append(warning(f"a package has asked for a reboot{reason}", "reboot"))
    elif found["newer"] and not container:
        problems.append(
            warning(f"the kernel {found['newer']} is installed, {found['running']} runs", "reboot")
        )
    old = seen.part("stale")
    if old:
        text = f"what an upgrade has replaced is still in use by {listed(old)}"
        problems.append(warning(text, f"systemctl restart {' '.join(old)}"))
    return "no reboot or restart is due" if not problems else "", problems


def units(seen: Seen) -> Checked:
    found = seen.part("failed")
    problems = [
        (wrong if name.startswith(OURS) else warning)(f"{name} has failed", f"journalctl -u {name} says why")
        for name in found
    ]
    return "none has failed" if not found else "", problems


def clock(seen: Seen) -> Checked:
    found = seen.part("clock")
    if found["container"]:
        return "a container has its machine's", []
    if found["synchronized"]:
        return "synchronised", []
    return "", [
        warning(
            "the clock is not synchronised",
            "install systemd-timesyncd or chrony (host_packages in group_vars)",
        )
    ]


def space(seen: Seen) -> Checked:
    """Disks and memory, by the rules of status."""
    found = seen.part("host")
    problems = host_problems({"services": {}, **found, "setup": ""}, "", [], "")
    do = "status shows what each app keeps; or take a larger one"
    note = ", ".join(f"{disk['path']} {size(disk['free'])} free" for disk in found["disks"])
    return note, [
        (wrong if problem["level"] == "failure" else warning)(problem["text"], do) for problem in problems
    ]


# Services


def postgres(seen: Seen) -> Checked:
    found = seen.part("postgres")
    if not found:
        return None
    apps = [spec["database"] for spec in seen.wanted["apps"] if spec["database"]["managed"]]
    names = {database["name"] for database in apps if database["engine"] == "postgres"}
    owners = {database["owner"] for database in found["databases"] if database["name"] in names}
    problems = []
    for database in found["databases"]:
        if database["public"] and database["name"] != "postgres":
            text = f"every role may use the database {database['name']} ({database['public']})"
            do = f"{AGAIN}, or REVOKE ALL ON DATABASE {database['name']} FROM PUBLIC"
            problems.append((wrong if database["name"] in names else warning)(text, do))
    for role in found["roles"]:
        name = role["name"]
        if role["powers"] and name != "postgres":
            level = wrong if name in owners or "SUPERUSER" in role["powers"] else warning
            less = " ".join(f"NO{power}" for power in role["powers"].split(", "))
            problems.append(level(f"the role {name} has {role['powers']}", f"ALTER ROLE {name} {less}"))
        if role["md5"]:
            problems.append(
                warning(f"the password of the role {name} is kept as MD5", f"give {name} a new one")
            )
    return f"{len(found['databases'])} databases, {len(found['roles'])} roles", problems + rules(
        found["rules"]
    )


def rules(entries: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Lines of pg_hba.conf that let in whom they should not."""
    found = []
    for rule in entries:
        text, near = (
            f"line {rule['line']} of its hba file",
            rule["type"] == "local" or nearby(rule["address"]),
        )
        do = "change the line: leave postgres_clients to the role, and put no others in"
        if rule["method"] == "trust":
            found.append(wrong(f"{text} lets everybody in without a password (trust)", do))
        elif rule["method"] == "password" and not near:
            found.append(wrong(f"{text} takes passwords in the clear", do))
        elif (
            rule["type"] in ("host", "hostnossl", "hostnogssenc") and not near and rule["method"] != "reject"
        ):
            found.append(wrong(f"{text} lets {rule['address'] or 'others'} in without TLS", do))
    return found


def nearby(address: str) -> bool:
    if address == "samehost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def stores(seen: Seen) -> Checked:
    found = seen.part("stores")
    if not found:
        return None
    problems = [
        wrong(
            f"{entry['program']} on port {entry['port']} does what anybody on the host asks, without a password",
            f"{AGAIN}; stop one that is not Homeport's, or give it a password",
        )
        for entry in found
        if entry["open"]
    ]
    return listed(f"{entry['program']} {entry['port']}" for entry in found), problems


def supervisord(seen: Seen) -> Checked:
    found = seen.part("supervisord")
    if found is None:
        return None
    problems = [
        wrong(
            f"{path} has supervisord take orders over TCP (inet_http_server)",
            "take that section out, and systemctl reload supervisor",
        )
        for path in found["files"]
    ]
    return "takes orders from root's socket alone" if not problems else "", problems


# Apps

# What nginx does itself, and other checks ask for: HSTS with its options, and the redirect to HTTPS.
LEFT_TO_NGINX = {"security.W004", "security.W005", "security.W008", "security.W021"}
# Cookies that may go over plain HTTP, where there is nothing else.
WITHOUT_HTTPS = {
    "security.W010",
    "security.W011",
    "security.W012",
    "security.W015",
    "security.W016",
    "security.W017",
}
# A weak key, DEBUG, no ALLOWED_HOSTS; cookies that may leave HTTPS.
SERIOUS = {"security.W009", "security.W018", "security.W020", *WITHOUT_HTTPS}


def deploy(seen: Seen) -> Checked:
    """``check --deploy``: the ids alone, since an app's own checks may say anything."""
    found = seen.own("deploy")
    if not found:
        return None
    do = f"manage.yml -e app={seen.app} -e command='check --deploy' shows them; change the project's settings"
    if found["failed"]:
        return "", [wrong(f"check --deploy {found['failed']}", do.replace("shows them", "shows why"))]
    leave = LEFT_TO_NGINX | (set() if seen.site.get("tls") else WITHOUT_HTTPS)
    ids = [name for name in found["issues"]["WARNING"] if name not in leave]
    bad = [
        *found["issues"]["CRITICAL"],
        *found["issues"]["ERROR"],
        *(name for name in ids if name in SERIOUS),
    ]
    mild = [name for name in ids if name not in SERIOUS]
    problems = [wrong(f"check --deploy has {listed(dict.fromkeys(bad), 12)}", do)] if bad else []
    if mild:
        quiet = f"{do}, or SILENCED_SYSTEM_CHECKS where it is meant"
        problems.append(warning(f"check --deploy has {listed(dict.fromkeys(mild), 12)}", quiet))
    return "no issue" if not problems else "", problems


# What a verification fails for that is judged by the certificate's times and names: over, not yet good, another name.
JUDGED = (0, 9, 10, 62)


def certificate(seen: Seen) -> Checked:
    """As it is on the disk, and as it is served for each name."""
    site = seen.site
    if not site.get("tls"):
        return None
    now = seen.wanted["now"]
    served = {name: seen.seen(f"certificate {name}") for name in site["names"]}
    first = served.get(site["canonical"]) or {"found": None, "error": ""}
    kept = seen.own("certificate") if seen.app in seen.inside.get("apps", {}) else None
    found = first["found"] or kept
    run = "run the setup playbook, which says why"
    problems = []
    if first["error"]:
        problems.append(wrong(f"{site['canonical']} cannot be reached over TLS: {first['error']}", run))
    if not found:
        return ("", problems) if problems else None
    spec = {"certificate": site["kind"], "domains": site["names"]}
    for problem in certificate_problems(found, spec, now):
        problems.append((wrong if problem["level"] == "failure" else warning)(problem["text"], run))
    missing = [name for name in site["names"] if not covered(name, found["names"])]
    if missing and site["kind"] == "own":
        problems.append(
            wrong(f"its certificate does not have {listed(missing)}", "get one with all names (tls.chain)")
        )
    if first["found"] and first["found"]["code"] not in JUDGED and not (problems and found["self_signed"]):
        problems += distrust(site["kind"], first["found"]["untrusted"])
    others = [
        name
        for name, entry in served.items()
        if entry["found"]
        and (entry["found"]["until"], entry["found"]["names"]) != (found["until"], found["names"])
    ]
    stale_one = kept and kept["until"] and first["found"] and kept["until"] != first["found"]["until"]
    if others or stale_one:
        problems.append(
            wrong(
                f"nginx serves another certificate than it should for {listed(others or [site['canonical']])}",
                "systemctl reload nginx; nginx -T shows which files it reads",
            )
        )
    left = found["until"] - now if found["until"] else None
    return (f"good until {at(found['until'])}, {ago(left)} left" if left and left > 0 else ""), problems


def covered(name: str, names: Iterable[str]) -> bool:
    return name in names or f"*.{name.partition('.')[2]}" in names


def distrust(kind: str, reason: str) -> list[Problem]:
    """A certificate that this machine does not trust; where nobody claims that it should, that is no news."""
    if kind == "selfsigned":
        return []
    text = f"this machine does not trust its certificate: {reason}"
    if kind == "own":
        return [
            warning(text, "fine if its visitors do: name the file of the authority's root with -e roots=FILE")
        ]
    return [
        wrong(
            text,
            "an authority for tests? set certificates_authority to the one of production, or name its root "
            "with -e roots=FILE",
        )
    ]


def tls(seen: Seen) -> Checked:
    """Nothing but TLS 1.2 and 1.3, with suites that encrypt and authenticate at once."""
    if not seen.site.get("tls") or not seen.outside.get("sites"):
        return None
    problems = []
    for question, word in (("ancient", "an old version"), ("weak", "a weak suite")):
        answer = seen.seen(question)
        if answer["found"]:
            do = (
                "leave ssl_protocols and ssl_ciphers to the role nginx: take them out of proxy.extra, nginx_http_extra "
                "and /etc/nginx/conf.d"
            )
            problems.append(wrong(f"it agrees to {word}: {answer['found']}", do))
        elif answer["error"]:
            problems.append(
                warning(f"whether it speaks {word} could not be asked: {answer['error']}", "try again")
            )
    return "TLS 1.2 and 1.3 with good suites" if not problems else "", problems


def https(seen: Seen) -> Checked:
    """Who comes over plain HTTP is sent to HTTPS."""
    site, plain = seen.site, seen.seen("plain")
    if not site:
        return None
    if not site["tls"]:
        do = (
            "set certificates_email in group_vars/all/apps.yml beside the inventory"
            if site["port"] == 80 and site["proxied"]
            else "take the setup typical with certificates_email, or let something in front of the host speak HTTPS"
        )
        return "plain HTTP", [warning("visitors' passwords and cookies pass without encryption", do)]
    if not seen.outside.get("sites"):
        return None
    found = plain["found"]
    if not found:
        return "", [
            warning(
                f"port {site['port']} does not answer: who types the bare name finds nothing, an authority no proof",
                "open port 80 to the world",
            )
        ]
    if found["status"] in (301, 302, 307, 308) and found["location"] == "https":
        return f"plain HTTP is redirected ({found['status']})", []
    return "", [
        wrong(
            f"plain HTTP is answered with status {found['status']}, and not redirected to HTTPS",
            f"{AGAIN}; look for a server of your own in /etc/nginx that has its name",
        )
    ]


def headers(seen: Seen) -> Checked:
    site, answer = seen.site, seen.seen("page")
    page = answer["found"]
    if not site or not seen.outside.get("sites"):
        return None
    if not page:
        return "", [
            wrong(f"its page does not answer: {answer['error'] or 'no port'}", "status and logs say more")
        ]
    if page["status"] >= 500:
        text = f"its page answers with status {page['status']}: the headers were not judged"
        return "", [warning(text, "status and logs say more")]
    have, problems = page["headers"], []
    settings = "see to it in the project's settings and MIDDLEWARE"
    if have.get("x-content-type-options", "").lower() != "nosniff":
        problems.append(
            wrong(
                "X-Content-Type-Options: nosniff is missing",
                f"{AGAIN}, or SECURE_CONTENT_TYPE_NOSNIFF = True",
            )
        )
    if not page["framing"] and have.get("x-frame-options", "").upper() not in ("DENY", "SAMEORIGIN"):
        problems.append(
            wrong(
                "other sites may frame its pages",
                "put django.middleware.clickjacking.XFrameOptionsMiddleware into "
                "MIDDLEWARE, or frame-ancestors into its Content-Security-Policy",
            )
        )
    if "referrer-policy" not in have:
        problems.append(warning("Referrer-Policy is missing", f"{AGAIN}, or SECURE_REFERRER_POLICY"))
    problems += transport(site, have)
    for name in ("server", "x-powered-by"):
        if any(letter.isdigit() for letter in have.get(name, "")) or (name != "server" and name in have):
            problems.append(
                warning(
                    f"{name.title()} tells what runs: {have[name][:40]}", "server_tokens off; " + settings
                )
            )
    for one in page["cookies"]:
        if site["tls"] and not one["secure"]:
            problems.append(wrong(f"the cookie {one['name']} may leave HTTPS (no Secure)", settings))
        if not one["httponly"] and "session" in one["name"].lower():
            problems.append(wrong(f"scripts may read the cookie {one['name']} (no HttpOnly)", settings))
    return "nosniff, framing, referrer" + (", HSTS" if site["hsts"] else "") if not problems else "", problems


def transport(site: Mapping[str, Any], have: Mapping[str, str]) -> list[Problem]:
    """Browsers are told to stay with HTTPS."""
    told = re.search(r'max-age="?[1-9]', have.get("strict-transport-security", ""))
    if told or not site["tls"] or site["kind"] == "selfsigned":
        return []
    if site["hsts"]:
        do = f"{AGAIN}; look for add_header in proxy.extra, which replaces those of the site"
        return [wrong("Strict-Transport-Security is missing", do)]
    do = "set tls.hsts of the app (or the site) in group_vars"
    return [warning("browsers are not told to stay with HTTPS", do)]


def hidden(seen: Seen) -> Checked:
    answer = seen.seen("hidden")
    if not seen.outside.get("sites") or answer["found"] is None:
        return None
    do = "take it out of what is served: static and media folders, a server or location of your own in /etc/nginx"
    return "none is served" if not answer["found"] else "", [
        wrong(f"{path} is served to everybody", do) for path in answer["found"]
    ]


def backup(seen: Seen) -> Checked:
    wanted = seen.wanted["backup"]
    if wanted == "elsewhere":  # on another of its servers
        return None
    if wanted == "none":
        do = "set backup_repository in group_vars (docs/backups.md)"
        return "none", [warning("nothing backs it up", do)]
    found = seen.part("backups")
    if found is None or seen.app not in found:
        return "", [wrong("is to be backed up, and the host does not do it", "run the setup playbook")]
    if not seen.part("active").get("homeport-backup.timer"):
        return "", [
            wrong("the timer of the backups does not run", "systemctl enable --now homeport-backup.timer")
        ]
    do = (
        "run backup.yml (with -e drill=true), which says why; journalctl -u homeport-backup -u homeport-drill"
    )
    judged = found[seen.app]
    ages = [
        f"{kind} {judged[kind]['age_hours']:.0f} h ago"
        for kind in ("backup", "drill")
        if judged[kind]["age_hours"] is not None
    ]
    return listed(ages) or "the first is not due yet", [wrong(text, do) for text in judged["problems"]]


Check = Callable[[Seen], Checked]

# Name, function, and the parts of what the host says that it needs.
HOST_CHECKS: tuple[tuple[str, Check, tuple[str, ...]], ...] = (
    ("ports", ports, ("sockets", "firewall", "sshd")),
    ("firewall", firewall, ("firewall",)),
    ("from outside", reach, ()),
    ("unknown names", strangers, ()),
    ("sshd", sshd, ("sshd", "accounts")),
    ("accounts", accounts, ("accounts",)),
    ("secrets", files, ("files",)),
    ("updates", updates, ("updates",)),
    ("restarts", restarts, ("kernel", "stale", "clock")),
    ("units", units, ("failed",)),
    ("clock", clock, ("clock",)),
    ("space", space, ("host",)),
    ("postgresql", postgres, ("postgres",)),
    ("stores", stores, ("stores",)),
    ("supervisord", supervisord, ("supervisord",)),
)
APP_CHECKS: tuple[tuple[str, Check, tuple[str, ...]], ...] = (
    ("secrets", files, ("files",)),
    ("check --deploy", deploy, ("deploy",)),
    ("backup", backup, ("backups", "active")),
)
SITE_CHECKS: tuple[tuple[str, Check, tuple[str, ...]], ...] = (
    ("certificate", certificate, ()),
    ("tls", tls, ()),
    ("https", https, ()),
    ("headers", headers, ()),
    ("hidden files", hidden, ()),
)
