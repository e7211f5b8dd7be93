"""The making of tenants: a schema each, with the table that tasks write to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from django_tenants.utils import schema_context

from cqbench.models import Written

from .models import Client

if TYPE_CHECKING:
    from collections.abc import Iterable


def make_tenants(names: Iterable[str]) -> None:
    for name in names:
        Client(schema_name=name).save(verbosity=0)
        with schema_context(name), connection.schema_editor() as editor:
            editor.create_model(Written)
