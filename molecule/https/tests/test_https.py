"""https: certificates from an ACME authority, brought along and self-signed; nginx over TLS."""

import base64
import json
import secrets
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.acceptance import checks
from tests.acceptance.album import Album
from tests.acceptance.operator import ROOT, Operator
from tests.acceptance.secrecy import Secret, found_on_host
from tests.acceptance.under_load import load, lost, wait_for

APPS = yaml.safe_load((ROOT / "molecule/https/inventory/group_vars/all/apps.yml").read_text())["django_apps"]
PROGRAM = "/usr/local/lib/homeport/certificates"
NAME = "memories.example"
WILD = "wild.example"
LINEAGE = "/etc/homeport/acme/live/wild"


@pytest.fixture
def secure(address: str, roots: str) -> Album:
    return Album(address, NAME, roots)


def handshake(address: str, name: str, roots: str = "", **options: Any) -> tuple[Any, str]:
    """The certificate that is served for a name, checked against roots where they are given, and the protocol."""
    context = ssl.create_default_context(cafile=roots or None)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if not roots:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for option, value in options.items():
        if option == "ciphers":
            context.set_ciphers(value)
        else:
            setattr(context, option, value)
    with (
        socket.create_connection((address, 443), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as wrapped,
    ):
        found = wrapped.getpeercert() if roots else wrapped.getpeercert(binary_form=True)
        return found, wrapped.selected_alpn_protocol() or ""


@pytest.fixture
def operator(host: Any, tmp_path: Path) -> Operator:
    found = Operator(host.backend.ansible_runner.inventory_file, tmp_path, APPS["memories"])
    found.others = {"wild": APPS["wild"]}
    return found


def trusted(address: str, name: str, roots: str) -> dict[str, Any]:
    """The certificate for a name; an empty one where it is not good."""
    try:
        return dict(handshake(address, name, roots)[0])
    except ssl.SSLCertVerificationError:
        # for a moment after a reload, the workers from before it still answer
        return {}


def names(address: str, roots: str, name: str = NAME) -> list[str]:
    return sorted(value for _kind, value in trusted(address, name, roots).get("subjectAltName", ()))


def serial(address: str, name: str, roots: str) -> str:
    return str(handshake(address, name, roots)[0]["serialNumber"])


def renewed(address: str, name: str, roots: str, before: str) -> bool:
    """Whether a name has another good certificate than it had."""
    return bool(trusted(address, name, roots).get("serialNumber", before) != before)


def test_the_authority_has_signed_what_has_an_address(address: str, roots: str) -> None:
    assert names(address, roots) == [NAME, f"www.{NAME}"]
    found, protocol = handshake(address, f"www.{NAME}", roots)
    assert "Pebble" in str(found["issuer"])
    assert protocol == "h2"


def test_the_app_works(secure: Album) -> None:
    checks.check_album_works(secure)
    checks.check_static_files(secure)


def test_the_checks_of_a_deployment_find_nothing(host: Any) -> None:
    checks.check_deployment_checks(host, "memories")


def test_the_others_have_theirs(host: Any, address: str) -> None:
    inventory = Path(host.backend.ansible_runner.inventory_file)
    text = (inventory.parent / "tls/brought.pem").read_text()
    assert handshake(address, "brought.example")[0] == ssl.PEM_cert_to_DER_cert(text)
    assert handshake(address, "intranet.example")[0]
    key = host.file("/etc/homeport/certificates/brought/live/privkey.pem")
    assert (key.mode, key.user) == (0o600, "root")
    assert host.run("runuser -u www-data -- ls /etc/homeport/certificates").rc != 0


@pytest.mark.parametrize("name", [WILD, f"any.{WILD}", f"other.{WILD}"])
def test_a_wildcard_serves_any_name(address: str, roots: str, name: str) -> None:
    assert names(address, roots, name) == [f"*.{WILD}", WILD]
    assert "Pebble" in str(handshake(address, name, roots)[0]["issuer"])
    assert Album(address, name, roots).get("/").status_code == 200


def test_the_proofs_are_gone_from_the_dns(host: Any) -> None:
    assert "status: NXDOMAIN" in host.check_output(f"dig @127.0.0.1 TXT _acme-challenge.{WILD}")
    assert host.check_output(f"grep -c _acme-challenge.{WILD} /var/lib/bind/{WILD}.jnl")


def test_plain_http_leads_to_https(album: Album) -> None:
    answer = album.get("/albums/1/?page=2")
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"https://{NAME}/albums/1/?page=2"
    assert album.get("/.well-known/acme-challenge/none").status_code == 404


def test_other_names_lead_to_the_canonical_one(address: str, roots: str) -> None:
    answer = Album(address, f"www.{NAME}", roots).get("/a/")
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"https://{NAME}/a/"


def test_unknown_names_get_no_certificate(address: str) -> None:
    with pytest.raises(ssl.SSLError, match="unrecognized name"):
        handshake(address, "evil.example")


@pytest.mark.parametrize(
    "options",
    [
        {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"},
        {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "AES128-GCM-SHA256:@SECLEVEL=0"},
        {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1},
    ],
    ids=["CBC", "no forward secrecy", "TLS 1.1"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_old_is_refused(address: str, options: dict[str, Any]) -> None:
    if "ciphers" not in options:
        options["ciphers"] = "ALL:@SECLEVEL=0"
    with pytest.raises(ssl.SSLError):
        handshake(address, NAME, **options)


def test_tls_1_2_is_spoken(address: str) -> None:
    assert handshake(address, NAME, maximum_version=ssl.TLSVersion.TLSv1_2)[0]


def test_each_header_comes_once(secure: Album, host: Any) -> None:
    def headers(path: str) -> dict[str, list[str]]:
        raw = secure.session.get(secure.base + path, headers={"Host": NAME}, timeout=30).raw.headers
        return {name.lower(): raw.getlist(name) for name in raw}

    sheet = next(path for path in secure.addresses("/", "/static/") if path.endswith(".css"))
    for path in ("/", sheet, "/no-such-page"):
        found = headers(path)
        assert found["strict-transport-security"] == ["max-age=86400"], path
        assert found["x-content-type-options"] == ["nosniff"], path
        assert len(found["referrer-policy"]) == 1, path
    assert headers("/")["x-frame-options"] == ["DENY"]


def test_the_maintenance_page(secure: Album, album: Album, host: Any) -> None:
    host.check_output("touch /srv/memories/maintenance/on")
    try:
        answer = secure.get("/")
        assert answer.status_code == 503
        assert answer.headers["Strict-Transport-Security"] == "max-age=86400"
        assert album.get("/").status_code == 308
    finally:
        host.check_output("rm /srv/memories/maintenance/on")


def test_a_dns_server_that_takes_no_proof(
    host: Any, address: str, roots: str, secure: Album, operator: Operator
) -> None:
    wrong = base64.b64encode(secrets.token_bytes(32)).decode()
    path = operator.source.parent / "wrong.json"
    path.write_text(json.dumps({"certificates_dns_key_secret": wrong}))
    host.check_output(f"rm -r {LINEAGE}")  # so that it is asked for
    done = operator.run("typical", "-e", f"@{path}", "-vvv")
    assert done.status != 0
    assert "wild: the DNS server 127.0.0.1: Encountered error adding TXT record" in done.output, done.output
    assert "certificates_dns_key_secret is not its key" in done.output
    assert wrong not in done.output
    # read as a whole: what is searched for would stand in the journal, as a command of sudo
    assert wrong in host.file("/etc/homeport/dns.ini").content_string
    assert found_on_host(host, [Secret("wrong", "", [wrong])]) == []
    assert names(address, roots, WILD) == [f"*.{WILD}", WILD], "the one from before is still served"
    assert secure.get("/").status_code == 200


def test_a_command_may_prove_it_as_well(host: Any, address: str, roots: str, operator: Operator) -> None:
    script = """#!/bin/sh
printf 'server 127.0.0.1\nupdate %s _acme-challenge.%s. 60 TXT "%s"\nsend\n' \
    "$1" "$CERTBOT_DOMAIN" "$CERTBOT_VALIDATION" | nsupdate -k /etc/bind/homeport.key
"""
    host.check_output("printf %%s %s >/usr/local/bin/prove && chmod 0755 /usr/local/bin/prove", script)
    proof = {
        "certificates_dns_server": "",
        "certificates_dns_auth_hook": "/usr/local/bin/prove add",
        "certificates_dns_cleanup_hook": "/usr/local/bin/prove delete",
    }
    before = serial(address, WILD, roots)
    host.check_output(f"rm -rf {LINEAGE}")
    done = operator.run("typical", "-e", json.dumps(proof))
    assert done.status == 0, done.output
    wait_for(lambda: renewed(address, WILD, roots, before), 60)
    assert names(address, roots, WILD) == [f"*.{WILD}", WILD]
    assert not host.file("/etc/homeport/dns.ini").exists


def test_names_come_and_go(host: Any, address: str, roots: str, operator: Operator) -> None:
    others = [handshake(address, f"{name}.example")[0] for name in ("brought", "intranet")]
    # one has an address now; another has one, but not here, as the authority finds out
    host.check_output(f"echo 127.0.0.1 soon.{NAME} >>/etc/hosts")
    host.check_output(f"echo 255.255.255.255 elsewhere.{NAME} >>/etc/hosts")
    changes = {"domains": [NAME, f"soon.{NAME}", f"elsewhere.{NAME}"]}
    done = operator.run("typical", changes=changes)
    assert done.status == 0, done.output
    assert (
        f"memories: the certificate does not have elsewhere.{NAME}, which cannot be obtained" in done.output
    )
    wait_for(lambda: names(address, roots) == [NAME, f"soon.{NAME}"], 60)
    assert host.file("/etc/homeport/dns.ini").exists
    assert [handshake(address, f"{name}.example")[0] for name in ("brought", "intranet")] == others
    # what has just failed is not asked for at once again, and nothing changes
    done = operator.run("typical", changes=changes)
    assert (done.status, done.changed) == (0, 0), done.output
    assert "asked for again in" in done.output


def test_a_renewal_loses_no_request(host: Any, address: str, roots: str, secure: Album) -> None:
    before = serial(address, NAME, roots)
    host.check_output(f"{PROGRAM} renew")
    assert serial(address, NAME, roots) == before, "it was not due"
    with load(secure, rate=40) as running:
        done = host.run(f"faketime -f +70d {PROGRAM} renew")
        wait_for(lambda: renewed(address, NAME, roots, before), 60)
    assert lost(running) == 0, running.summary()
    assert len(running.latencies) > 50
    # the clock of the DNS server is another, and it takes nothing that seems to be from another day
    assert done.stderr.startswith("wild: the DNS server 127.0.0.1: Encountered error adding TXT record"), (
        done.stderr
    )
    assert done.stderr.endswith("(its clock and that of this host differ)\n")
    assert len(done.stderr.splitlines()) == done.rc == 1


def test_a_wildcard_is_renewed(host: Any, address: str, roots: str) -> None:
    before = serial(address, f"any.{WILD}", roots)
    settings = "/etc/homeport/acme/renewal/wild.conf"
    host.check_output(f"sed -i '1i renew_before_expiry = 100 days' {settings}")
    try:
        host.check_output("systemctl start homeport-certificates.service")
        wait_for(lambda: renewed(address, f"any.{WILD}", roots, before), 60)
        assert names(address, roots, f"any.{WILD}") == [f"*.{WILD}", WILD]
    finally:
        host.check_output(f"sed -i '/^renew_before_expiry/d' {settings}")


def test_a_certificate_that_is_over_soon_is_reported(host: Any, operator: Operator) -> None:
    site = "/etc/homeport/certificates/memories"
    before = host.check_output(f"readlink {site}/live")
    # of 90 days, 80 are over
    make = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN={NAME}"
    make += " -CA /etc/pebble.pem -CAkey /etc/pebble.key"
    files = f"-keyout {site}/soon/privkey.pem -out {site}/soon/fullchain.pem"
    host.check_output(
        f"mkdir {site}/soon && faketime -f -80d openssl {make} {files} && ln -sfn soon {site}/live"
    )
    try:
        done = operator.run("status")
        assert done.status != 0
        assert "memories on web1: its certificate expires in 9 d 23 h" in done.output, done.output
    finally:
        host.check_output(f"ln -sfn {before} {site}/live && rm -r {site}/soon")


def test_the_timer_is_set(host: Any) -> None:
    assert host.service("homeport-certificates.timer").is_running
    assert host.service("homeport-certificates.timer").is_enabled
    ran = host.run("systemctl start homeport-certificates.service")
    assert ran.rc == 0, ran.stderr
    assert host.check_output("systemctl is-system-running") == "running"
    checks.check_exposure(host, "homeport-certificates", "homeport-certificates-prepare", "nginx")


def test_nginx_starts_whatever_is_missing(host: Any, address: str, roots: str) -> None:
    before = serial(address, NAME, roots)
    host.check_output("rm -r /etc/homeport/certificates/memories /etc/homeport/certificates/intranet")
    host.check_output("systemctl restart nginx")
    assert serial(address, NAME, roots) == before
    host.check_output("rm -r /etc/homeport/certificates/memories /etc/homeport/acme/live/memories")
    host.check_output("systemctl restart nginx")
    assert handshake(address, NAME)[0], "a self-signed one stands in"
    host.check_output("rm -r /etc/homeport/certificates/intranet")
    host.check_output("systemctl kill --signal=KILL nginx")
    state = "systemctl show --property=NRestarts,ActiveState --value nginx"
    wait_for(lambda: set(host.check_output(state).split()) == {"1", "active"}, 60)
    assert handshake(address, "intranet.example")[0]


def test_what_went_missing_is_asked_for_again(host: Any, address: str, roots: str) -> None:
    done = host.run(f"{PROGRAM} apply")
    assert done.rc == 0, done.stderr
    assert json.loads(done.stdout)["sites"]["memories"]["missing"].keys() == {f"elsewhere.{NAME}"}
    wait_for(lambda: names(address, roots) == [NAME, f"soon.{NAME}"], 60)


def test_an_authority_that_is_away_is_an_error_and_the_rest_goes_on(
    host: Any, address: str, roots: str
) -> None:
    host.check_output("systemctl stop pebble")
    host.check_output("rm -r /etc/homeport/certificates/intranet")
    done = host.run(f"faketime -f +70d {PROGRAM} renew")
    assert done.rc == 1
    assert "memories: https://localhost:14000/dir" in done.stderr
    assert handshake(address, "intranet.example")[0]
    assert handshake(address, NAME, roots)[0], "the old one is still good"


def test_nobody_else_reads_it(host: Any) -> None:
    for path in ("/etc/homeport/own", "/etc/homeport/certificates", "/etc/homeport/acme/archive"):
        assert host.run(f"runuser -u nobody -- ls {path}").rc != 0, path
    credentials = host.file("/etc/homeport/dns.ini")
    assert (credentials.mode, credentials.user, credentials.group) == (0o600, "root", "root")
    with pytest.raises(requests.ConnectionError):
        requests.get(f"https://{host.ansible.get_variables()['ansible_host']}/", verify=False, timeout=10)
