# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which fields createsuperuser asks for, and what the project's validators say of the password in the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import django
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

PREFIX = "DJANGO_SUPERUSER_"


def main(question: dict[str, Any]) -> None:
    django.setup()
    model = get_user_model()
    fields = [model.USERNAME_FIELD, *model.REQUIRED_FIELDS]
    given = {
        name: os.environ.get(f"{PREFIX}{name.upper()}", "")
        for name in fields
        if not model._meta.get_field(name).is_relation
    }
    password = os.environ.get(f"{PREFIX}PASSWORD")
    problems = [] if password is None else objections(password, model, given)
    print(question["mark"] + json.dumps({"fields": fields, "problems": problems}))


def objections(password: str, model: Any, given: Mapping[str, str]) -> list[str]:
    """What createsuperuser says only at a terminal of its own."""
    try:
        validate_password(password, model(**given))
    except ValidationError as error:
        return [str(message) for message in error.messages]
    return []
