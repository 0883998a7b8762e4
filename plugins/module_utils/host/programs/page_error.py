# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Asks the project for a page within one process, where the exception behind a status 500 can be seen."""

from __future__ import annotations

from typing import Any

import django
from django.test import Client


def main(question: dict[str, Any]) -> None:
    django.setup()
    scheme = question["scheme"]
    headers = {"HTTP_HOST": question["host"], "HTTP_X_FORWARDED_PROTO": scheme}
    Client().get(question["path"], secure=scheme == "https", **headers)
