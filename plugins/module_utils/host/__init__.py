# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What runs on servers. It imports nothing but common."""
