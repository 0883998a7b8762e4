# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The variables of the roles on each host of a play, as far as they are known before the host is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.homeport.django.plugins.filter.apps import plain

UNKNOWN = object()


def known_variables(
    variables: Mapping[str, Any], prefixes: tuple[str, ...], templar: Any = None
) -> Iterator[tuple[dict[str, Any], Any]]:
    """For each host of the play those that begin with one of ``prefixes``, and all of its variables."""
    hosts: Any = variables.get("hostvars") or {}
    for host in variables.get("ansible_play_hosts_all") or []:
        known = {name: known_value(hosts[host], name) for name in hosts[host] if name.startswith(prefixes)}
        left = [
            name
            for name, value in known.items()
            if templar and (value is UNKNOWN or templar.is_template(value))
        ]
        if left:  # made from other hosts' variables: before ansible-core 2.19 they are still templates
            whole = {**hosts.raw_get(host), "hostvars": hosts}
            known.update({name: known_value(Templated(templar, whole), name) for name in left})
        yield {name: value for name, value in known.items() if value is not UNKNOWN}, hosts[host]


class Templated(dict[str, Any]):
    """The variables of one host, who knows all others."""

    def __init__(self, templar: Any, variables: Mapping[str, Any]) -> None:
        super().__init__(variables)
        self.templar = templar.copy_with_new_env(available_variables=dict(variables))

    def __getitem__(self, name: str) -> Any:
        return self.templar.template(super().__getitem__(name))


def known_value(variables: Mapping[str, Any], name: str) -> Any:
    """A variable of a host; UNKNOWN where it is made from what is known only later, such as facts."""
    try:
        return plain(variables[name])
    except AnsibleError:
        return UNKNOWN
