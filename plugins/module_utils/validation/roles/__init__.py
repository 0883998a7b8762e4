# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of each role."""
