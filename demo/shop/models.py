from __future__ import annotations

from django.db import models


class Product(models.Model):
    """One imported line. Nothing makes `number` unique but the promise of cq."""

    number = models.IntegerField()
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name
