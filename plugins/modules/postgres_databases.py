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
    role alone, in one task for the whole set. No database and no owner is ever dropped.
  - Over the network an owner may have several logins, each with a password of its own, so that a password is replaced
    without an interruption. A login is a role that acts as the owner from its first statement on; it owns nothing,
    and one that is not declared any more is dropped.
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
      logins:
        description: Further roles by which the owner logs in. Their names are the owner's with a dot and eight
          hexadecimal digits after it.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the role.
            type: str
            required: true
          password:
            description: Its password.
            type: str
            required: true
      connection_limit:
        description: Connections that the role, or each of its logins, may have at a time; V(-1) is as many as the
          cluster takes.
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
from ansible_collections.homeport.django.plugins.module_utils.derive import is_login
from ansible_collections.homeport.django.plugins.module_utils.psql import Psql, quote_name, quote_text

STATE = """
SELECT json_build_object(
  'roles', (SELECT coalesce(json_object_agg(rolname, json_build_object(
      'login', rolcanlogin, 'super', rolsuper, 'password', rolpassword, 'connections', rolconnlimit,
      'acts_as', coalesce((SELECT pg_get_userbyid(roleid) FROM pg_auth_members JOIN pg_db_role_setting
          ON setrole = member AND setdatabase = 0 AND setconfig @> ARRAY['role=' || pg_get_userbyid(roleid)]
          WHERE member = pg_authid.oid LIMIT 1), ''))), '{}')
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
        verifier = quoted_verifier(password)
        # a role of several databases gets the largest of their limits, and none where one has none
        limits = [spec["connection_limit"] for spec in wanted if spec["owner"] == role]
        limit = -1 if -1 in limits else max(limits)
        found = roles.get(role)
        if found is None:
            words = f"CREATE ROLE {quote_name(role)} LOGIN CONNECTION LIMIT {limit} PASSWORD {verifier}"
            steps.append((f"create role {role}", words))
        else:
            steps += role_steps(role, found, password, limit)
        steps += login_steps(role, logins_of(wanted, role), limit, roles)
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


def quoted_verifier(password: str) -> str:
    return quote_text(scram_verifier(password, os.urandom(16))) if password else "NULL"


def role_steps(role: str, found: dict[str, Any], password: str, limit: int) -> list[tuple[str, str]]:
    """What sets a role right that is there."""
    steps, alter = [], f"ALTER ROLE {quote_name(role)}"
    if not found["login"]:
        steps.append((f"let role {role} log in", f"{alter} LOGIN"))
    if not password_matches(password, found["password"]):
        steps.append((f"set password of role {role}", f"{alter} PASSWORD {quoted_verifier(password)}"))
    if found["connections"] != limit:
        number = "any number of" if limit == -1 else limit
        steps.append((f"let role {role} have {number} connections", f"{alter} CONNECTION LIMIT {limit}"))
    return steps


def logins_of(wanted: list[dict[str, Any]], owner: str) -> dict[str, str]:
    """Passwords of an owner's logins by their names, over all of its databases."""
    return {
        login["name"]: login["password"]
        for spec in wanted
        if spec["owner"] == owner
        for login in spec["logins"]
    }


def login_steps(
    owner: str, logins: dict[str, str], limit: int, roles: dict[str, Any]
) -> list[tuple[str, str]]:
    """What lets an owner in by each of its logins."""
    steps = []
    for name, password in logins.items():
        quoted, found = quote_name(name), roles.get(name)
        acts = f"ALTER ROLE {quoted} SET role TO {quote_text(owner)}"
        if found is None:
            words = f"CREATE ROLE {quoted} LOGIN IN ROLE {quote_name(owner)} CONNECTION LIMIT {limit}"
            steps.append((f"create login {name}", f"{words} PASSWORD {quoted_verifier(password)}; {acts}"))
            continue
        if found["acts_as"] != owner:
            grant = f"GRANT {quote_name(owner)} TO {quoted}"
            steps.append((f"let login {name} act as {owner}", f"{grant}; {acts}"))
        steps += role_steps(name, found, password, limit)
    return steps


def outdated(wanted: list[dict[str, Any]], state: dict[str, Any]) -> dict[str, str]:
    """Owners of the logins that are not declared any more, by the login's name."""
    owners = dict.fromkeys(spec["owner"] for spec in wanted)
    return {
        name: owner
        for owner in owners
        for name in state["roles"]
        if is_login(name, owner) and name not in logins_of(wanted, owner)
    }


def drop_logins(
    module: AnsibleModule, psql: Psql, wanted: list[dict[str, Any]], state: dict[str, Any]
) -> list[str]:
    """Drops the logins that are not declared any more, and ends their connections; returns what was done."""
    changes = []
    for name, owner in outdated(wanted, state).items():
        changes.append(f"drop login {name}")
        if module.check_mode:
            continue
        # one that somebody has told to act as itself may own something
        given = f"REASSIGN OWNED BY {quote_name(name)} TO {quote_name(owner)};\n"
        runs = [(given, spec["name"]) for spec in wanted if spec["owner"] == owner]
        ended = (
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {quote_text(name)};\n"
        )
        runs.append((f"DROP ROLE {quote_name(name)};\n{ended}", "postgres"))
        for statements, database in runs:
            code, _out, err = psql.run(statements, database)
            if code:
                module.fail_json(msg=f"cannot drop login {name}: {err.strip()}")
    return changes


def main() -> None:
    login = {
        "name": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
    }
    database = {
        "name": {"type": "str", "required": True},
        "owner": {"type": "str", "required": True},
        "password": {"type": "str", "default": "", "no_log": True},
        "logins": {"type": "list", "elements": "dict", "options": login, "default": []},
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
    changes += drop_logins(module, psql, wanted, state)
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
