# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The checks of a host: from what was seen to what is good, what is wrong, and what is to be done about it.

Each is a function that gets what was seen of a host, and returns a note with its problems, or nothing where it has
nothing to judge there.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.homeport.django.plugins.module_utils.reports.backups import of_host
from ansible_collections.homeport.django.plugins.module_utils.reports.status import ago, host_problems, size

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
PRIVILEGED = 1024  # ports below are root's, and of units that may bind them
KEPT = ("redis", "valkey", "rabbitmq")  # accounts of services that apps give their passwords to
LAST_PORT = 65535
FORWARDER = "docker-proxy"
# of RFC 1918, carriers, and RFC 4193
PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
AGAIN = "run the setup playbook, which puts it right"


@dataclass(frozen=True)
class Seen:
    """Of one host: what it says itself, what it looks like from outside, and what the inventory wants of it."""

    inside: Mapping[str, Any]
    outside: Mapping[str, Any]
    wanted: Mapping[str, Any]
    app: str = ""  # the app or the site that is judged

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


def failure(text: str, do: str) -> Problem:
    return {"level": "failure", "text": text, "do": do}


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
            sources += [str(source) for source in entry.get("sources", ["any"])]
    # whoever forwards a port to the host connects to another one than sshd has
    sshd = (seen.inside.get("sshd") or {}).get("found") or {}
    for port in sshd.get("ports", []):
        found.setdefault(("tcp", port), ["any"])
    return found


def ports_of(value: Any) -> Iterator[int]:
    """The ports of a rule: a number, a range (6000-6010), or a list of them."""
    for item in value if isinstance(value, (list, tuple)) else [value]:
        first, _dash, last = str(item).partition("-")
        yield from range(int(first), int(last or first) + 1)


def stray(seen: Seen) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    """What listens to others and is not expected, by protocol and port."""
    wanted = expected(seen)
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for entry in seen.part("sockets"):
        key = (entry["protocol"], entry["port"])
        client = key[0] == "udp" and (key[1] >= EPHEMERAL or key[1] in DHCP)
        if key not in wanted and not client and not local(entry["address"]):
            found.setdefault(key, []).append(entry)
    return found


def place(entries: Iterable[Mapping[str, Any]]) -> str:
    """Where something listens, and what it is."""
    found = []
    for entry in entries:
        address = f"[{entry['address']}]" if ":" in entry["address"] else entry["address"]
        found.append(f"{address}:{entry['port']} ({entry['program'] or entry['user']})")
    return ", ".join(dict.fromkeys(found))


def local(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


DROPPED, UNKNOWN, OPEN = "dropped", "unknown", "open"


def fate(seen: Seen, entries: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """What becomes of those who come from elsewhere to a stray port, and how one knows."""
    found = seen.part("firewall")
    if any(entry["program"] == FORWARDER for entry in entries):
        return OPEN, "and Docker forwards it past the firewall"
    if HOMEPORT in found["dropping"]:
        rules = [rule for rule in found["accepted"] if covers(rule, entries[0])]
        if not rules:
            return DROPPED, ""
        if all(rule["some"] for rule in rules):
            return UNKNOWN, "the firewall lets some in"
        return OPEN, "and the firewall lets everybody in"
    if found["dropping"]:
        return UNKNOWN, f"whether {listed(found['dropping'])} drops it is not known"
    if not found["known"]:
        return UNKNOWN, "whether a firewall drops it is not known"
    return OPEN, "nor does a firewall drop it"


def covers(rule: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    return bool(rule["protocol"] == entry["protocol"] and rule["first"] <= entry["port"] <= rule["last"])


def ports(seen: Seen) -> Checked:
    """What listens beyond the host itself is what the inventory says; the rest nobody reaches."""
    others = stray(seen)
    problems, dropped = [], []
    for (protocol, port), entries in others.items():
        what, why = fate(seen, entries)
        if what == DROPPED:
            dropped.append(place(entries))
            continue
        level = failure if what == OPEN and protocol == "tcp" else warning
        text = f"{place(entries)} listens to other hosts over {protocol}, and the inventory does not have it"
        problems.append(
            level(
                f"{text}{';' if what == UNKNOWN else ','} {why}",
                "stop it, or have it listen on 127.0.0.1 alone; if others are to reach it, add "
                f"{{port: {port}{', protocol: udp' if protocol == 'udp' else ''}}} to host_firewall_rules "
                "in group_vars",
            )
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
    if dropped:
        note += f"; the firewall drops what comes for {listed(dropped)}"
    return note, problems


def firewall(seen: Seen) -> Checked:
    found = seen.part("firewall")
    if HOMEPORT in found["dropping"]:
        return "drops what is not allowed", let_in(expected(seen), found["accepted"])
    if not found["known"] and (found["declared"] or not found["dropping"]):
        text = "what the firewall drops is not known: nft is missing, or fails"
        do = "apt-get install nftables; nft list ruleset says why it fails"
        return "not known", [(failure if found["declared"] else warning)(text, do)]
    if found["declared"]:
        return "off", [
            failure(
                "the firewall is configured, but drops nothing",
                "systemctl restart homeport-firewall; journalctl -u homeport-firewall says why it stopped",
            )
        ]
    if found["dropping"]:
        return f"{listed(found['dropping'])}, which is not Homeport's, drops", []
    return "none", [
        warning(
            "there is no firewall: a program that opens a port by mistake opens it to everybody",
            "set host_firewall to true (its default) and run the setup playbook",
        )
    ]


def let_in(
    wanted: Mapping[tuple[str, int], list[str]], accepted: Iterable[Mapping[str, Any]]
) -> list[Problem]:
    """What the firewall lets in at this moment, and the inventory does not."""
    do = (
        "systemctl restart homeport-firewall takes out what was added by hand, the setup playbook what is no longer "
        "in the inventory"
    )
    problems, unknown = [], []
    for rule in accepted:
        protocol, first, last = rule["protocol"], rule["first"], rule["last"]
        span = [(protocol, port) for port in range(first, last + 1)]
        name = f"{protocol} {first}{f'-{last}' if last > first else ''}"
        if len(span) > LAST_PORT:
            who, level = ("some", warning) if rule["some"] else ("everybody", failure)
            problems.append(level(f"the firewall lets {who} in to every port of {protocol}", do))
        elif protocol == "udp" and first == last and first in DHCP:
            continue
        elif any(key not in wanted for key in span):
            unknown.append(name)
        elif not rule["some"] and any("any" not in wanted[key] for key in span):
            sources = dict.fromkeys(source for key in span for source in wanted[key])
            text = f"the firewall lets everybody in to {name}, which is for {listed(sources)} alone"
            problems.append(failure(text, do))
    if unknown:
        text = f"the firewall lets in what comes for {listed(unknown)}, and the inventory does not have it"
        problems.append(warning(text, do))
    return problems


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
    others = stray(seen) if inside else {}
    said = {key for key, entries in others.items() if fate(seen, entries)[0] == OPEN}
    source = visitor(seen)
    problems = []
    for port in outside["ports"]:
        sources = wanted.get(("tcp", port))
        if sources is None and ("tcp", port) not in said:
            problems.append(
                failure(
                    f"port {port} answers {source}, and the inventory does not have it",
                    "have the firewall drop it (nft list ruleset), or stop what answers there; where something else "
                    f"than the host answers, look there; or add {{port: {port}}} to host_firewall_rules in group_vars",
                )
            )
        elif sources is not None and not allowed(source, sources):
            text = f"port {port} answers {source}, and is for {listed(sources)} alone"
            if maybe(seen, sources):
                do = "nothing, where one of them is the address that the host sees this machine under"
                problems.append(warning(f"{text}; the host may see another address", do))
            else:
                do = "have the firewall drop it: host_firewall: true, or systemctl restart homeport-firewall"
                problems.append(failure(text, do))
    return f"{listed(outside['ports'])} answer {source}", problems


def visitor(seen: Seen) -> str:
    """The controller's address as the host sees it, which behind NAT is not the one that it has itself."""
    source: str = seen.outside["source"]
    return (private(source) and (seen.inside.get("client") or {}).get("found")) or source


def maybe(seen: Seen, sources: Iterable[str]) -> bool:
    """Whether the controller, of which no more than a private address is known, may be among those that may come."""
    known = (seen.inside.get("client") or {}).get("found")
    return not known and private(seen.outside["source"]) and not all(private(each) for each in sources)


def private(address: str) -> bool:
    """Whether an address, or a network, is one that others may have as well; a name is not."""
    try:
        network = ipaddress.ip_network(address.partition("%")[0], strict=False)
    except ValueError:
        return False
    return any(network.version == each.version and network.subnet_of(each) for each in PRIVATE)  # type: ignore[arg-type]


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
                failure(
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
    own = settings["accounts"]
    root = (own["root"]["permitrootlogin"] or ["no"])[0]
    # by name; of a name that is no account, and that no Match is about, nothing
    taken = {name: passwords(found) for name, found in (("", settings), *own.items())}
    able = [
        name
        for name in seen.part("accounts")["password"]
        if taken.get(name) and (name != "root" or "yes" in own["root"]["permitrootlogin"])
    ]
    do = "write {} no into a file below /etc/ssh/sshd_config.d, and systemctl reload ssh"
    problems = []
    if any("yes" in found["permitemptypasswords"] for found in (settings, *own.values())):
        problems.append(
            failure("sshd lets accounts without a password in", do.format("PermitEmptyPasswords"))
        )
    if taken[""]:
        do = do.format(taken[""])
    else:
        do = "take that out of the Match blocks in /etc/ssh, and systemctl reload ssh"
    if able:
        problems.append(failure(f"sshd accepts passwords, and these accounts have one: {listed(able)}", do))
    elif any(taken.values()):
        problems.append(warning("sshd accepts passwords, though no account that it lets in has one", do))
    return f"passwords {'accepted' if any(taken.values()) else 'refused'}, root login {root}", problems


def passwords(settings: Mapping[str, Sequence[str]]) -> str:
    """By which of sshd's settings somebody may log in with a password, if by any."""
    for name in ("PasswordAuthentication", "KbdInteractiveAuthentication"):
        if "yes" in settings[name.lower()]:
            return name
    return ""


def accounts(seen: Seen) -> Checked:
    found = seen.part("accounts")
    problems = [
        failure(f"{name} needs no password to log in", f"passwd --lock {name}") for name in found["empty"]
    ]
    problems += [
        failure(f"{name} is root by another name (uid 0)", f"give it another uid, or userdel {name}")
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
            failure(f"{entry['path']} has mode {entry['mode']} and belongs to {entry['owner']}", *steps)
        )
    problems += [
        warning(
            f"{folder} has too many files to look at all of them for those that somebody left there",
            f"find {shlex.quote(folder)} -maxdepth 3 -perm -004 -name '.env*' shows some of them",
        )
        for folder in found.get("unseen", [])
    ]
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
                warning(
                    text,
                    "unattended-upgrades is to install them when apt-daily-upgrade.timer is next due; or apt-get "
                    "upgrade now",
                )
            )
        else:
            problems.append(
                failure(
                    f"{text}; nothing installs them by itself",
                    "apt-get upgrade; for later unattended-upgrades, on in APT::Periodic, and apt-daily-upgrade.timer: "
                    "host_updates: true (its default) has the setup playbook see to them",
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
        (failure if name.startswith(OURS) else warning)(
            f"{name} has failed", f"journalctl -u {name} says why"
        )
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
        (failure if problem["level"] == "failure" else warning)(problem["text"], do) for problem in problems
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
            problems.append((failure if database["name"] in names else warning)(text, do))
    for role in found["roles"]:
        name = role["name"]
        if role["powers"] and name != "postgres":
            level = failure if name in owners or "SUPERUSER" in role["powers"] else warning
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
            found.append(failure(f"{text} lets everybody in without a password (trust)", do))
        elif rule["method"] == "password" and not near:
            found.append(failure(f"{text} takes passwords in the clear", do))
        elif (
            rule["type"] in ("host", "hostnossl", "hostnogssenc") and not near and rule["method"] != "reject"
        ):
            found.append(failure(f"{text} lets {rule['address'] or 'others'} in without TLS", do))
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
        failure(
            f"{entry['program']} on port {entry['port']} does what anybody on the host asks, without a password",
            f"{AGAIN}; stop one that is not Homeport's, or give it a password",
        )
        for entry in found
        if entry["open"]
    ]
    problems += [
        warning(
            f"{entry['program']} on port {entry['port']} did not answer: whether it asks for a password is not known",
            "look at it by hand: it may speak TLS alone, or hang",
        )
        for entry in found
        if entry["open"] is None
    ]
    return listed(f"{entry['program']} {entry['port']}" for entry in found), problems


def service_ports(seen: Seen) -> Checked:
    """Nobody else can bind a service's port while it restarts, where clients would give their passwords to it."""
    first = seen.part("unprivileged_port")
    served = [
        entry
        for entry in seen.part("sockets")
        if entry["protocol"] == "tcp" and (entry["user"] in KEPT or entry["program"] == "supervisord")
    ]
    if not served:
        return None
    low = [entry for entry in served if first <= entry["port"] < PRIVILEGED]
    high = [entry for entry in served if entry["port"] >= max(first, PRIVILEGED)]
    problems = []
    if low:
        problems.append(
            failure(
                f"every user may bind ports from {first} on, so that of {place(low)} when it restarts",
                "set net.ipv4.ip_unprivileged_port_start to 1024; grep -r /etc/sysctl* for what lowers it",
            )
        )
    if high:
        problems.append(
            warning(
                f"every user may bind the port of {place(high)} when it restarts",
                "choose one below 1024, or take port out of cache and broker in the app's definition",
            )
        )
    return listed(place([entry]) for entry in served), problems


def supervisord(seen: Seen) -> Checked:
    found = seen.part("supervisord")
    if found is None:
        return None
    problems = [
        failure(
            f"{path} has supervisord take orders over TCP (inet_http_server)",
            "take that section out, and systemctl reload supervisor",
        )
        for path in found["files"]
    ]
    return "takes orders from root's socket alone" if not problems else "", problems


def backups(seen: Seen) -> Checked:
    """What concerns the host's backups as a whole, by the rules of status; those of an app are a check of their own."""
    made, kept = seen.part("backups"), seen.part("archive")
    if not made and not kept:
        return None
    _shown, problems = of_host({"backups": made, "archive": kept, "time": seen.inside["time"]})
    what = ["their timers run"] + (["PostgreSQL's archive is up to date"] if kept else [])
    do = "the setup playbook starts timers that do not run; journalctl -u 'homeport-*' and docs/backups.md say more"
    levels = {"failure": failure, "warning": warning}
    return listed(what), [levels[problem["level"]](problem["text"], do) for problem in problems]


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
    ("service ports", service_ports, ("sockets", "unprivileged_port")),
    ("supervisord", supervisord, ("supervisord",)),
    ("backups", backups, ("backups", "archive")),
)
