from __future__ import annotations

from django.db import models


class Effect(models.Model):
    """One row for one effect; nothing makes the key unique but the promise."""

    key = models.IntegerField()
    made = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.key)


class Stay(models.Model):
    """One run under a key: when it came and went, by the database's clock."""

    key = models.CharField(max_length=50)
    came = models.DateTimeField()
    went = models.DateTimeField(null=True)
    #: The group of processes that it was in.
    processes = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.key
