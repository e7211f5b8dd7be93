"""The referrers of cq's rows: rows of a project's models that point at them, and have a say in
their deletion.

cq deletes by one statement for many rows, which knows nothing of ``on_delete``. What a
referrer points at goes by Django's own collector instead, or stays.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, IntegrityError, router, transaction
from django.db.models import Exists, OuterRef
from django.db.models.deletion import (
    DO_NOTHING,
    PROTECT,
    ProtectedError,
    RestrictedError,
)

from cq.db.internals import ReferrerCollector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from django.db.models import Model, QuerySet

logger = logging.getLogger("cq.prune")

_LABEL = "cq"
#: What is deleted with a task, and the columns that say which task that is.
_TASK_COLUMNS = {
    "Task": ("pk",),
    "Edge": ("task", "depends_on"),
    "TaskLog": ("task", "root"),
    "Attempt": ("task",),
    "Stack": ("task",),
}


class Relation(NamedTuple):
    """A field of a project's model that points at one of cq's."""

    referrer: type[Model]
    field: Any
    protects: bool


class PointedAt(NamedTuple):
    """The tasks of some that referrers point at, by what becomes of them."""

    protected: set[UUID]
    others: set[UUID]


def relations(model: type[Model], using: str = DEFAULT_DB_ALIAS) -> list[Relation]:
    """Return what points at a model of cq and has a say in the deletion of its rows."""
    found: list[Relation] = []
    # As Django's collector chooses them: many-to-many come as their through models.
    for relation in model._meta.get_fields(include_hidden=True):
        if not relation.auto_created or relation.concrete:
            continue
        if not (relation.one_to_one or relation.one_to_many):
            continue
        referrer: Any = relation.related_model
        # A table of another database refers to nothing of this one.
        if referrer._meta.app_label == _LABEL or not router.allow_migrate_model(
            using, referrer
        ):
            continue
        rule, field = relation.on_delete, relation.field  # type: ignore[union-attr]
        # Without on_delete the database itself refuses, or nobody minds.
        refuses = rule is DO_NOTHING and getattr(field, "db_constraint", False)
        if refuses or rule is not DO_NOTHING:
            found.append(Relation(referrer, field, refuses or rule is PROTECT))
    return found


def exist(using: str) -> bool:
    """Tell whether anything of a project may point at tasks, or what goes with them."""
    models = [apps.get_model(_LABEL, name) for name in _TASK_COLUMNS]
    return any(relations(model, using) or _generic(model) for model in models)


def _generic(model: type[Model]) -> bool:
    # A generic relation that a project has added: only the collector can ask for it.
    return any(hasattr(f, "bulk_related_objects") for f in model._meta.private_fields)


def pointed_at(using: str, ids: list[UUID]) -> PointedAt:
    """Return those of some tasks that referrers point at, or at what goes with them."""
    found = PointedAt(set(), set())
    if not ids:
        return found
    for name, columns in _TASK_COLUMNS.items():
        model = apps.get_model(_LABEL, name)
        if _generic(model):
            found.others.update(ids)
        for referrer, field, protects in relations(model, using):
            rows = referrer._base_manager.using(using).order_by()
            for column in columns:
                path = f"{field.name}__{column}"
                some = set(
                    rows.filter(**{f"{path}__in": ids}).values_list(path, flat=True)
                )
                if some and protects:
                    _say_once(referrer._meta.label)
                (found.protected if protects else found.others).update(some)
    found.others.difference_update(found.protected)
    return found


def collect(using: str, querysets: Iterable[QuerySet[Any]]) -> ReferrerCollector:
    """Collect rows with what a project has hung on them; its ``delete()`` deletes all.

    Raises IntegrityError where something protects one of them.
    """
    collector = ReferrerCollector(using, _LABEL)
    for rows in querysets:
        collector.collect(rows)
    return collector


def unprotected(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return those of some rows that no referrer protects itself."""
    for referrer, field, protects in relations(rows.model, rows.db):
        if protects:
            pointing = referrer._base_manager.using(rows.db).order_by()
            is_kept = Exists(pointing.filter(**{field.name: OuterRef("pk")}))
            if rows.filter(is_kept).exists():
                _say_once(referrer._meta.label)
                rows = rows.filter(~is_kept)
    return rows


def delete_unprotected(rows: QuerySet[Any]) -> int:
    """Delete rows as the ORM does, but for what something protects; how many rows."""
    if not relations(rows.model, rows.db):
        return _delete(rows)
    rows = unprotected(rows)
    try:
        with transaction.atomic(using=rows.db):
            return _delete(rows)
    except IntegrityError as error:
        say_kept(error)
    # What protects them points at what would go with them: one by one.
    deleted = 0
    for pk in list(rows.values_list("pk", flat=True)):
        try:
            with transaction.atomic(using=rows.db):
                deleted += _delete(rows.filter(pk=pk))
        except IntegrityError as error:
            say_kept(error)
    return deleted


def _delete(rows: QuerySet[Any]) -> int:
    _, by_model = rows.delete()
    return by_model.get(rows.model._meta.label, 0)


def say_kept(error: IntegrityError) -> None:
    """Log, once for each model in this process, that it keeps something from going."""
    for name in _protectors(error):
        _say_once(name)


def _protectors(error: IntegrityError) -> Iterator[str]:
    rows: Iterable[Any] = ()
    if isinstance(error, ProtectedError):
        rows = error.protected_objects
    elif isinstance(error, RestrictedError):
        rows = error.restricted_objects
    labels = {row._meta.label for row in rows}
    if labels:
        yield from sorted(labels)
    else:
        # The table of the referring row, where the database names it.
        cause = getattr(error.__cause__, "diag", None)
        yield getattr(cause, "table_name", None) or "A table that no model tells of"


_said: set[str] = set()


def _say_once(name: str) -> None:
    if name in _said:
        return
    _said.add(name)
    logger.warning(
        "%s points at rows of cq and protects them: they are not pruned, nor are the "
        "trees of tasks that they are part of. Give its field on_delete=SET_NULL and "
        "db_constraint=False, so that they go when their time is over.",
        name,
    )
