# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a host says of its safety."""
