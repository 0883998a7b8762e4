# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What would help a build command that has failed."""

from __future__ import annotations

import re

NODE = "\nnode: name a version, such as '22'"
NOT_TRUSTED = (
    r"SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(GET_ISSUER_CERT|VERIFY_LEAF_SIGNATURE)"
    r"|(?m:^(npm|error|Error)\b.*self-signed certificate in certificate chain)"  # yarn names no code
)
UNTRUSTED = (
    "\nThe host does not trust this certificate: add its authority to /usr/local/share/ca-certificates there and run "
    "update-ca-certificates, or name a file with it in /etc/environment (NODE_EXTRA_CA_CERTS)"
)


def build_remedy(output: str) -> str:
    """What would help a build command that has printed this."""
    if re.search(NOT_TRUSTED, output):
        return UNTRUSTED
    if re.search(
        r"engine \"node\" is incompatible|EBADENGINE|Node(\.js)? (version )?\S+ or (newer|higher)", output
    ):
        return NODE
    found = re.search(r"^\S*sh: \d+: ([\w.+-]+): not found$", output, re.MULTILINE)
    if found and found[1] in ("node", "npm", "npx"):
        return NODE
    return f"\nsystem_packages: name the Debian package with the command {found[1]}" if found else ""
