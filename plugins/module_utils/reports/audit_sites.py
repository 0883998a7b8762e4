# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The checks of an app on a host, and of a site as its visitors see it; like those of a host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.backup_ages import judged, span
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_seen import (
    AGAIN,
    Checked,
    Seen,
    failure,
    listed,
    warning,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import ago, at
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import Problem
from ansible_collections.homeport.django.plugins.module_utils.reports.status_apps import certificate_problems

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
        return "", [failure(f"check --deploy {found['failed']}", do.replace("shows them", "shows why"))]
    leave = LEFT_TO_NGINX | (set() if seen.site.get("tls") else WITHOUT_HTTPS)
    ids = [name for name in found["issues"]["WARNING"] if name not in leave]
    bad = [
        *found["issues"]["CRITICAL"],
        *found["issues"]["ERROR"],
        *(name for name in ids if name in SERIOUS),
    ]
    mild = [name for name in ids if name not in SERIOUS]
    problems = [failure(f"check --deploy has {listed(dict.fromkeys(bad), 12)}", do)] if bad else []
    if mild:
        quiet = f"{do}, or SILENCED_SYSTEM_CHECKS where it is meant"
        problems.append(warning(f"check --deploy has {listed(dict.fromkeys(mild), 12)}", quiet))
    return "no issue" if not problems else "", problems


# Errors of a verification that the certificate's own times and names show: expired, not yet valid, another name.
JUDGED = (0, 9, 10, 62)


def certificate(seen: Seen) -> Checked:
    """As it is on the disk, and as it is served for each name."""
    site = seen.site
    if not site.get("tls") or site.get("front_port"):
        return None
    now = seen.wanted["now"]
    served = {name: seen.seen(f"certificate {name}") for name in site["names"]}
    first = served.get(site["canonical"]) or {"found": None, "error": ""}
    kept = seen.own("certificate") if seen.app in seen.inside.get("apps", {}) else None
    found = first["found"] or kept
    run = "run the setup playbook, which reports why"
    problems = []
    if first["error"]:
        problems.append(failure(f"{site['canonical']} cannot be reached over TLS: {first['error']}", run))
    if not found:
        return ("", problems) if problems else None
    spec = {"certificate": site["kind"], "domains": site["names"]}
    for problem in certificate_problems(found, spec, now):
        problems.append((failure if problem["level"] == "failure" else warning)(problem["text"], run))
    missing = [name for name in site["names"] if not covered(name, found["names"])]
    if missing and site["kind"] == "own":
        problems.append(
            failure(
                f"its certificate is not valid for {listed(missing)}", "get one with all names (tls.chain)"
            )
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
            failure(
                f"nginx serves another certificate than it should for {listed(others or [site['canonical']])}",
                "systemctl reload nginx; nginx -T shows which files it reads",
            )
        )
    left = found["until"] - now if found["until"] else None
    return (f"expires on {at(found['until'])}, in {ago(left)}" if left and left > 0 else ""), problems


def covered(name: str, names: Iterable[str]) -> bool:
    return name in names or f"*.{name.partition('.')[2]}" in names


def distrust(kind: str, reason: str) -> list[Problem]:
    """A certificate that this machine does not trust; where nobody claims that it should, that is expected."""
    if kind == "selfsigned":
        return []
    text = f"this machine does not trust its certificate: {reason}"
    if kind == "own":
        return [
            warning(
                text, "if its visitors trust it, name the file of the authority's root with -e roots=FILE"
            )
        ]
    return [
        failure(
            text,
            "an authority for tests? set certificates_authority to the one of production, or name its root "
            "with -e roots=FILE",
        )
    ]


def tls(seen: Seen) -> Checked:
    """Nothing but TLS 1.2 and 1.3, with suites that encrypt and authenticate at once."""
    if not seen.site.get("tls") or seen.site.get("front_port") or not seen.outside.get("sites"):
        return None
    problems = []
    for question, word in (("old", "an old version"), ("weak", "a weak suite")):
        answer = seen.seen(question)
        if answer["found"]:
            do = (
                "leave ssl_protocols and ssl_ciphers to the role nginx: take them out of proxy.extra, nginx_http_extra "
                "and /etc/nginx/conf.d"
            )
            problems.append(failure(f"it accepts {word}: {answer['found']}", do))
        elif answer["error"]:
            problems.append(
                warning(
                    f"whether it accepts {word} is unknown: {answer['error']}",
                    "try again, or from a machine whose OpenSSL still offers it",
                )
            )
    return "TLS 1.2 and 1.3 with strong suites" if not problems else "", problems


def https(seen: Seen) -> Checked:
    """Who comes over plain HTTP is sent to HTTPS."""
    site, plain = seen.site, seen.seen("plain")
    if not site:
        return None
    if not site["tls"]:
        do = (
            "set certificates_email in group_vars/all/apps.yml next to the inventory"
            if site["port"] == 80 and site["proxied"]
            else "take the setup typical with certificates_email, or let something in front speak HTTPS (tls: proxy)"
        )
        return "plain HTTP", [warning("visitors' passwords and cookies pass without encryption", do)]
    if not seen.outside.get("sites"):
        return None
    found = plain["found"]
    if not found:
        return "", [
            warning(
                f"port {site['port']} does not answer, neither visitors who type the bare name nor ACME challenges",
                "open port 80 to the world",
            )
        ]
    if found["status"] in (301, 302, 307, 308) and found["location"] == "https":
        return f"plain HTTP is redirected ({found['status']})", []
    return "", [
        failure(
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
        do = "status and logs say more"
        if site.get("front_port"):
            do = "see that its name leads to what stands in front, and that this forwards to the host"
        return "", [failure(f"its page does not answer: {answer['error'] or 'no port'}", do)]
    if page["status"] >= 500:
        text = f"its page answers with status {page['status']}: the headers were not judged"
        return "", [warning(text, "status and logs say more")]
    have, problems = page["headers"], []
    settings = "see to it in the project's settings and MIDDLEWARE"
    if have.get("x-content-type-options", "").lower() != "nosniff":
        problems.append(
            failure(
                "X-Content-Type-Options: nosniff is missing",
                f"{AGAIN}, or SECURE_CONTENT_TYPE_NOSNIFF = True",
            )
        )
    if not page["framing"] and have.get("x-frame-options", "").upper() not in ("DENY", "SAMEORIGIN"):
        problems.append(
            failure(
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
                    f"{name.title()} shows what runs: {have[name][:40]}", "server_tokens off; " + settings
                )
            )
    for one in page["cookies"]:
        if site["tls"] and not one["secure"]:
            problems.append(failure(f"the cookie {one['name']} may leave HTTPS (no Secure)", settings))
        if not one["httponly"] and "session" in one["name"].lower():
            problems.append(failure(f"scripts may read the cookie {one['name']} (no HttpOnly)", settings))
    return "nosniff, framing, referrer" + (
        ", HSTS" if site["tls"] and site["hsts"] else ""
    ) if not problems else "", problems


def transport(site: Mapping[str, Any], have: Mapping[str, str]) -> list[Problem]:
    """HSTS: browsers stay with HTTPS."""
    wanted = re.search(r'max-age="?[1-9]', have.get("strict-transport-security", ""))
    if wanted or not site["tls"] or site["kind"] == "selfsigned":
        return []
    if site["hsts"]:
        do = f"{AGAIN}; look for add_header in proxy.extra, which replaces those of the site"
        return [failure("Strict-Transport-Security is missing", do)]
    do = "set tls.hsts of the app (or the site) in group_vars"
    return [warning("browsers may leave HTTPS: there is no HSTS", do)]


def hidden(seen: Seen) -> Checked:
    answer = seen.seen("hidden")
    if not seen.outside.get("sites") or answer["found"] is None:
        return None
    do = "remove it from what is served: static and media folders, a server or location of your own in /etc/nginx"
    return "none is served" if not answer["found"] else "", [
        failure(f"{path} is served to everybody", do) for path in answer["found"]
    ]


def backup(seen: Seen) -> Checked:
    wanted = seen.wanted["backup"]
    if wanted == "elsewhere":  # on another of its servers
        return None
    if wanted == "none":
        do = "set backup_repository in group_vars (docs/backups.md)"
        return "none", [warning("nothing backs it up", do)]
    made = seen.part("backups")
    if not made or seen.app not in made["apps"]:
        return "", [failure("is to be backed up, and the host does not do it", "run the setup playbook")]
    found = judged(made["apps"][seen.app], made["limits"], made["since"], seen.inside["time"])
    do = "run backup.yml (with -e drill=true), which reports why; journalctl -u homeport-backup -u homeport-drill"
    ages = [
        f"{kind} {span(one['age_seconds'])} ago"
        for kind, one in found.items()
        if one["age_seconds"] is not None
    ]
    problems = [failure(one["problem"], do) for one in found.values() if one["problem"]]
    return listed(ages) or "the first is not due yet", problems


def bucket(seen: Seen) -> Checked:
    """No backup has the uploads in a bucket: what is overwritten or removed there is only in its versions."""
    found = seen.own("bucket")
    if not found:
        return None
    name = found["name"]
    if found["error"]:
        do = "let the app's key ask for it (s3:GetBucketVersioning), or look at the provider's console"
        return name, [warning(f"whether {name} keeps versions is not known: {found['error']}", do)]
    if found["status"] != "Enabled":
        do = "enable the bucket's versioning, with a rule that removes old versions (docs/backups.md)"
        state = "suspended" if found["status"] else "off"
        return name, [warning(f"the versioning of {name} is {state}: removed uploads are lost", do)]
    return f"{name} keeps versions", []
