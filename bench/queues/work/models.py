from django.db import models


class Done(models.Model):
    """A task that was done; one that was done twice has two."""

    number = models.IntegerField(db_index=True)
    release = models.CharField(max_length=100)
    at = models.DateTimeField(auto_now_add=True)
