# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Backups, drills, restores and PostgreSQL's archive; also run by timers, without Ansible."""
