import base64
import hashlib
import hmac

import pytest
from ansible_collections.homeport.django.plugins.module_utils.common.derive import derive

SECRET = "0123456789abcdef0123456789abcdef"

# Secrets in use depend on these: a change here changes the passwords of every site.
KNOWN = [
    ("blog", "secret_key", "tCDbKW5etPioyb7Wi9mWduZpz0tHqg5U85p8PK40eCM"),
    ("blog", "database_password", "EMKiEpzf89b5sbwkfEdGn6gde0XFX3SoJoMRa7gyCfE"),
    ("shop", "secret_key", "24-lpHhtMFbAUqXepWzw-6-cn2E9c9azaCmPnWjbYgU"),
]


@pytest.mark.parametrize(("app", "purpose", "expected"), KNOWN)
def test_known_values(app: str, purpose: str, expected: str) -> None:
    assert derive(SECRET, app, purpose) == expected


def test_as_documented() -> None:
    digest = hmac.digest(SECRET.encode(), b"homeport/v1/blog/secret_key", hashlib.sha256)
    assert derive(SECRET, "blog", "secret_key") == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_each_app_purpose_and_secret_has_its_own() -> None:
    found = {
        derive(secret, app, purpose)
        for secret in (SECRET, SECRET[::-1])
        for app in ("a", "b", "a-b")
        for purpose in ("secret_key", "database_password")
    }
    assert len(found) == 12


def test_fits_where_secrets_go() -> None:
    value = derive(SECRET, "blog", "secret_key")
    assert len(value) == 43
    assert not set(value) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_secret_of_any_text() -> None:
    assert len(derive("Schlüssel mit Umlauten, lang genug und mehr", "blog", "secret_key")) == 43
