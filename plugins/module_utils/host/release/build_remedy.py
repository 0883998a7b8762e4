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
# npm only warns with EBADENGINE, unless engine-strict is set.
OTHER_NODE = (
    r"engine \"node\" is incompatible|(?m:^npm (ERR!|error) (code )?EBADENGINE)"
    r"|Node(\.js)? (version )?\S+ or (newer|higher)|ERR_PNPM_UNSUPPORTED_ENGINE"
)
# How dash, bash, make and env say that there is no such command.
NOT_FOUND = (
    r"^\S*sh: \d+: ([\w.+-]+): not found$",
    r"^\S*sh: (?:line \d+: )?([\w.+-]+): command not found$",
    r"^make(?:\[\d+\])?: ([\w.+-]+): No such file or directory$",
    r"^(?:/usr/bin/)?env: ['\u2018]?([\w.+-]+)['\u2019]?: No such file or directory$",
)
UNTRUSTED = (
    "\nThe host does not trust this certificate: add its authority to /usr/local/share/ca-certificates there and run "
    "update-ca-certificates, or name a file with it in /etc/environment (NODE_EXTRA_CA_CERTS)"
)


def build_remedy(output: str) -> str:
    """What would help a build command that has printed this."""
    if re.search(NOT_TRUSTED, output):
        return UNTRUSTED
    if re.search(OTHER_NODE, output):
        return NODE
    command = missing_command(output)
    if command in ("node", "npm", "npx"):
        return NODE
    if command in ("yarn", "pnpm", "corepack"):
        return f"\nbuild: write npx {command} in its place; npx comes with node: a version, such as '22'"
    if re.search("Can't find (msgfmt|xgettext|msguniq|msgmerge)", output):
        return "\nsystem_packages: [gettext] has the commands for translations"
    return f"\nsystem_packages: name the Debian package with the command {command}" if command else ""


def missing_command(output: str) -> str:
    """The command that a shell, make or env has not found; empty for none."""
    for pattern in NOT_FOUND:
        found = re.search(pattern, output, re.MULTILINE)
        if found:
            return found[1]
    return ""
