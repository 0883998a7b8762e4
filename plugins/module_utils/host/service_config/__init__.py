# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""All files of one service, and the service itself, as one transaction: the module service_config."""
