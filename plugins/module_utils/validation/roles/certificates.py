# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of certificates."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import (
    NAME,
    NAME_HINT,
    IpAddress,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Choice,
    Field,
    Int,
    List,
    Map,
    Object,
    Str,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import (
    HOST_NAME,
    HOST_NAME_HINT,
    WEB_ADDRESS,
    WEB_ADDRESS_HINT,
)

KEY = r"\s*-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[^\0]*"
KEY_HINT = "must be a private key in PEM"
CERTIFICATES = r"\s*-----BEGIN CERTIFICATE-----[^\0]*-----END CERTIFICATE-----\s*"
BASE64 = r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
TSIG_HASHES = ("sha224", "sha256", "sha384", "sha512", "sha1", "md5")
EMAIL = r"[^@\s,]+@[^@\s,.]+(\.[^@\s,.]+)+"
INPUTS: dict[str, Field] = {
    "certificates_sites": Map(
        Object(
            {
                "domains": List(
                    Str(pattern=rf"(\*\.)?{HOST_NAME}", hint=HOST_NAME_HINT),
                    doc="names in the certificate",
                    least=1,
                    required=True,
                ),
                "kind": Choice(
                    ["acme", "own", "selfsigned"],
                    doc="acme: signed by the authority; own: `chain` and an entry of certificates_private_keys",
                    required=True,
                ),
                "chain": Str(
                    "text of your own certificate and of those between it and the root",
                    pattern=CERTIFICATES,
                    hint="must be certificates in PEM",
                    multiline=True,
                ),
                "challenge": Choice(["http-01", "dns-01"], doc="how the authority validates the names"),
            }
        ),
        key=NAME,
        key_hint=NAME_HINT,
    ),
    "certificates_private_keys": Map(
        Str(pattern=KEY, hint=KEY_HINT, multiline=True), key=NAME, key_hint=NAME_HINT
    ),
    "certificates_email": Str(pattern=rf"({EMAIL})?", hint="must be an address such as admin@example.org"),
    "certificates_authority": Str(pattern=WEB_ADDRESS, hint=WEB_ADDRESS_HINT),
    "certificates_authority_ca": Str(
        pattern=rf"({CERTIFICATES})?", hint="must be certificates in PEM", multiline=True
    ),
    "certificates_profile": Str(pattern=r"[A-Za-z0-9._-]*", hint="must be the name of a profile"),
    "certificates_dns_server": IpAddress(),
    "certificates_dns_port": Int(low=1, high=65535),
    "certificates_dns_key_name": Str(pattern=r"[A-Za-z0-9._-]*", hint="must be the name of a TSIG key"),
    "certificates_dns_key_algorithm": Choice([f"hmac-{name}" for name in TSIG_HASHES]),
    "certificates_dns_key_secret": Str(pattern=BASE64, hint="must be a TSIG key in base64"),
    # certbot is given 15 minutes for all that it does
    "certificates_dns_propagation_seconds": Int(high=600),
    "certificates_dns_auth_hook": Str(pattern=r"(?!-).*", hint="must be a command"),
    "certificates_dns_cleanup_hook": Str(pattern=r"(?!-).*", hint="must be a command"),
    "certificates_reload": List(Str(), least=1),
}
