"""Models of a project that point at cq's rows, for the time of one test."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connection, models

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Of an app that is installed wherever cq is tested.
LABEL = "contenttypes"


@contextmanager
def referring(*fields: Any, name: str = "Export") -> Iterator[list[type[models.Model]]]:
    """Make a model with a table for each of these fields, which is named ``row``."""
    before = dict(apps.all_models[LABEL])
    made: list[type[models.Model]] = []
    try:
        for number, field in enumerate(fields):
            meta = type("Meta", (), {"app_label": LABEL})
            body = {"__module__": __name__, "Meta": meta, "row": field}
            body["id"] = models.BigAutoField(primary_key=True)
            made.append(type(f"{name}{number or ''}", (models.Model,), body))
            with connection.schema_editor() as editor:
                editor.create_model(made[-1])
        yield made
    finally:
        for model in reversed(made):
            with connection.schema_editor() as editor:
                editor.delete_model(model)
        apps.all_models[LABEL].clear()
        apps.all_models[LABEL].update(before)
        apps.clear_cache()
