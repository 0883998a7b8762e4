# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A move of PostgreSQL from one host to another, by a streaming replica and a switch."""
