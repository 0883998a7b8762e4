"""Every kind of field and of relation that the two databases keep in different ways."""

import uuid

from django.contrib.auth.models import Group
from django.db import models


class Tag(models.Model):
    # The two databases sort these keys differently.
    name = models.CharField(max_length=20, primary_key=True)


class Everything(models.Model):
    text = models.CharField(max_length=20, blank=True)
    maybe = models.TextField(null=True)
    small = models.SmallIntegerField(default=0)
    big = models.BigIntegerField(default=0)
    double = models.GeneratedField(
        expression=models.F("big") * 2, output_field=models.BigIntegerField(), db_persist=True
    )
    real = models.FloatField(default=0)
    money = models.DecimalField(max_digits=14, decimal_places=4, null=True)
    yes = models.BooleanField(null=True)
    day = models.DateField(null=True)
    clock = models.TimeField(null=True)
    at = models.DateTimeField(null=True)
    changed = models.DateTimeField(auto_now=True)
    took = models.DurationField(null=True)
    raw = models.BinaryField(null=True)
    data = models.JSONField(null=True)
    always = models.JSONField(default=dict)
    token = models.UUIDField(default=uuid.uuid4)
    address = models.GenericIPAddressField(null=True)
    tags = models.ManyToManyField(Tag)
    weighed = models.ManyToManyField(Tag, through="Weight", related_name="+")
    friends = models.ManyToManyField("self")


class Weight(models.Model):
    everything = models.ForeignKey(Everything, on_delete=models.CASCADE)
    tag = models.ForeignKey(Tag, on_delete=models.CASCADE)
    grams = models.IntegerField()


class View(models.Model):
    """A second model of a table, without most of its columns."""

    text = models.CharField(max_length=20)

    class Meta:
        managed = False
        db_table = "kinds_everything"


class Node(models.Model):
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True)
    name = models.CharField(max_length=20)


class Leaf(Node):
    colour = models.CharField(max_length=20)


class Left(models.Model):
    right = models.ForeignKey("Right", on_delete=models.CASCADE, related_name="+")


class Right(models.Model):
    left = models.ForeignKey(Left, on_delete=models.CASCADE, related_name="+")


class Extra(models.Model):
    group = models.OneToOneField(Group, on_delete=models.CASCADE, primary_key=True)
    note = models.TextField()
