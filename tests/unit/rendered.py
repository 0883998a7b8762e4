"""Prints what site.yml gives to each role on each kind of host, and every file that the roles write.

    python -m tests.unit.rendered INVENTORY

A process of its own (tests/unit/test_ansible_cores.py): Python chooses the order of its sets when it starts.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from ansible import context
from ansible.inventory.host import Host
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook import Playbook
from ansible.playbook.block import Block
from ansible.playbook.helpers import load_list_of_blocks
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.playbook.task_include import TaskInclude
from ansible.plugins import loader as plugins
from ansible.template import Templar
from ansible.utils.context_objects import CLIArgs
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

ROOT = Path(__file__).parents[2]
PLAYBOOK = ROOT / ".collections/ansible_collections/homeport/django/playbooks/site.yml"
SERVICE_CONFIG = "homeport.django.service_config"
# What a file is loaded with so that its texts are templates; before ansible-core 2.19 all are.
TRUSTED = {
    name: True
    for name in inspect.signature(DataLoader.load_from_file).parameters
    if name == "trusted_as_template"
}

# What host_facts finds on a host.
FACTS: dict[str, Any] = {
    "distribution": "debian", "version": "13", "systemd": True, "container": False, "ipv6": True,
    "cores": 2, "memory_mb": 8000, "free_mb": 9000, "swap": {"own_mb": 0, "other_mb": 0, "filesystem": "ext4"},
    "nginx": "1.26.3", "nginx_brotli": True, "postgres": "17", "postgres_cluster": "main", "redis": "8.0.2",
    "valkey": "8.1.1", "time_daemon": "", "login": "admin", "ssh_ports": [22], "pending_changes": [], "setup": "site",
    "sets": [], "certificates": {}, "parts": {}, "packages": [], "domains": {}, "served": {},
    "others": {
        "accounts": {}, "folders": [], "commands": [], "listeners": {}, "local": [], "units": {}, "nginx": [],
        "hidden": {}, "sites": [], "programs": {}, "services": [], "postgres": {},
    },
    "logins": {}, "backup": {}, "archive": {}, "tls": "", "postgres_move": "", "databases": {},
    "collection": {"version": "0.1.0", "newer": ""},
    "site": {"own": {}, "recorded": {}, "lacks": False, "overwrites": False, "differs": False},
}  # fmt: skip


class Site:
    def __init__(self, inventory: str) -> None:
        context.CLIARGS = CLIArgs({"forks": 5, "check": False, "diff": False})
        self.loader = DataLoader()
        self.inventory = InventoryManager(loader=self.loader, sources=[inventory])
        self.variables = VariableManager(loader=self.loader, inventory=self.inventory)
        HostVars(self.inventory, self.variables, self.loader)  # which the variables know from now on
        for host in self.inventory.get_hosts():
            self.variables.set_host_facts(host.name, {"homeport": FACTS})

    def found(self) -> Iterator[tuple[str, Any]]:
        """Where something stands, and what it is."""
        plays = Playbook.load(str(PLAYBOOK), variable_manager=self.variables, loader=self.loader).get_plays()
        for play in plays:
            # as ansible-playbook does, for what a play finds beside its own file
            self.loader.set_basedir(play._included_path)
            pattern = Templar(self.loader, variables=self.variables.get_vars(play=play)).template(play.hosts)
            # one of each kind
            kinds = {str(host.get_groups()): host for host in self.inventory.get_hosts(pattern)}
            for host in kinds.values():
                templar = Templar(self.loader, variables=self.variables.get_vars(play=play, host=host))
                for role in play.get_roles():
                    yield f"{host}: {role}", templar.template(role._role_params)
                for task in self.tasks(play, play.compile()):
                    if task.action == SERVICE_CONFIG:
                        yield f"{host}: {task}", self.arguments(play, host, task)

    def tasks(self, play: Play, items: list[Any]) -> Iterator[Task]:
        for item in items:
            if isinstance(item, Block):
                yield from self.tasks(play, item.block)
            elif isinstance(item, TaskInclude) and item.args.get("_raw_params"):
                beside = Path(item._role._role_path, "tasks") if item._role else play._included_path
                path = Path(beside, item.args["_raw_params"])
                blocks = load_list_of_blocks(
                    self.loader.load_from_file(str(path), **TRUSTED),
                    play=play,
                    parent_block=item.build_parent_block(),
                    role=item._role,
                    variable_manager=self.variables,
                    loader=self.loader,
                )
                yield from self.tasks(play, blocks)
            else:
                yield item

    def arguments(self, play: Play, host: Host, task: Task) -> Any:
        """What the action plugin hands to the module on the host."""
        task = task.copy()  # the next host has its own arguments
        variables = self.variables.get_vars(play=play, host=host, task=task)
        templar = Templar(self.loader, variables=variables)
        task.args = templar.template(task.args)
        action = plugins.action_loader.get(
            SERVICE_CONFIG,
            task=task,
            connection=mock.MagicMock(),
            play_context=PlayContext(),
            loader=self.loader,
            templar=templar,
            shared_loader_obj=plugins,
        )
        action._execute_module = mock.MagicMock(return_value={})
        action.run(task_vars=variables)
        return action._execute_module.call_args.kwargs["module_args"]


if __name__ == "__main__":
    plugins.init_plugin_loader([str(ROOT / ".collections")])
    print(json.dumps(dict(Site(sys.argv[1]).found()), indent=1))
