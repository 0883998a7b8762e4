#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A set of PostgreSQL roles and databases, compared in one query."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_databases
short_description: Create a set of PostgreSQL databases with their roles
description:
  - Makes sure that every database exists, belongs to a role of its own, and can be reached by that
    role alone, in one task for the whole set. Nothing is ever dropped.
  - It talks to the local cluster through psql as the user postgres, so nothing is installed for it.
options:
  databases:
    description: The databases.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the database.
        type: str
        required: true
      owner:
        description: Role that owns it and may connect to it.
        type: str
        required: true
      password:
        description: Password of the role. Empty leaves the role without one, so that only peer
          authentication lets it in.
        type: str
        default: ""
      connection_limit:
        description: Connections that the role may have at a time; V(-1) is as many as the cluster takes.
        type: int
        default: -1
      extensions:
        description: Extensions that must be there.
        type: list
        elements: str
        default: []
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Create the databases of the apps
  homeport.django.postgres_databases:
    databases:
      - {name: blog, owner: blog}
"""

RETURN = r"""
changes:
  description: What was done, without secrets.
  returned: always
  type: list
  elements: str
"""

import base64
import hashlib
import hmac
import json
import os
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homeport.django.plugins.module_utils.psql import Psql, quote_name, quote_text

STATE = """
SELECT json_build_object(
  'roles', (SELECT coalesce(json_object_agg(rolname, json_build_object(
      'login', rolcanlogin, 'super', rolsuper, 'password', rolpassword, 'connections', rolconnlimit)), '{}')
    FROM pg_authid),
  'databases', (SELECT coalesce(json_object_agg(datname, json_build_object(
      'owner', pg_get_userbyid(datdba),
      'public', (SELECT coalesce(string_agg(privilege_type, ','), '')
                 FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0))), '{}')
    FROM pg_database))
"""
ITERATIONS = 4096


def scram_verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL keeps of a password (SCRAM-SHA-256): the password itself never leaves this process."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    server_key = hmac.new(salted, b"Server Key", hashlib.sha256).digest()
    stored = base64.b64encode(hashlib.sha256(client_key).digest()).decode()
    server = base64.b64encode(server_key).decode()
    return f"SCRAM-SHA-256${iterations}:{base64.b64encode(salt).decode()}${stored}:{server}"


def password_matches(password: str, verifier: str | None) -> bool:
    """Whether ``verifier``, as kept by PostgreSQL, belongs to ``password``."""
    if not password:
        return not verifier
    try:
        scheme, parameters, _keys = (verifier or "").split("$")
        iterations, salt = parameters.split(":")
        expected = scram_verifier(password, base64.b64decode(salt), int(iterations))
    except ValueError:
        return False
    return scheme == "SCRAM-SHA-256" and hmac.compare_digest(expected, verifier or "")


def plan(wanted: list[dict[str, Any]], state: dict[str, Any]) -> list[tuple[str, str]]:
    """Statements that lead from ``state`` to ``wanted``, each with a description that holds no secret."""
    steps: list[tuple[str, str]] = []
    roles, databases = state["roles"], state["databases"]
    for role in dict.fromkeys(spec["owner"] for spec in wanted):
        password = next(
            (spec["password"] for spec in wanted if spec["owner"] == role and spec["password"]), ""
        )
        verifier = quote_text(scram_verifier(password, os.urandom(16))) if password else "NULL"
        # a role of several databases gets the largest of their limits, and none where one has none
        limits = [spec["connection_limit"] for spec in wanted if spec["owner"] == role]
        limit = -1 if -1 in limits else max(limits)
        found = roles.get(role)
        if found is None:
            words = f"CREATE ROLE {quote_name(role)} LOGIN CONNECTION LIMIT {limit} PASSWORD {verifier}"
            steps.append((f"create role {role}", words))
            continue
        if not found["login"]:
            steps.append((f"let role {role} log in", f"ALTER ROLE {quote_name(role)} LOGIN"))
        if not password_matches(password, found["password"]):
            steps.append(
                (f"set password of role {role}", f"ALTER ROLE {quote_name(role)} PASSWORD {verifier}")
            )
        if found["connections"] != limit:
            steps.append(
                (
                    f"let role {role} have {'any number of' if limit == -1 else limit} connections",
                    f"ALTER ROLE {quote_name(role)} CONNECTION LIMIT {limit}",
                )
            )
    for spec in wanted:
        name, owner = quote_name(spec["name"]), quote_name(spec["owner"])
        found = databases.get(spec["name"])
        if found is None:
            options = "ENCODING 'UTF8' TEMPLATE template0 LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
            steps.append(
                (f"create database {spec['name']}", f"CREATE DATABASE {name} OWNER {owner} {options}")
            )
        elif found["owner"] != spec["owner"]:
            steps.append(
                (
                    f"give database {spec['name']} to {spec['owner']}",
                    f"ALTER DATABASE {name} OWNER TO {owner}",
                )
            )
        if found is None or found["public"]:
            steps.append(
                (f"close database {spec['name']} to others", f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
            )
    return steps


def main() -> None:
    database = {
        "name": {"type": "str", "required": True},
        "owner": {"type": "str", "required": True},
        "password": {"type": "str", "default": "", "no_log": True},
        "connection_limit": {"type": "int", "default": -1},
        "extensions": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(
        argument_spec={
            "databases": {"type": "list", "elements": "dict", "options": database, "required": True}
        },
        supports_check_mode=True,
    )
    wanted = module.params["databases"]
    psql = Psql(module)
    state: dict[str, Any] = {"roles": {}, "databases": {}}
    if shutil.which("psql") or not module.check_mode:
        code, out, err = psql.run(STATE)
        if code:
            module.fail_json(msg=f"PostgreSQL does not answer: {err.strip()}")
        state = json.loads(out)
    steps = plan(wanted, state)
    changes = [description for description, _statement in steps]
    if not module.check_mode:
        for description, statement in steps:
            code, _out, err = psql.run(f"{statement};\n")
            if code:
                module.fail_json(msg=f"cannot {description}: {err.strip()}", changes=changes)
    changes += extensions(module, psql, wanted, state)
    module.exit_json(changed=bool(changes), changes=changes)


def extensions(
    module: AnsibleModule, psql: Psql, wanted: list[dict[str, Any]], state: dict[str, Any]
) -> list[str]:
    """Creates the extensions that are missing; returns what was done."""
    changes = []
    for spec in wanted:
        if not spec["extensions"]:
            continue
        have = ""
        if spec["name"] in state["databases"] or not module.check_mode:
            _code, have, _err = psql.run("SELECT extname FROM pg_extension;", spec["name"])
        for name in spec["extensions"]:
            if name in have.split():
                continue
            changes.append(f"create extension {name} in {spec['name']}")
            if not module.check_mode:
                code, _out, err = psql.run(f"CREATE EXTENSION {quote_name(name)};\n", spec["name"])
                if code:
                    module.fail_json(msg=f"cannot create extension {name} in {spec['name']}: {err.strip()}")
    return changes


if __name__ == "__main__":
    main()
