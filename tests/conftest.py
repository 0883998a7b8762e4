"""Modules of the collection are imported as Ansible imports them, whatever the working directory is."""

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader([str(Path(__file__).parents[1] / ".collections")])
