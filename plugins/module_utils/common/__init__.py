# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Names, paths of both sides, secrets and pure functions: imported by every room, imports none."""
