# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What ``django_apps`` and ``vault_django_apps`` may say, by topic: every field, its type, default and meaning."""
