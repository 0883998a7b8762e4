# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the role of an app may do in a PostgreSQL that somebody else runs, asked before anything is changed.

Nobody there is superuser for Homeport: what a deploy needs and the role may not do, the provider has to grant.
"""

from __future__ import annotations

import glob
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.postgres_session import Rejected, Session

# The oldest major version of PostgreSQL by the first version of Django that needs it, newest first.
NEEDED = (((6, 1), 15), ((5, 2), 14), ((5, 1), 13), ((4, 2), 12), ((4, 1), 11), ((4, 0), 10), ((0,), 9))
MIGRATIONS = "django_migrations"
FEW = 5  # names that a message has room for

ABOUT = """
SELECT current_setting('server_version_num'), current_setting('server_encoding'), pg_is_in_recovery(),
       current_setting('transaction_read_only'), coalesce(current_schema(), ''),
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
       has_database_privilege(current_database(), 'CREATE'), quote_ident(current_user),
       quote_ident(current_database()), quote_ident(coalesce(current_schema(), ''))
"""
# Tables that the role can neither alter in a migration nor replace in a restore.
FOREIGN = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = current_schema() AND NOT pg_has_role(c.relowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""
EXTENSIONS = "SELECT name, installed_version IS NOT NULL FROM pg_available_extensions"
PROCESS = "SELECT pg_backend_pid()"
Open = Callable[[], AbstractContextManager[Session]]


class Refusal(Exception):
    """Why a service is not to be used."""


def database_problems(session: Session, service: Mapping[str, Any], server: str) -> list[str]:
    """What keeps the app of ``service`` from a database at ``server`` that it can log in to. It may have C(home), the
    folder of the app, C(migrate) and C(dumped), whether a deploy migrates and dumps it, and C(extensions)."""
    about = session.ask(ABOUT)[0]
    version, encoding, replica, read_only, schema, creates = about[:6]
    number = int(version or 0) // 10000
    problems = version_problems(number, service, server)
    if encoding != "UTF8":
        problems.append(f"its encoding is {encoding}, and Django needs UTF8: create the database anew")
    if not service.get("migrate", True):
        return problems
    role, database, quoted = (str(name) for name in about[7:10])
    if replica == "t" or read_only == "on":
        what = "is a replica" if replica == "t" else "allows only reading (default_transaction_read_only)"
        problems.append(f"{server} {what}, and migrations write: name the primary server")
    if not schema:
        problems.append(
            f"the search_path of the role leads to no schema: have CREATE SCHEMA {role} AUTHORIZATION {role} run there"
        )
    elif creates != "t":
        problems.append(
            f"the role may not create tables in the schema {schema}, as since PostgreSQL 15 only the database's owner "
            f"may: have GRANT CREATE, USAGE ON SCHEMA {quoted} TO {role} run there, or ALTER DATABASE {database} "
            f"OWNER TO {role}"
        )
    foreign = [str(name) for (name,) in session.ask(FOREIGN)]
    if MIGRATIONS in foreign:  # others may be there on purpose, as those of a replication
        shown = ", ".join(foreign[:FEW]) + (f" and {len(foreign) - FEW} more" if len(foreign) > FEW else "")
        problems.append(
            f"tables there belong to another role, so that migrations cannot alter them: {shown}. Have ALTER TABLE ... "
            f"OWNER TO {role} run for each"
        )
    return problems + extension_problems(session, service.get("extensions", []), database)


def version_problems(number: int, service: Mapping[str, Any], server: str) -> list[str]:
    problems = []
    django = django_of(str(service.get("home", "")))
    # it is not known before the first deploy
    needed = next((least for first, least in NEEDED if django >= first), 0)
    if number < needed:
        version = ".".join(map(str, django))
        problems.append(
            f"{server} is PostgreSQL {number}, and the app's Django {version} needs {needed}: upgrade it"
        )
    client = newest_client() if service.get("dumped") else 0
    if client and number > client:
        problems.append(
            f"{server} is PostgreSQL {number}, and pg_dump of this host ({client}) dumps none that is newer: install "
            f"postgresql-client-{number} (system_packages), or set migrate.dump: false and have the provider back it up"
        )
    return problems


def django_of(home: str) -> tuple[int, ...]:
    """The version of Django of an app's live release; empty where there is none."""
    try:
        with open(f"{home}/current/release.json", encoding="utf-8") as stream:
            found = json.load(stream).get("django", "")
    except (OSError, ValueError, AttributeError):
        return ()
    return tuple(int(part) for part in re.findall(r"\d+", str(found))[:2])


def newest_client() -> int:
    """The major version of the newest client on this host, or of the one that would be installed; 0 where that is not
    known."""
    found = [int(path.split("/")[4]) for path in glob.glob("/usr/lib/postgresql/*/bin/pg_dump")]
    if found:
        return max(found)
    asked = ["apt-cache", "show", "--no-all-versions", "postgresql-client"]
    try:
        shown = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r"(?m)^Version: (\d+)", shown)
    return int(version[1]) if version else 0


def extension_problems(session: Session, declared: list[str], database: str) -> list[str]:
    """Extensions that are declared and missing. Most of them only a superuser may create."""
    if not declared:
        return []
    known = {str(name): there == "t" for name, there in session.ask(EXTENSIONS)}
    absent = [name for name in declared if name not in known]
    missing = [name for name in declared if known.get(name) is False]
    problems = []
    if absent:
        problems.append(
            f"extensions: the server does not have {', '.join(absent)}: ask the provider to install it, or choose "
            "another service"
        )
    if missing:
        statements = "; ".join(f'CREATE EXTENSION "{name}"' for name in missing)
        problems.append(f"extensions: have these created in the database {database}: {statements}")
    return problems


def pools_transactions(session: Session, again: Open) -> bool:
    """Whether a pooler gives its connections to the server to another client after each transaction.

    Behind a pooler another process answers than the one that the login named. One that pools sessions gives none to a
    second client while the first is there.
    """
    (first,) = session.ask(PROCESS)[0]
    if first == str(session.process):
        return False
    try:
        with again() as other:
            for _ in range(3):  # clients of the app are there, too
                (second,) = other.ask(PROCESS)[0]
                (first,) = session.ask(PROCESS)[0]
                if first == second:
                    return True
    except (Rejected, Refusal, OSError):  # no more than one client
        return False
    return False
