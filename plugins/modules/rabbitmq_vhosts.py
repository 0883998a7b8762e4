#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A set of RabbitMQ virtual hosts and their users, compared in one question to the node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rabbitmq_vhosts
short_description: Create a set of RabbitMQ virtual hosts with their users
description:
  - Creates every virtual host of a set in one task. Each has users of its own, who may do everything in it and
    nothing anywhere else. No other user keeps a permission in these virtual hosts, and the user C(guest), whose
    password everybody knows, is deleted.
  - No virtual host is deleted because it is not declared any more, only what is declared as V(absent). An undeclared
    user named like a declared virtual host, with a dot and eight hexadecimal digits after it, is deleted. That ends
    its connections. By one more such user a password is replaced without an interruption.
  - It asks the node on the same host through Erlang's C(erl_call), which is faster than rabbitmqctl with its start of
    one to two seconds. Passwords leave the module only as salted hashes, by standard input.
options:
  vhosts:
    description: The virtual hosts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the virtual host.
        type: str
        required: true
      users:
        description: Its users, at least one unless O(vhosts[].state=absent).
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the user.
            type: str
            required: true
          password:
            description: Password of the user.
            type: str
            required: true
      state:
        description: V(absent) deletes the virtual host with all its messages, and the users who may use no other.
        type: str
        choices: [present, absent]
        default: present
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Create the virtual hosts of the apps
  homeport.django.rabbitmq_vhosts:
    vhosts:
      - name: blog
        users: [{name: blog, password: "{{ vault_blog_broker_password }}"}]

- name: Delete what an app had
  homeport.django.rabbitmq_vhosts:
    vhosts:
      - {name: blog, state: absent}
"""

RETURN = r"""
changes:
  description: What was done, without secrets.
  returned: always
  type: list
  elements: str
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import shutil
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.derive import is_login
from ansible_collections.homeport.django.plugins.module_utils.host.module import HostModule

NODE = "127.0.0.1:568"  # as in rabbitmq-env.conf of the role
ALGORITHM = "rabbit_password_hashing_sha256"
ALL = {"configure": ".*", "write": ".*", "read": ".*"}
MARK = "homeport:"

# Expressions of Erlang. The answer comes in base64, which no way of printing terms changes.
ANSWER = f'io:format("{MARK}~s~n", [base64:encode(rabbit_json:encode(%s))])'
STATE = ANSWER % (
    "#{users => rabbit_definitions:list_users(), vhosts => rabbit_definitions:list_vhosts(),"
    " permissions => rabbit_definitions:list_permissions()}"
)

State = dict[str, list[dict[str, Any]]]


def password_hash(password: str, salt: bytes) -> str:
    """What RabbitMQ keeps of a password: four bytes of salt, and SHA-256 of these and the password."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def password_matches(password: str, user: dict[str, Any]) -> bool:
    """Whether the hash that RabbitMQ has of ``user`` belongs to ``password``."""
    try:
        kept = base64.b64decode(user["password_hash"], validate=True)
    except (KeyError, binascii.Error):
        return False
    return user.get("hashing_algorithm") == ALGORITHM and hmac.compare_digest(
        base64.b64decode(password_hash(password, kept[:4])), kept
    )


def tags(user: dict[str, Any]) -> list[str]:
    """RabbitMQ gives a list, or before 3.9 a text with commas."""
    found = user.get("tags") or []
    return [tag for tag in found.split(",") if tag] if isinstance(found, str) else found


def objections(wanted: list[dict[str, Any]]) -> list[str]:
    """What is wrong with the input, without values that could be secret."""
    found = []
    taken: dict[str, str] = {}
    for number, spec in enumerate(wanted):
        where = f"vhosts[{number}]"
        if not spec["name"]:
            found.append(f"{where}.name is empty; give the name of a virtual host")
        if spec["state"] == "present" and not spec["users"]:
            found.append(f"{where}.users is empty; give at least one")
        first = next(index for index, other in enumerate(wanted) if other["name"] == spec["name"])
        if first != number:
            found.append(f"{where}.name is that of vhosts[{first}], too")
        for index, user in enumerate(spec["users"]):
            found += user_objections(f"{where}.users[{index}]", user, taken)
    return found


def user_objections(where: str, user: dict[str, Any], taken: dict[str, str]) -> list[str]:
    """What is wrong with a user; ``taken`` says which there are already, and where."""
    found = []
    if not user["name"]:
        found.append(f"{where}.name is empty; give the name of a user")
    if user["name"] == "guest":
        found.append(
            f"{where}.name is guest, which is deleted because everybody knows its password; take another"
        )
    if not user["password"]:
        found.append(f"{where}.password is missing: RabbitMQ accepts no login without one")
    if taken.setdefault(user["name"], where) != where:
        found.append(
            f"{where}.name is that of {taken[user['name']]}, too; each virtual host has users of its own"
        )
    return found


class Plan:
    """What leads from ``state`` to ``wanted``: a document to import, and calls for what an import cannot do."""

    def __init__(self, wanted: list[dict[str, Any]], state: State) -> None:
        self.changes: list[str] = []
        self.document: dict[str, Any] = {"users": [], "vhosts": [], "permissions": []}
        self.calls: list[str] = []
        self.users = {user["name"]: user for user in state["users"]}
        self.vhosts = {vhost["name"] for vhost in state["vhosts"]}
        self.permissions = state["permissions"]
        self.delete_user("guest")
        for spec in wanted:
            if spec["state"] == "absent":
                for name in self.users_of_nothing_else(spec["name"]):
                    self.delete_user(name)
                self.delete_vhost(spec["name"])
        for spec in wanted:
            if spec["state"] == "present":
                self.present(spec)

    def users_of_nothing_else(self, vhost: str) -> list[str]:
        """Users who may use this virtual host and no other."""
        names = {entry["user"] for entry in self.permissions if entry["vhost"] == vhost}
        elsewhere = {entry["user"] for entry in self.permissions if entry["vhost"] != vhost}
        return sorted((names | self.logins(vhost)) - elsewhere)

    def logins(self, vhost: str) -> set[str]:
        """Users that were made for a password of the virtual host's app."""
        return {name for name in self.users if is_login(name, vhost)}

    def delete_user(self, name: str) -> None:
        """Its permissions go with it."""
        if name in self.users:
            self.changes.append(f"delete user {name}")
            self.calls.append(f"rabbit_auth_backend_internal:delete_user({term(name)}, {term('homeport')})")
            self.permissions = [entry for entry in self.permissions if entry["user"] != name]

    def delete_vhost(self, name: str) -> None:
        if name in self.vhosts:
            self.changes.append(f"delete virtual host {name}")
            self.calls.append(f"rabbit_vhost:delete({term(name)}, {term('homeport')})")
            self.permissions = [entry for entry in self.permissions if entry["vhost"] != name]

    def present(self, spec: dict[str, Any]) -> None:
        vhost = spec["name"]
        names = {user["name"] for user in spec["users"]}
        if vhost not in self.vhosts:
            self.changes.append(f"create virtual host {vhost}")
            self.document["vhosts"].append({"name": vhost})
        for name in sorted(self.logins(vhost) - names):
            self.delete_user(name)
        for entry in list(self.permissions):
            if (entry["user"] in names) != (entry["vhost"] == vhost):
                self.revoke(entry["user"], entry["vhost"])
        for user in spec["users"]:
            self.user(user["name"], user["password"])
            allowed = {"user": user["name"], "vhost": vhost, **ALL}
            if not any(
                all(entry[key] == value for key, value in allowed.items()) for entry in self.permissions
            ):
                self.changes.append(f"give virtual host {vhost} to user {user['name']}")
                self.document["permissions"].append(allowed)

    def user(self, name: str, password: str) -> None:
        user = self.users.get(name)
        problem = ""
        if user is None:
            problem = f"create user {name}"
        elif not password_matches(password, user):
            problem = f"set password of user {name}"
        elif tags(user):
            problem = f"take tags from user {name}"
        if problem:
            self.changes.append(problem)
            kept = password_hash(password, os.urandom(4))
            self.document["users"].append(
                {"name": name, "password_hash": kept, "hashing_algorithm": ALGORITHM, "tags": ""}
            )

    def revoke(self, user: str, vhost: str) -> None:
        self.permissions = [it for it in self.permissions if (it["user"], it["vhost"]) != (user, vhost)]
        self.changes.append(f"close virtual host {vhost} to user {user}")
        self.calls.append(
            f"rabbit_auth_backend_internal:clear_permissions({term(user)}, {term(vhost)}, {term('homeport')})"
        )

    def expressions(self) -> str:
        """All of it as Erlang. Nothing is created when what has to be closed could not be."""
        lines = [f"ok = {call}" for call in self.calls]
        if any(self.document.values()):
            lines.append(f"ok = rabbit_definitions:import_raw(base64:decode({term(encoded(self.document))}))")
        return ",\n".join([*lines, ANSWER % "done"])


def encoded(document: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def term(text: str) -> str:
    """A binary of Erlang that holds any text."""
    return "<<" + ",".join(str(byte) for byte in text.encode()) + ">>"


class Node:
    """The RabbitMQ node of this host, asked as its own user, who alone can read the cookie."""

    def __init__(self, module: HostModule) -> None:
        self.module = module
        self.words = ["runuser", "-u", "rabbitmq", "--", "env", "HOME=/var/lib/rabbitmq"]
        self.words += ["erl_call", "-fetch_stdout", "-timeout", "60", "-address", NODE, "-e"]

    def ask(self, expressions: str) -> Any:
        """The value that the expressions print, or an explanation for the operator."""
        code, out, err = self.module.run_command(
            self.words, data=f"{expressions}.\n", binary_data=False, cwd="/"
        )
        line = next((line for line in out.splitlines() if line.startswith(MARK)), "")
        if code or not line:
            self.module.fail_json(msg=f"RabbitMQ rejected the request: {(err or out).strip()[:2000]}")
        return json.loads(base64.b64decode(line[len(MARK) :]))


def main() -> None:
    user = {
        "name": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
    }
    vhost = {
        "name": {"type": "str", "required": True},
        "users": {"type": "list", "elements": "dict", "options": user, "default": []},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }
    module = HostModule(
        argument_spec={"vhosts": {"type": "list", "elements": "dict", "options": vhost, "required": True}},
        supports_check_mode=True,
    )
    wanted = module.params["vhosts"]
    problems = objections(wanted)
    if problems:
        module.fail_json(msg="; ".join(problems))
    node = Node(module)
    state: State = {"users": [], "vhosts": [], "permissions": []}
    if shutil.which("erl_call") or not module.check_mode:
        state = node.ask(STATE)
    plan = Plan(wanted, state)
    if plan.changes and not module.check_mode:
        node.ask(plan.expressions())
    module.exit_json(changed=bool(plan.changes), changes=plan.changes)


if __name__ == "__main__":
    main()
