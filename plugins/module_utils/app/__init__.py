# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What an app is: its fields, their checks, its resolved form, its environment."""
