# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Upgrades of the system and of PostgreSQL."""
