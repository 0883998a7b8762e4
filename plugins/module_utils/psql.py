# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The local PostgreSQL cluster, asked through psql as its superuser: nothing is installed for it."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule


def quote_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Psql:
    """The local cluster, as its superuser."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.words = [
            "runuser",
            "-u",
            "postgres",
            "--",
            "psql",
            "--no-psqlrc",
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
        ]

    def run(self, statements: str, database: str = "postgres") -> tuple[int, str, str]:
        # by standard input: what is on a command line can be read by every user of the host
        words = [*self.words, "-d", database]
        found: tuple[int, str, str] = self.module.run_command(
            words, data=statements, binary_data=False, cwd="/"
        )
        return found
