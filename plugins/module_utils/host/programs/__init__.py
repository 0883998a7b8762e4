# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Programs that the Python of an app's release runs: of any version from 3.9, and without Homeport.

They import nothing but the standard library, Django and each other. ``command.py`` hands them over.
"""
