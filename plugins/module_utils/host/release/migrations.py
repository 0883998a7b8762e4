# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The programs that a release's own Python runs to look at its database, migrate, save and restore it."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.release.probe import EXPLAIN

# The forms of the answers that these programs give (claims.answer).
ASKED = {
    "vendor": str,
    "fresh": bool,
    "pending": [str],
    "unsafe": {str: [str]},
    "notes": {str: [str]},
    "applied": [str],
    "?bytes": int,
    "?error": str,
    "?sqlstate": str,
    "?output": str,
    "?loose": str,
    "?left": [str],
    "?later": [str],
    "?cleared": [str],
}
COUNTED = {
    "vendor": str,
    "rows": {str: int},
    "migrations": [str],
    "extensions": [str],
    "?bytes": int,
    "?sha256": str,
}
LOOKED = {**COUNTED, "?check": str}

# What an operation does to code that is still running and does not know of it. The linter judges SQL, which for
# SQLite says little: Django makes the whole table anew there.
JUDGE = r'''
def judge(migration, state):
    found = []
    for operation in flat(migration.operations):
        kind = type(operation).__name__
        model = getattr(operation, "model_name", getattr(operation, "name", ""))
        if kind == "RemoveField":
            found.append("drops %s.%s" % (model, operation.name))
        elif kind in ("DeleteModel", "RenameModel", "AlterModelTable"):
            what = "drops" if kind == "DeleteModel" else "renames"
            found.append("%s %s" % (what, getattr(operation, "old_name", model)))
        elif kind == "RenameField":
            found.append("renames %s.%s" % (model, operation.old_name))
        elif kind == "AddField" and bare(operation.field):
            found.append("adds %s.%s, which rows of the running code would lack" % (model, operation.name))
        elif kind == "AlterField":
            before = state.models[migration.app_label, operation.model_name_lower].fields[operation.name]
            found += ["%s %s.%s" % (what, model, operation.name) for what in narrowed(before, operation.field)]
        elif kind in ("AddConstraint", "AlterUniqueTogether"):
            found.append("constrains %s" % model)
        elif kind == "RunSQL":
            found.append("runs SQL of its own")
        operation.state_forwards(migration.app_label, state)
    return found

def flat(operations):
    for operation in operations:
        inner = getattr(operation, "database_operations", None)
        if inner is None:
            yield operation
        else:
            yield from flat(inner)

def bare(field):
    """Whether rows that name no value for the new column are refused."""
    has_column = field.is_relation and not field.many_to_many or not field.is_relation
    default = getattr(field, "db_default", NOT_PROVIDED)
    return has_column and not field.null and default is NOT_PROVIDED and not getattr(field, "generated", False)

def narrowed(before, after):
    if before.null and not after.null:
        yield "forbids NULL in"
    if after.unique and not before.unique:
        yield "makes unique"
    if before.is_relation or after.is_relation:
        return
    kinds = before.db_type(connection) or "", after.db_type(connection) or ""
    lengths = [int(found[1]) if (found := re.fullmatch(r"varchar\((\d+)\)", kind)) else None for kind in kinds]
    if kinds[0] == kinds[1] or (kinds[0].startswith("varchar") and kinds[1] in ("text", "varchar")):
        return
    if lengths[0] and lengths[1]:
        if lengths[1] < lengths[0]:
            yield "shortens"
    else:
        yield "changes the type of"
'''

# What a migration that is no transaction has done when it fails. Indexes that it has made, whole or not, are removed
# again, so that it can be tried once more; the rest is told.
LOOSE = r'''
INVALID = """
SELECT n.nspname, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_'
"""
EXISTING = "SELECT relname FROM pg_class WHERE relkind = 'i'"
CONCURRENTLY = r"\s*CREATE (UNIQUE )?INDEX CONCURRENTLY (IF NOT EXISTS )?\"?(\w+)\"? ON\b[^;]*;?\s*"
steps, foreign, existing = [], set(), set()

def index_of(operation):
    """The name of the index that an operation makes without a transaction, and nothing else."""
    if type(operation).__name__ == "AddIndexConcurrently":
        return operation.index.name
    statement = getattr(operation, "sql", None)
    statement = " ".join(statement.split()) if isinstance(statement, str) else ""
    found = re.fullmatch(CONCURRENTLY, statement, re.IGNORECASE)
    return found[3] if found else ""

def invalid():
    if connection.vendor != "postgresql":
        return set()
    with connection.cursor() as cursor:
        cursor.execute(INVALID)
        return set(cursor.fetchall())

def drop(name, schema=""):
    quote = connection.ops.quote_name
    path = quote(schema) + "." + quote(name) if schema else quote(name)
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX CONCURRENTLY IF EXISTS " + path)
    answer["cleared"].append(name)

def dropped(name, schema=""):
    try:
        drop(name, schema)
    except Exception:
        connection.close()
        return False
    return True

def noted(operation):
    forwards = operation.database_forwards
    def database_forwards(*words, **options):
        steps.append([operation, False])
        forwards(*words, **options)
        steps[-1][1] = True
    operation.database_forwards = database_forwards

def prepare():
    """Removes invalid indexes that a try before has left, which has died or could not remove them."""
    loose = [migration for migration in plan if not migration.atomic]
    names = {index_of(operation) for migration in loose for operation in flat(migration.operations)}
    left = invalid() if loose else set()
    foreign.update(index for index in left if index[1] not in names)
    for schema, name in sorted(left - foreign):
        drop(name, schema)
    if loose and connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(EXISTING)
            existing.update(row[0] for row in cursor.fetchall())
    for operation in [operation for migration in loose for operation in flat(migration.operations)]:
        noted(operation)

def undo():
    failed = next((migration for migration in plan if name_of(migration) not in answer["applied"]), None)
    if failed is None or failed.atomic:
        return
    answer["loose"] = name_of(failed)
    names = {index_of(operation) for operation in flat(failed.operations)}
    answer["left"], answer["later"] = [], []
    for schema, name in sorted(invalid() - foreign):
        if not dropped(name, schema):  # prepare() will, where it knows the name
            answer["later" if name in names else "left"].append("the invalid index " + name)
    own = list(flat(failed.operations))
    mine = [step for step in steps if any(step[0] is operation for operation in own)]
    kept = []
    for operation, whole in reversed(mine):
        name = index_of(operation)
        if whole and name in existing:  # IF NOT EXISTS has left it as it was
            continue
        if whole and name and connection.vendor == "postgresql" and not kept:
            if not dropped(name):
                kept.append(operation.describe())
        elif whole:
            kept.append(operation.describe())
        elif not name and type(operation).__name__ != "RemoveIndexConcurrently" and not operation.atomic:
            kept.append("perhaps a part of: " + operation.describe())
    answer["left"] += reversed(kept)
'''

ASK = (
    r"""
import io, json, os, re, sys
sys.path.insert(0, os.getcwd())
wanted = json.loads(sys.argv[1])
release = wanted["release"]
"""
    + EXPLAIN
    + r"""
import django
django.setup()
from django.db import connection
from django.db.backends.signals import connection_created
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import NOT_PROVIDED

def limit(sender, connection, **_):
    # A statement that waits for a lock makes every request behind it wait too.
    limits = {
        "postgresql": ["SET lock_timeout = '%ds'" % wanted["lock_timeout"],
                       "SET statement_timeout = '%ds'" % wanted["statement_timeout"]],
        "mysql": ["SET SESSION lock_wait_timeout = %d" % wanted["lock_timeout"]],
    }
    with connection.cursor() as cursor:
        for statement in limits.get(connection.vendor, []):
            cursor.execute(statement)
connection_created.connect(limit, weak=False)

def size():
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_database_size(current_database())")
            return cursor.fetchone()[0]
    name = str(connection.settings_dict["NAME"])
    return os.path.getsize(name) if os.path.isfile(name) else 0

def name_of(migration):
    return "%s.%s" % (migration.app_label, migration.name)

def applied():
    # what of the plan is done; of a migration that replaces others, these are recorded first
    done = MigrationRecorder(connection).applied_migrations()
    return [
        name_of(migration) for migration in plan
        if (migration.app_label, migration.name) in done
        or (migration.replaces and all(tuple(key) in done for key in migration.replaces))
    ]

executor = MigrationExecutor(connection)
executor.loader.check_consistent_history(connection)
plan = [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
known = {app for app, _ in executor.loader.applied_migrations}
answer = {
    "vendor": connection.vendor,
    "fresh": not known,
    "pending": [name_of(migration) for migration in plan],
    "unsafe": {},
    "notes": {},
    "applied": [],
}

"""
    + JUDGE
    + LOOSE
    + r"""
def blocks(statements):
    # one for each operation: what is said of one column must not be taken for another's
    block = []
    for line in statements:
        if line.startswith("--"):
            if block:
                yield block
            block = []
        else:
            block.append(line)
    yield block

def lint(statements, made):
    from django_migration_linter.sql_analyser import analyse_sql_statements, get_sql_analyser_class
    analyser = get_sql_analyser_class(connection.vendor)
    errors, notes = [], []
    for block in blocks(statements):
        block = [line for line in block if not made.intersection(re.findall(r'["`](.*?)["`]', line))]
        found, _, warned = analyse_sql_statements(analyser, block)
        for issues, kept in ((found, errors), (warned, notes)):
            for issue in issues:
                text = "\n".join(block)
                names = re.findall(r'(?:TABLE|ON) ["`](.*?)["`]', text)[:1]
                names += re.findall(r'COLUMN ["`](.*?)["`]', text)[:1]
                kept.append((issue.code, "%s (%s)" % (issue.message.partition(" (")[0], ".".join(names))))
    return errors, notes

if wanted["judge"] and not answer["fresh"]:
    made = set()
    if wanted["linter"]:
        sys.path.insert(0, wanted["linter"])
    for migration in plan:
        name = "%s.%s" % (migration.app_label, migration.name)
        state = executor.loader.project_state((migration.app_label, migration.name), at_end=False)
        if migration.app_label not in known:
            continue  # all of its tables are new: nothing that runs knows of them
        own = judge(migration, state)
        unsafe, notes = own, []
        if connection.vendor in ("postgresql", "mysql"):
            statements = executor.loader.collect_sql([(migration, False)])
            statements = [line for statement in statements for line in statement.splitlines()]
            made.update(re.findall(r'CREATE TABLE ["`](.*?)["`]', "\n".join(statements)))
            errors, warned = lint(statements, made)
            # the linter takes a longer varchar for a danger
            wider = not any(text.startswith(("changes the type", "shortens", "runs SQL")) for text in own)
            unsafe = [text for code, text in errors if not (code == "ALTER_COLUMN" and wider)]
            notes = [text for _, text in warned]
        if unsafe:
            answer["unsafe"][name] = list(dict.fromkeys(unsafe))
        if any(type(operation).__name__ == "RunPython" for operation in flat(migration.operations)):
            notes.append("changes data by Python code")
        if notes:
            answer["notes"][name] = list(dict.fromkeys(notes))

if answer["pending"] and not answer["fresh"]:
    answer["bytes"] = size()
if wanted["go"] or (wanted["go_if_nothing"] and not answer["pending"]):
    from django.core.management import call_command
    answer["cleared"] = []
    out = io.StringIO()
    try:
        prepare()
        call_command("migrate", interactive=False, verbosity=1, stdout=out, stderr=out, no_color=True)
    except BaseException as error:
        import traceback
        answer["error"] = "".join(traceback.format_exception_only(type(error), error)).strip()[:4000]
        answer["sqlstate"] = next(
            (str(code) for each in (error, error.__cause__) for name in ("sqlstate", "pgcode")
             for code in [getattr(each, name, None)] if code), ""
        )
        if "database is locked" in str(error):
            answer["sqlstate"] = "55P03"
        connection.close()
    answer["applied"] = applied()
    if "error" in answer:
        undo()
    answer["output"] = out.getvalue()[-4000:]
print(wanted["mark"] + json.dumps(answer))
"""
)

# What a database holds, counted: the rows of every table, and the migrations that it has seen.
COUNT = r'''
TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""

def counted(vendor, ask):
    """``ask`` runs a query and returns its rows."""
    def quoted(name):
        return '"' + name.replace('"', '""') + '"'
    if vendor == "postgresql":
        names = [(schema, name) for schema, name in ask(TABLES)]
    else:
        found = ask("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
        names = [("", name) for name, in found if not name.startswith("sqlite_")]
    rows = {}
    for schema, name in names:
        path = quoted(schema) + "." + quoted(name) if schema else quoted(name)
        label = name if schema in ("", "public") else schema + "." + name
        rows[label] = ask("SELECT count(*) FROM " + path)[0][0]
    answer = {"vendor": vendor, "rows": rows, "migrations": [], "extensions": []}
    if "django_migrations" in rows:
        answer["migrations"] = ["%s.%s" % pair for pair in ask("SELECT app, name FROM django_migrations ORDER BY 1, 2")]
    if vendor == "postgresql":
        wanted = "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
        answer["extensions"] = [name for name, in ask(wanted)]
        answer["bytes"] = ask("SELECT pg_database_size(current_database())")[0][0]
    return answer

def by_cursor(cursor):
    def ask(query):
        cursor.execute(query)
        return cursor.fetchall()
    return ask
'''

# Writes the database to standard output: pg_dump's custom format, or an SQLite file. Asked to count, it says on
# standard error what exactly this dump holds, whoever writes meanwhile.
DUMP = (
    r"""
import hashlib, json, os, shutil, subprocess, sys, tempfile
sys.path.insert(0, os.getcwd())
release, wanted = sys.argv[1], json.loads((sys.argv[2:] or ["{}"])[0])
"""
    + EXPLAIN
    + COUNT
    + r"""
import django
django.setup()
from django.db import connection

def tell(answer):
    sys.stderr.write(wanted["count"] + json.dumps(answer) + "\n")

if connection.vendor == "postgresql":
    words, environment = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    environment = {**os.environ, **(environment or {})}
    command = ["pg_dump", "--format=custom", "--compress=%d" % wanted.get("compress", 1), "--no-password"]
    if "count" not in wanted:
        os.execvpe(command[0], [*command, *words[1:]], environment)
    from django.db import transaction
    with transaction.atomic(), connection.cursor() as cursor:
        # what is counted is what is dumped: both see the same snapshot
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for limit in ("idle_in_transaction_session_timeout", "statement_timeout"):
            cursor.execute("SET LOCAL %s = 0" % limit)
        ask = by_cursor(cursor)
        snapshot = ask("SELECT pg_export_snapshot()")[0][0]
        dumping = subprocess.Popen([*command, "--snapshot", snapshot, *words[1:]], env=environment)
        answer = counted("postgresql", ask)
        if dumping.wait():
            sys.exit(dumping.returncode)
    tell(answer)
    sys.exit()
if connection.vendor != "sqlite":
    sys.exit("a database of %s cannot be dumped here" % connection.vendor)
import sqlite3
with tempfile.TemporaryDirectory() as folder:
    copy = os.path.join(folder, "copy")
    connection.ensure_connection()
    target = sqlite3.connect(copy)
    with target:
        connection.connection.backup(target)
    if "count" in wanted:
        # here, and not where it arrives: what an app has in its database is not for root to open
        damage = target.execute("PRAGMA integrity_check").fetchone()[0]
        if damage != "ok":
            sys.exit("the copy of the SQLite database is damaged: " + damage)
        answer = counted("sqlite", lambda query: target.execute(query).fetchall())
        target.close()
        digest = hashlib.sha256()
        with open(copy, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
        tell({**answer, "bytes": os.path.getsize(copy), "sha256": digest.hexdigest()})
    target.close()
    with open(copy, "rb") as stream:
        shutil.copyfileobj(stream, sys.stdout.buffer, 1 << 20)
"""
)

# Counts what a database holds, that of the settings or another one on the same server, and looks whether the release
# would have anything to migrate.
LOOK = (
    r"""
import io, json, os, sys
sys.path.insert(0, os.getcwd())
release, wanted = sys.argv[1], json.loads(sys.argv[2])
"""
    + EXPLAIN
    + COUNT
    + r"""
import django
django.setup()
from django.db import connection
if wanted["engine"] == "sqlite":
    # a file that is not the app's database any more
    import sqlite3
    file = sqlite3.connect(wanted["database"])
    print(wanted["mark"] + json.dumps(counted("sqlite", lambda query: file.execute(query).fetchall())))
    sys.exit()
if wanted["database"]:
    connection.settings_dict["NAME"] = wanted["database"]
with connection.cursor() as cursor:
    answer = counted(connection.vendor, by_cursor(cursor))
from django.core.management import call_command
out = io.StringIO()
try:
    call_command("migrate", check_unapplied=True, plan=True, interactive=False, stdout=out, no_color=True)
    answer["check"] = ""
except SystemExit as error:
    answer["check"] = out.getvalue()[-4000:] if error.code else ""
print(wanted["mark"] + json.dumps(answer))
"""
)

# A program of PostgreSQL's newest client that is installed: it reads the dumps of all others, and knows all servers
# that are no newer. What Debian puts on the path chooses by the clusters of this host, which the dump may not be of.
NEWEST = r"""
def newest(program):
    import glob
    found = glob.glob("/usr/lib/postgresql/*/bin/" + program)
    return max(found, key=lambda path: float(path.split("/")[4])) if found else program
"""


def newest_program(name: str) -> str:
    """The same for what is no text."""
    space: dict[str, Any] = {}
    exec(NEWEST, space)
    return str(space["newest"](name))


# pg_restore begins with settings of its own version, and an older server refuses those that it does not know.
FOREIGN_SETTINGS = r'''
def leave_out(path, known):
    """Makes comments of the settings that a script begins with and the server does not know."""
    with open(path, "r+b") as stream:
        while True:
            at, line = stream.tell(), stream.readline()
            setting = re.match(rb"SET (\w+) = ", line)
            if setting and setting[1].decode() not in known:
                stream.seek(at)
                stream.write(b"--")
                stream.seek(at + len(line))
            elif not line or not setting and not re.match(rb"\s*$|--|\\|SELECT pg_catalog\.set_config", line):
                return
'''

# Puts what DUMP wrote, from standard input, in the place of what the database holds: all of it or nothing. A second
# argument, JSON, may name another ``database`` on the same server, and only ``empty`` it.
RESTORE = (
    r"""
import json, os, re, shutil, subprocess, sys, tempfile
sys.path.insert(0, os.getcwd())
release, wanted = sys.argv[1], json.loads((sys.argv[2:] or ["{}"])[0])
"""
    + EXPLAIN
    + NEWEST
    + FOREIGN_SETTINGS
    + r'''
import django
django.setup()
from django.db import connection
if wanted.get("database"):
    connection.settings_dict["NAME"] = wanted["database"]

EMPTY = """
SET lock_timeout = '60s';
DO $$ DECLARE found record; BEGIN
  FOR found IN
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                          WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind,
           format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relkind = 'S'  -- most sequences go with the table that they count for
  LOOP EXECUTE format('DROP %s IF EXISTS %s CASCADE', found.kind, found.name); END LOOP;
  FOR found IN
    SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END AS kind,
           format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  LOOP EXECUTE format('DROP %s IF EXISTS %s CASCADE', found.kind, found.name); END LOOP;
  FOR found IN
    SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END AS kind,
           format('%I.%I', n.nspname, t.typname) AS name
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd', 'r') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
  LOOP EXECUTE format('DROP %s IF EXISTS %s CASCADE', found.kind, found.name); END LOOP;
  FOR found IN
    SELECT 'SCHEMA' AS kind, format('%I', n.nspname) AS name FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'public')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
      AND pg_has_role(n.nspowner, 'USAGE')
  LOOP EXECUTE format('DROP %s IF EXISTS %s CASCADE', found.kind, found.name); END LOOP;
  PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
END $$;
"""

THEIRS = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND NOT has_table_privilege(c.oid, 'INSERT')
  AND EXISTS (SELECT FROM pg_depend d
              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""

if connection.vendor == "postgresql":
    words, environment = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    environment = {**os.environ, **(environment or {})}
    psql = [newest("psql"), "--no-psqlrc", "--quiet", "--no-password", "--single-transaction"]
    psql += ["--set", "ON_ERROR_STOP=1"]
    if wanted.get("empty"):
        sys.exit(subprocess.run([*psql, *words[1:]], env=environment, input=EMPTY, text=True).returncode)
    listed = subprocess.run([newest("pg_restore"), "--list"], stdin=0, capture_output=True, text=True)
    if listed.returncode:
        sys.exit("the dump cannot be read: " + listed.stderr)
    # extensions are the database server's: they stay, and only a superuser could make them anew, or fill their tables
    theirs = [" EXTENSION ", " SCHEMA - public ", " ACL "]
    with connection.cursor() as cursor:
        cursor.execute(THEIRS)
        theirs += [" TABLE DATA %s %s " % pair for pair in cursor.fetchall()]
    kept = [line for line in listed.stdout.splitlines() if not any(word in line for word in theirs)]
    os.lseek(0, 0, os.SEEK_SET)
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/list", "w") as stream:
            stream.write("\n".join(kept) + "\n")
        script = folder + "/script.sql"
        with open(script, "w") as stream:
            stream.write(EMPTY)
        options = ["--no-owner", "--no-privileges", "--use-list", folder + "/list", "--file", folder + "/data.sql"]
        if subprocess.run([newest("pg_restore"), *options], stdin=0).returncode:
            sys.exit("the dump cannot be read")
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM pg_settings")
            leave_out(folder + "/data.sql", {name for name, in cursor.fetchall()})
        connection.close()
        done = subprocess.run(
            [*psql, "--output", os.devnull, "--file", script, "--file", folder + "/data.sql", *words[1:]],
            env=environment,
        )
    sys.exit(done.returncode)
import sqlite3
with tempfile.TemporaryDirectory() as folder:
    copy = os.path.join(folder, "copy")
    with open(copy, "wb") as stream:
        shutil.copyfileobj(sys.stdin.buffer, stream, 1 << 20)
    source = sqlite3.connect(copy)
    answer = source.execute("PRAGMA integrity_check").fetchone()[0]
    if answer != "ok":
        sys.exit("the dump is damaged: " + answer)
    connection.ensure_connection()
    source.backup(connection.connection)
    source.close()
'''
)
