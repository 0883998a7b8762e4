# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""PostgreSQL's superuser, and roles without its rights for what has to be done in an app's database.

The owner of a database decides what a name means there. A session of the superuser that resolves one among the owner's
objects runs the owner's code. So this file alone speaks to PostgreSQL as the OS user postgres. Its sessions are in the
database ``postgres``, with search_path=pg_catalog. The exceptions are the fixed texts LOOKS, which only read
pg_catalog, and EXTEND. All else in an app's database is done by ``login``, a role with a login of its own. SET ROLE in
a session of the superuser would not do, as the code that runs there can RESET ROLE.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import pwd
import secrets
import subprocess
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import IO, Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import PATH, DeployError, tail

SECONDS = 30  # that a statement of the superuser may take, where nothing long is expected
LONG = 1800  # what copies, drops or builds something
CONNECT = 10  # seconds
LASTS = timedelta(hours=24)  # longer than whatever is done by a scratch role
GROUP = "homeport.scratch"  # whose members log in by password on the local socket (homeport_hba.conf)
ITERATIONS = 4096

LOOKS = {
    "extensions": "SELECT coalesce(json_agg(extname), '[]') FROM pg_extension",
    "tables": r"""
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'""",
    "versions": "SELECT coalesce(json_object_agg(extname, extversion), '{}') FROM pg_extension",
    "unlogged": r"""
SELECT coalesce(json_agg(format('%I.%I', n.nspname, c.relname)), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'u'""",
    "rows": r"""
SELECT coalesce(json_object_agg(format('%I.%I', n.nspname, c.relname), (xpath('/row/c/text()', query_to_xml(
  format('SELECT count(*) AS c FROM ONLY %I.%I', n.nspname, c.relname), false, true, '')))[1]::text::bigint), '{}')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND n.nspname <> 'information_schema'
AND n.nspname NOT LIKE 'pg\_%'""",
    "sequences": """
SELECT coalesce(json_object_agg(format('%I.%I', n.nspname, c.relname),
  json_build_array(pg_sequence_last_value(c.oid), s.seqincrement)), '{}')
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace""",
}
ROLES_AND_DATABASES = """
SELECT json_build_object(
  'roles', (SELECT coalesce(json_object_agg(rolname, json_build_object(
      'login', rolcanlogin, 'super', rolsuper, 'password', rolpassword, 'connections', rolconnlimit,
      'owns', EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
                      AND refobjid = pg_authid.oid AND deptype = 'o'),
      'acts_as', coalesce((SELECT pg_get_userbyid(roleid) FROM pg_auth_members JOIN pg_db_role_setting
          ON setrole = member AND setdatabase = 0 AND setconfig @> ARRAY['role=' || pg_get_userbyid(roleid)]
          WHERE member = pg_authid.oid LIMIT 1), ''))), '{}')
    FROM pg_authid),
  'databases', (SELECT coalesce(json_object_agg(datname, json_build_object(
      'owner', pg_get_userbyid(datdba),
      'new', datconnlimit = 0 AND (SELECT rolsuper FROM pg_roles WHERE pg_roles.oid = datdba),
      'public', (SELECT coalesce(string_agg(privilege_type, ','), '')
                 FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0))), '{}')
    FROM pg_database),
  'creatable', EXISTS (SELECT FROM pg_namespace, aclexplode(nspacl)
                       WHERE nspname = 'public' AND grantee = 0 AND privilege_type = 'CREATE'),
  'trusted', (SELECT coalesce(json_agg(DISTINCT v.name), '[]') FROM pg_available_extension_versions() AS v
              JOIN pg_available_extensions() AS e ON e.name = v.name AND e.default_version = v.version
              WHERE v.trusted))
"""
# Its script resolves names in public: nobody else's function, operator or type may be there, nor come meanwhile.
EXTEND = """
BEGIN;
SET LOCAL lock_timeout = '20s';
LOCK TABLE pg_proc, pg_operator, pg_type IN SHARE MODE;
DO $$ DECLARE found text; BEGIN
  SELECT string_agg(format('%s %I.%I', kind, nspname, name), ', ') INTO found FROM (
    SELECT kind, nspname, name FROM (
      SELECT 'function' AS kind, pronamespace AS space, proname AS name, proowner AS owner FROM pg_proc
      UNION ALL SELECT 'operator', oprnamespace, oprname, oprowner FROM pg_operator
      UNION ALL SELECT 'type', typnamespace, typname, typowner FROM pg_type WHERE typtype IN ('d', 'e', 'r', 'm')
    ) AS made LEFT JOIN pg_roles ON pg_roles.oid = owner LEFT JOIN pg_namespace ON pg_namespace.oid = space
    WHERE rolsuper IS NOT TRUE ORDER BY 1, 2, 3 LIMIT 5) AS first;
  IF found IS NOT NULL THEN
    RAISE 'the superuser creates no extension among what others made: %', found;
  END IF;
END $$;
SET LOCAL search_path = public;
CREATE EXTENSION IF NOT EXISTS {name} CASCADE;
COMMIT;
"""
LOGIN = """
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles given, pg_roles mighty WHERE given.rolname IN ({roles}) AND mighty.rolsuper
             AND pg_has_role(given.oid, mighty.oid, 'MEMBER')) THEN
    RAISE 'a scratch role gets no rights of a superuser';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{group}') THEN
    CREATE ROLE "{group}" NOLOGIN;
  END IF;
END $$;
CREATE ROLE "{name}" LOGIN BYPASSRLS CONNECTION LIMIT 8 PASSWORD '{verifier}' VALID UNTIL '{until}'
  IN ROLE "{group}", {names};
"""
# It may have been made to own something, or to have a right: then it stays for a while, but can do nothing.
DISARM = """
DO $$ DECLARE found record; BEGIN
  ALTER ROLE "{name}" NOLOGIN NOBYPASSRLS PASSWORD NULL;
  FOR found IN SELECT pg_get_userbyid(roleid) AS name FROM pg_auth_members WHERE pg_get_userbyid(member) = '{name}' LOOP
    EXECUTE format('REVOKE %I FROM "{name}"', found.name);
  END LOOP;
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}';
END $$;
"""
# Those of runs that were killed, and those that could not be dropped yet.
OVER = rf"""
SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles
WHERE rolname ~ '^{GROUP.replace(".", "[.]")}[.][0-9a-f]{{16}}$' AND (rolvaliduntil < now() OR NOT rolcanlogin)
"""


def quote_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def scram_verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL keeps of a password (SCRAM-SHA-256): the password itself never leaves this process."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    server_key = hmac.new(salted, b"Server Key", hashlib.sha256).digest()
    stored = base64.b64encode(hashlib.sha256(client_key).digest()).decode()
    server = base64.b64encode(server_key).decode()
    return f"SCRAM-SHA-256${iterations}:{base64.b64encode(salt).decode()}${stored}:{server}"


def closed_database(name: str) -> list[str]:
    """Statements that create a database which nobody but a superuser can enter, until ``handed_over``."""
    options = "CONNECTION LIMIT 0 ENCODING 'UTF8' TEMPLATE template0 LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
    return [f"CREATE DATABASE {quote_name(name)} {options}", revoked(name)]


def revoked(name: str) -> str:
    return f"REVOKE ALL ON DATABASE {quote_name(name)} FROM PUBLIC"


def handed_over(name: str, owner: str) -> str:
    alter = f"ALTER DATABASE {quote_name(name)}"
    return f"BEGIN; {alter} OWNER TO {quote_name(owner)}; {alter} CONNECTION LIMIT -1; COMMIT"


class Cluster:
    """A PostgreSQL cluster of this host: the usual one, or the one with its socket in ``folder``."""

    def __init__(self, folder: str = "", port: int = 0, programs: str = "") -> None:
        self.environment = {
            "PATH": f"{programs}:{PATH}" if programs else PATH,
            "LANG": "C.UTF-8",
            "PGCONNECT_TIMEOUT": str(CONNECT),
            **({"PGHOST": folder, "PGPORT": str(port)} if folder else {}),
        }

    def ask(self, statements: str, seconds: int = SECONDS) -> str:
        """What the superuser is answered in the database ``postgres``."""
        return self._superuser(statements, "postgres", seconds)

    def state(self) -> dict[str, Any]:
        """Roles and databases, and who may do what."""
        return dict(json.loads(self.ask(ROLES_AND_DATABASES)))

    def look(self, database: str, what: str) -> Any:
        """What the catalogs of any database say: one of LOOKS."""
        seconds = LONG if what == "rows" else SECONDS
        return json.loads(self._superuser(f"BEGIN READ ONLY; {LOOKS[what]}; COMMIT;", database, seconds))

    def extend(self, database: str, extension: str) -> None:
        """Creates an extension as the superuser, unless anything in the database could get in its way."""
        self._superuser(EXTEND.format(name=quote_name(extension)), database, LONG)

    def extend_as(self, owner: str, database: str, extension: str) -> None:
        """Creates a trusted extension as the owner of a database, who could do so itself."""
        statements = (
            f"SET ROLE {quote_name(owner)}; CREATE EXTENSION IF NOT EXISTS {quote_name(extension)};\n"
        )
        with self.login(database, [owner]) as login:
            login.run(["psql", *QUIET], "Creating the extension", statements, path="public")

    def reassign(self, login: str, owner: str, database: str) -> None:
        """Gives what one of an owner's logins has in a database to the owner."""
        statements = f"REASSIGN OWNED BY {quote_name(login)} TO {quote_name(owner)};\n"
        with self.login(database, [login, owner]) as scratch:
            scratch.run(["psql", *QUIET], "Reassigning the extension to its owner", statements)

    def _superuser(self, statements: str, database: str, seconds: int) -> str:
        # by standard input: what is on a command line can be read by every user of the host
        environment = {
            **self.environment,
            "PGOPTIONS": options("pg_catalog", seconds),
            "PGCLIENTENCODING": "UTF8",
            "PGDATABASE": database,
        }
        return called(
            ["psql", *QUIET], "PostgreSQL", "postgres", environment, statements, seconds=4 * seconds + CONNECT
        )

    @contextlib.contextmanager
    def login(self, database: str, roles: Iterable[str]) -> Iterator[Login]:
        """A role for as long as it is needed, with the rights of ``roles`` and the sight of all their rows."""
        self.clear()
        name, password = f"{GROUP}.{secrets.token_hex(8)}", secrets.token_urlsafe(24)
        given = {
            "roles": ", ".join(quote_text(role) for role in roles),
            "names": ", ".join(quote_name(role) for role in roles),
            "verifier": scram_verifier(password, os.urandom(16)),
            "until": (datetime.now(timezone.utc) + LASTS).strftime("%Y-%m-%d %H:%M:%S+00"),
        }
        self.ask(LOGIN.format(group=GROUP, name=name, **given))
        try:
            yield Login({**self.environment, "PGUSER": name, "PGPASSWORD": password, "PGDATABASE": database})
        finally:
            self.forget(name)

    def forget(self, name: str) -> None:
        self.ask(DISARM.format(name=name))
        with contextlib.suppress(DeployError):
            self.ask(f"DROP ROLE {quote_name(name)}")

    def clear(self) -> None:
        """Removes the scratch roles that are used no more."""
        for name in json.loads(self.ask(OVER)):
            self.forget(name)


class Login:
    """Programs that log in as a scratch role. They run as nobody: what a server sends them is the app's."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def run(
        self,
        words: list[str],
        what: str,
        stdin: str | IO[bytes] = "",
        stdout: IO[bytes] | None = None,
        seconds: int = 3600,
        path: str = "pg_catalog, public",
    ) -> str:
        environment = {**self.environment, "PGOPTIONS": options(path, seconds)}
        return called(words, what, "nobody", environment, stdin, stdout, seconds)


QUIET = ("--no-psqlrc", "-qAtX", "-v", "ON_ERROR_STOP=1", "--no-password")


def options(path: str, seconds: int) -> str:
    """What the client sets wins over what the owner of the database has set for it."""
    given = {
        "search_path": path.replace(" ", ""),
        "standard_conforming_strings": "on",
        "statement_timeout": f"{seconds}s",
    }
    return " ".join(f"-c {name}={value}" for name, value in given.items())


def called(
    words: list[str],
    what: str,
    user: str,
    environment: dict[str, str],
    stdin: str | IO[bytes] = "",
    stdout: IO[bytes] | None = None,
    seconds: int = 3600,
) -> str:
    given: dict[str, Any] = {"input": stdin.encode()} if isinstance(stdin, str) else {"stdin": stdin}
    try:
        account = pwd.getpwnam(user)
        done = subprocess.run(
            words,
            **given,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
            cwd="/",
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            env=environment,
            timeout=seconds,
        )
    except (OSError, KeyError) as error:
        raise DeployError(f"{what}: {words[0]} could not be started: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise DeployError(f"{what} did not end within {seconds} s") from error
    if done.returncode:
        output = tail(done.stderr.decode(errors="replace"))
        if "authentication failed" in output or "no pg_hba.conf entry" in output:
            output += (
                "\nhomeport_hba.conf of the role postgres allows this login: run the setup playbook first"
            )
        raise DeployError(f"{what} failed:\n{output}")
    return (done.stdout or b"").decode(errors="replace")
