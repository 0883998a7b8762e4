#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A set of PostgreSQL roles and databases, compared in one query."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_databases
short_description: Create a set of PostgreSQL databases with their roles
description:
  - Creates every database of a set in one task. Each belongs to a role of its own, and only that role can reach it.
    No database and no owner is ever dropped.
  - Over the network an owner may have several logins, each with a password of its own, so that a password is replaced
    without an interruption. A login is a role that acts as the owner from its first statement on; it owns nothing.
    One that is no longer declared is dropped, unless O(drop=false).
  - Nobody but a superuser can enter a new database before it is handed over. The schema C(public) of the database
    C(postgres) and the database C(template1) are closed to other roles.
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
        description: Password of the role. Empty leaves the role without one, for peer authentication only.
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
        description: Extensions that must be there. A new database gets them before its owner. Later, one that
          PostgreSQL trusts is created as the owner, and another one only where the owner has no functions, operators
          and types.
        type: list
        elements: str
        default: []
  taken:
    description: Names of databases that go to their declared owners although they are somebody else's. Others that are
      make the module fail.
    type: list
    elements: str
    default: []
  drop:
    description: Whether logins that are not declared any more are dropped.
    type: bool
    default: true
extends_documentation_fragment: [homeport.django.component]
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
import hmac
import os
import shutil
from collections.abc import Iterable
from typing import Any, NamedTuple

from ansible_collections.homeport.django.plugins.module_utils.common.derive import is_login
from ansible_collections.homeport.django.plugins.module_utils.host.given import Given
from ansible_collections.homeport.django.plugins.module_utils.host.given_cluster import (
    EXTENSIONS_OF,
    STATE,
    cluster_state,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.psql import (
    LONG,
    Cluster,
    closed_database,
    handed_over,
    quote_name,
    quote_text,
    revoked,
    scram_verifier,
)


class Step(NamedTuple):
    """A statement of the superuser, or an extension that it creates in a database which nobody has entered yet."""

    what: str
    statement: str
    new: str = ""


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


def plan(wanted: list[dict[str, Any]], state: dict[str, Any], taken: Iterable[str] = ()) -> list[Step]:
    """Steps that lead from ``state`` to ``wanted``, each with a description that holds no secret.

    Raises when a database is somebody else's, and not among the ``taken``.
    """
    steps = system_steps(state)
    roles, databases = state["roles"], state["databases"]
    for spec in wanted:
        if roles.get(spec["owner"], {}).get("super"):
            raise DeployError(f"The role {spec['owner']} is a superuser: an app must not be one")
        database = databases.get(spec["name"], {"owner": spec["owner"]})
        owner = database["owner"]
        if owner != spec["owner"] and not database["new"] and spec["name"] not in taken:
            raise DeployError(
                f"The database {spec['name']} belongs to {owner}, and not to {spec['owner']}: choose another name for "
                f"it, or go on with -e take_over=database:{spec['name']}"
            )
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
            steps.append(Step(f"create role {role}", words))
        else:
            steps += role_steps(role, found, password, limit)
        steps += login_steps(role, logins_of(wanted, role), limit, roles)
    for spec in wanted:
        steps += database_steps(spec, databases.get(spec["name"]))
    return steps


def system_steps(state: dict[str, Any]) -> list[Step]:
    """Until PostgreSQL 14 everybody may create in ``postgres``; from ``template1`` other databases are made."""
    steps = []
    if state["creatable"]:
        words = "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
        steps.append(Step("close schema public of database postgres to others", words))
    if state["databases"].get("template1", {}).get("public"):
        steps.append(Step("close database template1 to others", revoked("template1")))
    return steps


def database_steps(spec: dict[str, Any], found: dict[str, Any] | None) -> list[Step]:
    """A new database is the superuser's, and closed, until it has its extensions: the app's code comes after that."""
    name, owner = spec["name"], spec["owner"]
    close = Step(f"close database {name} to others", revoked(name))
    give = Step(f"give database {name} to {owner}", handed_over(name, owner))
    if found and not found["new"]:
        steps = [close] if found["public"] else []
        if found["owner"] != owner:
            alter = f"ALTER DATABASE {quote_name(name)} OWNER TO {quote_name(owner)}"
            steps.insert(0, Step(give.what, alter))
        return steps
    create = [] if found else [Step(f"create database {name}", closed_database(name)[0])]
    extend = [
        Step(f"create extension {extension} in {name}", extension, new=name)
        for extension in spec["extensions"]
    ]
    return [*create, close, *extend, give]


def quoted_verifier(password: str) -> str:
    return quote_text(scram_verifier(password, os.urandom(16))) if password else "NULL"


def role_steps(role: str, found: dict[str, Any], password: str, limit: int) -> list[Step]:
    """What sets a role right that is there."""
    steps, alter = [], f"ALTER ROLE {quote_name(role)}"
    if not found["login"]:
        steps.append(Step(f"let role {role} log in", f"{alter} LOGIN"))
    if not password_matches(password, found["password"]):
        steps.append(Step(f"set password of role {role}", f"{alter} PASSWORD {quoted_verifier(password)}"))
    if found["connections"] != limit:
        number = "any number of" if limit == -1 else limit
        steps.append(Step(f"let role {role} have {number} connections", f"{alter} CONNECTION LIMIT {limit}"))
    return steps


def logins_of(wanted: list[dict[str, Any]], owner: str) -> dict[str, str]:
    """Passwords of an owner's logins by their names, over all of its databases."""
    return {
        login["name"]: login["password"]
        for spec in wanted
        if spec["owner"] == owner
        for login in spec["logins"]
    }


def login_steps(owner: str, logins: dict[str, str], limit: int, roles: dict[str, Any]) -> list[Step]:
    """What lets an owner in by each of its logins."""
    steps = []
    for name, password in logins.items():
        quoted, found = quote_name(name), roles.get(name)
        acts = f"ALTER ROLE {quoted} SET role TO {quote_text(owner)}"
        if found is None:
            words = f"CREATE ROLE {quoted} LOGIN IN ROLE {quote_name(owner)} CONNECTION LIMIT {limit}"
            steps.append(
                Step(f"create login {name}", f"{words} PASSWORD {quoted_verifier(password)}; {acts}")
            )
            continue
        if found["acts_as"] != owner:
            grant = f"GRANT {quote_name(owner)} TO {quoted}"
            steps.append(Step(f"let login {name} act as {owner}", f"{grant}; {acts}"))
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
    cluster: Cluster, wanted: list[dict[str, Any]], state: dict[str, Any], check_mode: bool
) -> list[str]:
    """Drops the logins that are not declared any more, and ends their connections; returns what was done."""
    changes = []
    for name, owner in outdated(wanted, state).items():
        changes.append(f"drop login {name}")
        if check_mode:
            continue
        # one that somebody has told to act as itself may own something
        for database in [spec["name"] for spec in wanted if spec["owner"] == owner]:
            if state["roles"][name]["owns"]:
                cluster.reassign(name, owner, database)
        ended = (
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {quote_text(name)};\n"
        )
        cluster.ask(f"DROP ROLE {quote_name(name)};\n{ended}")
    return changes


def arguments() -> dict[str, Any]:
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
    return {
        "databases": {"type": "list", "elements": "dict", "options": database, "required": True},
        "taken": {"type": "list", "elements": "str", "default": []},
        "drop": {"type": "bool", "default": True},
        "given": {"type": "dict", "default": {}},
    }


def take(cluster: Cluster, step: Step) -> None:
    if step.new:
        cluster.extend(step.new, step.statement)
    else:
        cluster.ask(f"{step.statement};\n", LONG)


def main() -> None:
    module = Module(argument_spec=arguments(), supports_check_mode=True)
    wanted = module.params["databases"]
    cluster = Cluster()
    given = Given.told(module.params["given"])
    state: dict[str, Any] = {"roles": {}, "databases": {}, "creatable": False, "trusted": []}
    doing, changes = "ask PostgreSQL", []
    try:
        if shutil.which("psql") or not module.check_mode:
            state = cluster.state()
        doing = "go on"
        steps = plan(wanted, state, module.params["taken"])
        if not module.check_mode:
            given.forget()
        for step in steps:
            doing = step.what
            if not module.check_mode:
                take(cluster, step)
            changes.append(step.what)
        doing = "drop a login"
        if module.params["drop"]:
            changes += drop_logins(cluster, wanted, state, module.check_mode)
        doing = "look for extensions"
        missing = missing_extensions(cluster, wanted, state)
    except DeployError as error:
        module.fail_json(msg=f"Cannot {doing}: {error}", changes=changes)
    failed = []
    for spec, extension in missing:
        doing = f"create extension {extension} in {spec['name']}"
        try:
            if not module.check_mode:
                extend(cluster, spec, extension, state["trusted"])
            changes.append(doing)
        except DeployError as error:  # of one app, which keeps no other from its own
            failed.append(f"Cannot {doing}: {error}")
    if failed:
        module.fail_json(msg="\n".join(failed), changes=changes)
    if not module.check_mode:
        extended = [spec["name"] for spec in wanted if spec["extensions"]]
        given.keep({"cluster": cluster_state([STATE, *(EXTENSIONS_OF + name for name in extended)])})
    module.exit_json(changed=bool(changes), changes=changes)


def missing_extensions(
    cluster: Cluster, wanted: list[dict[str, Any]], state: dict[str, Any]
) -> list[tuple[dict[str, Any], str]]:
    """Extensions that databases of before this run do not have."""
    found = []
    for spec in wanted:
        known = state["databases"].get(spec["name"])
        if known and not known["new"] and spec["extensions"]:
            have = cluster.look(spec["name"], "extensions")
            found += [(spec, name) for name in spec["extensions"] if name not in have]
    return found


def extend(cluster: Cluster, spec: dict[str, Any], extension: str, trusted: list[str]) -> None:
    """Creates an extension in a database that its owner has been in."""
    name = spec["name"]
    if extension in trusted:
        cluster.extend_as(spec["owner"], name, extension)
        return
    try:
        cluster.extend(name, extension)
    except DeployError as error:
        raise DeployError(
            f"{error}\nOnly a superuser may create {extension}, and never beside functions, operators or types of "
            f"{spec['owner']}, which its script could take for PostgreSQL's own: drop these in {name}, run this again, "
            "and create them anew. A new database gets its extensions first"
        ) from error


if __name__ == "__main__":
    main()
