# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The program that a release's own Python runs to copy an SQLite file into the release's PostgreSQL database."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.host.release.migrations import COUNT
from ansible_collections.homeport.django.plugins.module_utils.host.release.probe import EXPLAIN

# The form of its answer (claims.answer): the rows of each table; whether they were copied, or had been before; and by
# table, how many rows of PostgreSQL the file does not have. Where there are such rows nothing was done.
MOVED = {"rows": {str: int}, "copied": bool, "strangers": {str: int}}

# Copies every row of an SQLite file into the PostgreSQL database of the settings, which a migrate has made: in one
# transaction, table by table, with the keys that the rows had, and reads every row again. No model's save runs and no
# signal is sent. What migrate itself derives from the models (content types, permissions) gives way; other rows that
# the file does not have do so only if ``replace`` is wanted.
MOVE = (
    r"""
import itertools, json, os, sys, types
sys.path.insert(0, os.getcwd())
release, wanted = sys.argv[1], json.loads(sys.argv[2])
"""
    + EXPLAIN
    + COUNT
    + r"""
import django
django.setup()
from django.apps import apps
from django.db import Error, connection, connections, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.models.sql import InsertQuery

DERIVED = ("contenttypes.contenttype", "auth.permission", "sites.site")
BATCH = 250

if connection.vendor != "postgresql":
    sys.exit("the database of this release is %s, not PostgreSQL: set database.engine to postgres" % connection.vendor)
connections.settings["old"] = {
    **connection.settings_dict, "ENGINE": "django.db.backends.sqlite3", "NAME": wanted["file"], "OPTIONS": {},
    "CONN_MAX_AGE": 0, "ATOMIC_REQUESTS": False,
}
ask_old = by_cursor(connections["old"].cursor())
ask = by_cursor(connection.cursor())

def quoted(name):
    return '"' + name.replace('"', '""') + '"'

def plain(value):
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value

class Table:
    '''A table of a model, on both sides.'''

    def __init__(self, model):
        self.model, options = model, model._meta
        self.name = options.db_table
        self.fields = [field for field in options.local_concrete_fields if not getattr(field, "generated", False)]
        self.attributes = [field.attname for field in self.fields]
        keys = getattr(options, "pk_fields", [options.pk])
        self.key_places = [self.attributes.index(field.attname) for field in keys]
        self.derived = options.label_lower in DERIVED
        # None is what both the null of SQL and the null of JSON are read as
        self.json = [place for place, field in enumerate(self.fields) if isinstance(field, models.JSONField)]
        self.nulls = [
            models.ExpressionWrapper(models.Q(**{self.attributes[place] + "__isnull": True}), models.BooleanField())
            for place in self.json
        ]
        self.size = max(1, min(BATCH, 60000 // len(self.fields)))  # PostgreSQL takes 65535 parameters

    def key(self, row):
        found = tuple(plain(row[place]) for place in self.key_places)
        return found if len(found) > 1 else found[0]

    def rows(self, using, **only):
        query = models.QuerySet(self.model, using=using).filter(**only).order_by("pk")
        return query.values_list(*self.attributes, *self.nulls).iterator(chunk_size=1000)

    def batches(self, using):
        rows = self.rows(using)
        while batch := list(itertools.islice(rows, self.size)):
            yield batch

    def same_rows(self, using, batch):
        '''For each row of a batch whether the other side has the same one; the column where it differs.'''
        found = {self.key(row): row for row in self.rows(using, pk__in=[self.key(row) for row in batch])}
        for row in batch:
            other = found.get(self.key(row))
            yield row, "all columns" if other is None else self.difference(row, other)

    def difference(self, row, other):
        for field, one, two in zip(self.fields, row, other):
            if not same(field, one, two):
                return field.column
        return "" if row[len(self.fields):] == other[len(self.fields):] else "a null of JSON"

    def insert(self, rows):
        objects = []
        for row in rows:
            values = dict(zip(self.attributes, row))
            for place, is_null in zip(self.json, row[len(self.fields):]):
                if row[place] is None and not is_null:
                    values[self.attributes[place]] = models.Value(None, output_field=self.fields[place])
            objects.append(types.SimpleNamespace(**values))
        query = InsertQuery(self.model)
        # raw: the values as they are, where a field would put today's date into what it keeps the date of
        query.insert_values(self.fields, objects, raw=True)
        query.get_compiler(using="default").execute_sql()

    def copy(self):
        number = 0
        for batch in self.batches("old"):
            try:
                with transaction.atomic():
                    self.insert(batch)
            except Exception as error:
                self.explain_row(batch, number, error)
            for row, column in self.same_rows("default", batch):
                number += 1
                if column:
                    sys.exit("%s: row %d in the order of its key differs in PostgreSQL after the copy: %s" %
                             (self.name, number, column))

    def explain_row(self, batch, before, error):
        number = before + 1
        for number, row in enumerate(batch, before + 1):
            try:
                with transaction.atomic():
                    self.insert([row])
            except Exception as found:
                error = found
                break
        sys.exit("%s: PostgreSQL rejects row %d in the order of its key: %s" % (self.name, number, reason(error)))

    def set_sequence(self):
        '''Where SQLite would go on counting: also past the keys of rows that were deleted.'''
        for field in self.fields:
            if not isinstance(field, models.AutoField):
                continue
            last = ask("SELECT max(%s) FROM %s" % (quoted(field.column), quoted(self.name)))[0][0] or 0
            last = max(last, counters.get(self.name, 0))
            with connection.cursor() as cursor:
                cursor.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s, %s)",
                               [quoted(self.name), field.column, max(last, 1), last > 0])

def same(field, one, two):
    one, two = plain(one), plain(two)
    if one == two or (one != one and two != two):
        return True
    if one is None or two is None:
        return False
    # as what one form of a value is stored in SQLite, and another in PostgreSQL: an address, a custom field's object
    return field.get_db_prep_save(one, connection) == field.get_db_prep_save(two, connection)

def reason(error):
    # without the row itself, which the rest of the message quotes
    told = str(error).partition("\n")[0]
    told = told.partition(': "')[0].partition(" but got ")[0]
    return told if isinstance(error, (Error, ValueError)) else type(error).__name__

loader = MigrationLoader(None, load=False)
loader.load_disk()
known = {"%s.%s" % key for key in loader.disk_migrations}

with transaction.atomic(using="old"), transaction.atomic():
    ask_old("PRAGMA query_only = ON")
    for name in ("idle_in_transaction_session_timeout", "statement_timeout"):
        connection.cursor().execute("SET LOCAL %s = 0" % name)
    connection.cursor().execute("SET LOCAL lock_timeout = '60s'")
    before = counted("sqlite", ask_old)
    target = counted("postgresql", ask)
    # those that the code does not have any more are applied in no new database
    differing = known.intersection(set(before["migrations"]) ^ set(target["migrations"]))
    if differing:
        sys.exit("these migrations are applied on one side only: %s. Deploy the same code with SQLite first" %
                 ", ".join(sorted(differing)))
    mapped = {}
    # where two models have one table, the one that the migrations made it for
    for model in sorted(apps.get_models(include_auto_created=True), key=lambda model: model._meta.managed):
        options = model._meta
        if not options.proxy and not options.swapped and before["rows"].get(options.db_table) is not None:
            mapped[options.db_table] = Table(model)
    left = sorted(name for name, count in before["rows"].items()
                  if count and name not in mapped and name != "django_migrations")
    if left:
        sys.exit("no model of the app has these tables of the SQLite file, so their rows would be lost: %s" %
                 ", ".join(left))
    missing = sorted(name for name in mapped if name not in target["rows"])
    for name in missing:
        if before["rows"][name]:
            sys.exit("PostgreSQL has no table %s" % name)
        del mapped[name]
    if not mapped:
        sys.exit("the SQLite file has none of the app's tables")
    for table in mapped.values():
        columns = {column for _, column, *_ in ask_old("PRAGMA table_info(%s)" % quoted(table.name))}
        for column in sorted(columns.difference(field.column for field in table.model._meta.local_concrete_fields)):
            if ask_old("SELECT 1 FROM %s WHERE %s IS NOT NULL LIMIT 1" % (quoted(table.name), quoted(column))):
                sys.exit("no model of the app has the column %s.%s, so its values would be lost" % (table.name, column))
    names = ", ".join(quoted(name) for name in mapped)
    # from here on nobody else writes: what is compared is what gives way
    connection.cursor().execute("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE" % names)
    strangers, derived = {}, 0
    for table in mapped.values():
        count = sum(bool(column) for batch in table.batches("default") for _, column in table.same_rows("old", batch))
        if table.derived:
            derived += count
        elif count:
            strangers[table.name] = count
    now = counted("postgresql", ask)["rows"]
    copied = bool(strangers or derived) or any(now[name] != before["rows"][name] for name in mapped)
    rows = {name: before["rows"][name] for name in sorted(mapped)}
    if wanted["replace"] or not strangers:
        if copied:
            connection.cursor().execute("TRUNCATE %s" % names)
            connection.cursor().execute("SET CONSTRAINTS ALL DEFERRED")
            for table in mapped.values():
                table.copy()
            after = counted("postgresql", ask)["rows"]
            differing = ["%s: %s in SQLite, %s in PostgreSQL" % (name, count, after[name])
                         for name, count in rows.items() if count != after[name]]
            if differing:
                sys.exit("the copy has not as many rows: %s" % "; ".join(differing))
            try:
                connection.cursor().execute("SET CONSTRAINTS ALL IMMEDIATE")
            except Error as error:
                sys.exit("the SQLite file has rows that refer to rows which are not there (PRAGMA foreign_key_check "
                         "lists them): %s" % reason(error))
        counters = {}
        if ask_old("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"):
            counters = dict(ask_old("SELECT name, seq FROM sqlite_sequence"))
        for table in mapped.values():
            table.set_sequence()
        strangers = {}
    else:
        copied = False
print(wanted["mark"] + json.dumps({"rows": rows, "copied": copied, "strangers": strangers}))
"""
)
