# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A release: its source, its build, its database, its switch."""
