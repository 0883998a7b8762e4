"""Fills the SQLite database."""

import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import django

django.setup()

from django.contrib.auth.models import Group, Permission  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from kinds.models import Everything, Extra, Leaf, Left, Node, Right, Tag, Weight  # noqa: E402

NEW_YORK = ZoneInfo("America/New_York")
JSON_NULL = models.Value(None, models.JSONField())
WHOLE = {"a": [1, 2.5, None, True, {"é": "\U0001f95a"}], "big": 2**70, "small": 1e-12, "": ""}

ROWS = [
    {},
    {"text": "", "maybe": "", "raw": b"", "data": {}, "always": []},
    {"text": "a'b\"c\\N\t%s%%", "maybe": " two\r\nlines\u2028 é\U0001f95a ", "data": WHOLE, "always": "text"},
    {"data": JSON_NULL, "always": JSON_NULL, "raw": bytes(range(256))},
    {
        "small": -(2**15),
        "big": 2**62 - 1,
        "real": 0.1 + 0.2,
        "money": Decimal("1234567890.1200"),
        "yes": False,
    },
    {"small": 2**15 - 1, "big": -(2**62), "real": 1.7e308, "money": Decimal("-0.0001"), "yes": True},
    {"real": 5e-324, "money": Decimal(0), "data": 0, "always": False},
    {"day": datetime.date(1, 1, 1), "clock": datetime.time(23, 59, 59, 999999)},
    {"day": datetime.date(9999, 12, 31), "clock": datetime.time(0, 0)},
    # the same hour twice, of which the clock tells only the second apart
    {"at": datetime.datetime(2025, 11, 2, 1, 30, tzinfo=NEW_YORK)},
    {"at": datetime.datetime(2025, 11, 2, 1, 30, 0, 1, tzinfo=NEW_YORK, fold=1)},
    {"at": datetime.datetime(1969, 12, 31, 23, 59, 59, 123456, tzinfo=datetime.UTC)},
    {"took": -datetime.timedelta(days=400, microseconds=1), "address": "2001:db8::1"},
    {"took": datetime.timedelta(0), "address": "192.0.2.1"},
]

with transaction.atomic():
    everything = [Everything.objects.create(**row) for row in ROWS]
    Everything.objects.update(changed=datetime.datetime(2020, 2, 29, 12, 0, 0, 5, tzinfo=datetime.UTC))
    # more than are copied at a time
    Everything.objects.bulk_create(Everything(text=str(number), big=number) for number in range(600))
    Everything.objects.order_by("pk").last().delete()  # its key is never given again
    tags = [Tag.objects.create(name=name) for name in ("a", "B", "_", "ä", "Z", "10", "9", "", " ")]
    everything[0].tags.set(tags)
    everything[3].tags.set(tags[:2])
    everything[1].friends.set([everything[0], everything[1]])
    Weight.objects.create(everything=everything[2], tag=tags[3], grams=-5)
    # the child has the lower key
    child = Node.objects.create(name="child")
    parent = Node.objects.create(name="parent")
    Node.objects.filter(pk=child.pk).update(parent=parent)
    Node.objects.create(pk=70, name="itself", parent_id=70)
    Leaf.objects.create(name="leaf", colour="green", parent=child)
    # each needs the other
    left = Left.objects.create(pk=5, right_id=9)
    Right.objects.create(pk=9, left=left)
    # by keys that PostgreSQL has not given to these permissions
    Permission.objects.filter(codename="add_tag").update(id=1000)
    group = Group.objects.create(name="editors")
    group.permissions.set(Permission.objects.filter(codename__in=["add_tag", "view_tag"]))
    Extra.objects.create(group=group, note="of a group")
    with connection.cursor() as cursor:
        # a key below those that a sequence gives
        cursor.execute("INSERT INTO auth_group (id, name) VALUES (0, 'zero')")
