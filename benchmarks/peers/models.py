"""What the tasks write."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Written(models.Model):
    """One run of a task that writes."""

    number = models.IntegerField()

    # For a type checker, which knows the settings of the tests only.
    objects: ClassVar[models.Manager[Written]] = models.Manager()
