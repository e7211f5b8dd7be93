from __future__ import annotations

from django.db import models


class Product(models.Model):
    """One imported line. Nothing makes `number` unique but the promise of cq."""

    number = models.IntegerField()
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Entry(models.Model):
    """One thing that was done for an order. Nothing makes it unique, either."""

    order = models.IntegerField()
    what = models.CharField(max_length=20)

    def __str__(self) -> str:
        return f"{self.what} of order {self.order}"
