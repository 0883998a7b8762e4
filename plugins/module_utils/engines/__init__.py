# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""One file for each database, cache and broker: all that Homeport knows of it."""
