"""audit: what it says of the site as it was deployed, and of one that was opened in every way."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.operator import ROOT, Operator, Run
from tests.acceptance.under_load import wait_for

APPS = yaml.safe_load((ROOT / "molecule/https/inventory/group_vars/all/apps.yml").read_text())["django_apps"]
NAME = "memories.example"
SUITES = "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-GCM-SHA256"
KEPT = "/run/before-the-audit"
SITE = "/etc/nginx/sites-enabled/memories.conf"
CONFIG = "/etc/supervisor/conf.d/open.conf"
LIVE = "current/config/env"
INTRANET = "/etc/homeport/certificates/intranet"


class Auditor:
    def __init__(self, operator: Operator, roots: str, folder: Path) -> None:
        self.operator, self.roots, self.file = operator, roots, folder / "audit.json"

    def run(self, *options: str) -> tuple[Run, dict[str, Any]]:
        done = self.operator.run("audit", "-e", f"roots={self.roots}", "-e", f"json={self.file}", *options)
        assert done.changed == 0, done.output
        return done, json.loads(self.file.read_text())


@pytest.fixture
def auditor(host: Any, roots: str, tmp_path: Path) -> Auditor:
    operator = Operator(host.backend.ansible_runner.inventory_file, tmp_path, APPS["memories"])
    operator.others = {"wild": APPS["wild"]}
    return Auditor(operator, roots, tmp_path)


@pytest.fixture
def opened(host: Any) -> Iterator[set[tuple[str, str]]]:
    """The server with many failures, and the app and the check of each."""
    firewall = host.file("/etc/homeport/firewall.nft").exists
    folder = host.check_output(f"readlink -f {INTRANET}/live")
    for command in (
        "systemctl stop homeport-certificates.timer",  # it would mend one of them
        f"mkdir -p {KEPT} && cp -a {SITE} /srv/memories/{LIVE} {KEPT}",
        "chmod 0644 /srv/memories/config/env",
        "systemd-run --quiet --unit=leak python3 -m http.server 9999 --bind 0.0.0.0",
        "systemctl stop homeport-firewall" if firewall else "true",
        # over since five days
        "faketime -f -10d openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 5 "
        "-subj /CN=x -addext subjectAltName=DNS:intranet.example "
        f"-keyout {folder}/privkey.pem -out {folder}/fullchain.pem",
        f"sed -i '/add_header Strict-Transport-Security/d' {SITE}",
        f"sed -i 's/server_name {NAME};/&ssl_ciphers {SUITES};/' {SITE}",
        f"sed -i 's/proxy_redirect off;/&proxy_hide_header X-Frame-Options;/' {SITE}",
        f"echo 'export DEBUG=true' >>/srv/memories/{LIVE}",
        "runuser -u postgres -- psql -qc 'grant connect on database memories to public'",
        f"printf '[inet_http_server]\\nport = 127.0.0.1:9001\\n' >{CONFIG}",
        "systemctl reload nginx",
    ):
        host.check_output(command)
    wait_for(lambda: host.run("curl -fs http://127.0.0.1:9999/").rc == 0, 60)
    found = {
        ("memories", "secrets"),
        ("memories", "headers"),
        ("memories", "tls"),
        ("memories", "check --deploy"),
        ("intranet", "certificate"),
        ("", "ports"),
        ("", "postgresql"),
        ("", "supervisord"),
    }
    yield found | ({("", "firewall")} if firewall else set())
    for command in (
        "chmod 0640 /srv/memories/config/env",
        "systemctl stop leak",
        "systemctl start homeport-firewall" if firewall else "true",
        f"cp -a {KEPT}/memories.conf {SITE} && cp -a {KEPT}/env /srv/memories/{LIVE}",
        f"rm -r {KEPT} {CONFIG} {INTRANET}",
        "runuser -u postgres -- psql -qc 'revoke connect on database memories from public'",
        "/usr/local/lib/homeport/certificates apply && systemctl reload nginx",
        "systemctl start homeport-certificates.timer",
    ):
        host.check_output(command)


def failures(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (problem["app"], problem["check"])
        for problem in document["problems"]
        if problem["level"] == "failure"
    }


def test_the_site_as_deployed_is_good_and_no_secret_is_shown(auditor: Auditor, host: Any) -> None:
    done, document = auditor.run("-vvv")
    assert (done.status, failures(document)) == (0, set()), done.output
    assert document["level"] == "warning", "nothing backs it up"
    assert document["apps"].keys() == {"memories", "wild", "intranet", "brought"}
    assert len(document["hosts"]["web1"]["checks"]) == 14
    assert len(document["apps"]["memories"]["hosts"]["web1"]["checks"]) == 8
    secrets = host.check_output(
        "sed -n \"s/^export \\(SECRET_KEY\\|DATABASE_URL\\)='\\?\\([^']*\\)'\\?$/\\2/p\" /srv/memories/config/env"
    )
    assert len(secrets.split()) == 2
    for secret in secrets.split():
        assert secret not in done.output


def test_each_failure_is_reported_and_nothing_else(auditor: Auditor, opened: set[tuple[str, str]]) -> None:
    done, document = auditor.run()
    assert done.status != 0
    assert failures(document) == opened, done.output
    for text in (
        "0.0.0.0:9999",
        "chmod 0640 /srv/memories/config/env",
        "its certificate expired 5 d",
        "it accepts a weak suite: TLS 1.2 ECDHE-ECDSA-AES128-SHA",
        "Strict-Transport-Security is missing",
        "other sites may frame its pages",
        "security.W018",
        "every role may use the database memories (CONNECT)",
    ):
        assert text in " ".join(done.output.split()), text


def test_warnings_count_where_one_is_strict(auditor: Auditor) -> None:
    done, document = auditor.run("--check", "-e", "strict=true", "-e", "format=json")
    assert done.status != 0
    assert failures(document) == set(), done.output
    shown = done.output[done.output.index("\n{\n") : done.output.index("\n}\n") + 3]
    assert json.loads(shown) == document


def test_a_host_that_does_not_answer_is_told_of(auditor: Auditor) -> None:
    done, document = auditor.run("-e", "ansible_port=9")
    assert done.status != 0
    assert document["hosts"]["web1"]["reachable"] is False
    assert "cannot be reached" in document["hosts"]["web1"]["checks"]["answer"]["problems"][0]["text"]
    assert document["apps"]["memories"]["hosts"]["web1"]["checks"]["headers"]["level"] == "ok"
