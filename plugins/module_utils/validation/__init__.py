# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The vocabulary by which everything that users may set is checked."""
