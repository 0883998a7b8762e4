# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What there is of an app on a host, its last dump, its removal."""
