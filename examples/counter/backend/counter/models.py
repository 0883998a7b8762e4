from django.db import models


class Counter(models.Model):
    name = models.CharField(max_length=20, primary_key=True)
    visitors = models.BigIntegerField(default=0)

    def __str__(self):
        return f"{self.name}: {self.visitors}"
