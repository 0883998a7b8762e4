# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Files of the controller that the apps name: sources, templates, pages, certificates."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.check import Parsed
from ansible_collections.homeport.django.plugins.module_utils.app.own_certificates import no_authority, unfit
from ansible_collections.homeport.django.plugins.module_utils.common.digests import file_digest
from ansible_collections.homeport.django.plugins.module_utils.common.names import SERVICES
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Values
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import unwritable
from jinja2 import Environment, TemplateSyntaxError

# With what Ansible's settings may add to the language.
SYNTAX = Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])


def local_files(parsed: Parsed, base: str) -> list[str]:
    """What of it cannot be read. Relative paths start from the folder ``base``."""
    problems = []
    for name, app in parsed.apps.items():
        path = f"django_apps.{name}"
        problems += _source(f"{path}.source", app.get("source", {}), base)
        for target, file in app["files"].items():
            template = file.get("template")
            if isinstance(template, str):
                problems += _template(f"{path}.files.{target}", template, base)
        problems += _page(f"{path}.maintenance.page", app["maintenance"].get("page"), base)
        problems += _authority(f"{path}.database.ca", app["database"].get("ca"), base)
        for service in SERVICES:
            problems += _authority(f"{path}.{service}.ca", app[service].get("ca"), base)
        for alias, database in app["databases"].items():
            problems += _authority(f"{path}.databases.{alias}.ca", database.get("ca"), base)
        problems += _certificate(name, app, parsed.secrets.get(name, {}).get("tls_key"), base)
    return problems


def _template(path: str, template: str, base: str) -> list[str]:
    """A template that cannot be read, or is none."""
    file = absolute(base, template)
    if not os.path.isfile(file):
        return [f"{path}: there is no template {shown(template)} (relative to {base})"]
    try:
        with open(file, encoding="utf-8") as stream:
            SYNTAX.parse(stream.read())
    except OSError as error:
        return [f"{path}: {shown(template)} cannot be read: {error.strerror}"]
    except UnicodeDecodeError:
        return [f"{path}: {shown(template)} is not text in UTF-8"]
    except TemplateSyntaxError as error:
        return [f"{path}: {shown(template)}, line {error.lineno}: {error.message}"]
    return []


def _source(path: str, source: Values, base: str) -> list[str]:
    folder, archive = source.get("path"), source.get("archive")
    problems = []
    if isinstance(folder, str) and not os.path.isdir(absolute(base, folder)):
        problems.append(f"{path}.path: there is no folder {shown(folder)} (relative to {base})")
    remote = isinstance(archive, str) and archive.startswith(("http://", "https://"))
    if isinstance(archive, str) and not remote:
        problems += _archive(path, archive, source.get("checksum"), base)
    return problems


def _archive(path: str, archive: str, checksum: Any, base: str) -> list[str]:
    file = absolute(base, archive)
    if not os.path.isfile(file):
        return [f"{path}.archive: there is no file {shown(archive)} (relative to {base})"]
    try:
        found = file_digest(file)
    except OSError as error:
        return [f"{path}.archive: {shown(archive)} cannot be read: {error.strerror}"]
    if isinstance(checksum, str) and checksum != found:
        return [f"{path}.checksum: the file {shown(archive)} does not have it; it has {found}"]
    return []


def _page(path: str, page: Any, base: str) -> list[str]:
    """A maintenance page that cannot be read."""
    if not isinstance(page, str):
        return []
    try:
        with open(absolute(base, page), encoding="utf-8") as stream:
            if not stream.read().strip():
                return [f"{path}: the file {shown(page)} is empty"]
        return _template(path, page, base) if page.endswith(".j2") else []
    except (FileNotFoundError, NotADirectoryError):
        return [f"{path}: there is no file {shown(page)} (relative to {base})"]
    except OSError as error:
        return [f"{path}: {shown(page)} cannot be read: {error.strerror}"]
    except UnicodeDecodeError:
        return [f"{path}: {shown(page)} is not text in UTF-8"]
    except ValueError:  # no path; the schema has said so
        return []


def _certificate(name: str, app: Values, key: Any, base: str) -> list[str]:
    """An own certificate that cannot be read, does not fit, or has expired."""
    chain = app["tls"].get("chain")
    if not isinstance(chain, str):
        return []
    path = f"django_apps.{name}.tls.chain"
    text, problems = _content(path, chain, base)
    if text is None:
        return problems
    domains = [domain for domain in (*app.get("domains", []), *app["aliases"]) if isinstance(domain, str)]
    return unfit(path, f"vault_django_apps.{name}.tls_key", text, key, domains)


def _authority(path: str, given: Any, base: str) -> list[str]:
    """Certificates of an authority that cannot be read, or of which none is valid any more."""
    if not isinstance(given, str):
        return []
    text, problems = _content(path, given, base)
    return problems if text is None else no_authority(path, text)


def _content(path: str, given: str, base: str) -> tuple[bytes | None, list[str]]:
    try:
        with open(absolute(base, given), "rb") as stream:
            return stream.read(), []
    except OSError as error:
        reason = "there is no file" if isinstance(error, FileNotFoundError) else "cannot be read:"
        return None, [f"{path}: {reason} {shown(given)} (relative to {base})"]
    except ValueError:  # no path; the schema has said so
        return None, []


def absolute(base: str, path: str) -> str:
    # what cannot be a path leads nowhere, wherever it would be looked for
    return os.path.normpath(os.path.join(base, path if unwritable(path) else os.path.expanduser(path)))


def shown(path: str) -> str:
    """A path of the controller as it may stand in a message."""
    text = "".join(char if char.isprintable() else "?" for char in path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-100:]}"
