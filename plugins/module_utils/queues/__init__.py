# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""One file for each task queue: its commands, brokers, fields."""
