"""The column type of arguments and results: decoded on first use."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.db import models

from . import codec

if TYPE_CHECKING:
    from collections.abc import Iterator


#: Whether attributes give the stored text.
_stored: ContextVar[bool] = ContextVar("cq_stored", default=False)


@contextlib.contextmanager
def _as_stored() -> Iterator[None]:
    token = _stored.set(True)
    try:
        yield
    finally:
        _stored.reset(token)


class EncodedAttribute:
    """Decodes on first use, so that a list of tasks costs no decoding."""

    def __init__(self, field: models.Field[Any, Any]) -> None:
        self.field = field

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        name = self.field.attname
        if name not in instance.__dict__:
            instance.refresh_from_db(fields=[name])
        # What is stored stays where it is: what a caller changes in the decoded value
        # is his own copy.
        return self.decoded(instance, instance.__dict__[name])

    def decoded(self, instance: Any, stored: Any) -> Any:
        """Return the value of what stands in the instance."""
        if isinstance(stored, codec.Encoded) and not _stored.get():
            return instance.decode_field(self.field.attname, stored)
        return stored

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class EncodedField(models.TextField):  # type: ignore[type-arg]
    """A value as the codec writes it. ``values()`` gives the stored text."""

    descriptor_class = EncodedAttribute

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else codec.Encoded(value)

    def to_python(self, value: Any) -> Any:
        # Of a fixture, which has the stored text.
        return codec.Encoded(value) if isinstance(value, str) else value

    def get_default(self) -> Any:
        # A migration has it as the stored text.
        return self.to_python(super().get_default())

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        if model_instance is None:
            return value
        return model_instance.__dict__.get(self.attname)

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, codec.Encoded):
            return None if value is None else str(value)
        if hasattr(value, "resolve_expression"):
            return value
        return str(codec.encode(value, size_limit=2**31, depth_limit=1000))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        # As it is stored: decoding would put tasks in the places of their results.
        return model_instance.__dict__.get(self.attname)

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.get_prep_value(self.value_from_object(obj)))

    def value_from_object(self, obj: models.Model) -> Any:
        return obj.__dict__.get(self.attname)


class EncodedRow(models.Model):
    """A model with encoded columns."""

    class Meta:
        abstract = True

    # What Django copies from one object to another, or to the row, it reads as an
    # attribute. It is to be the text then: a broken one stops nobody, tasks among the
    # arguments cost no query, and no result is written in the place of a task.

    def refresh_from_db(
        self, using: str | None = None, fields: Any = None, from_queryset: Any = None
    ) -> None:
        if using is None and from_queryset is None:
            # Where it was written to: a router may name a replica, which is behind.
            using = self._state.db
        with _as_stored():
            super().refresh_from_db(using, fields, from_queryset)

    def clean_fields(self, *args: Any, **kwargs: Any) -> None:
        with _as_stored():
            super().clean_fields(*args, **kwargs)

    def validate_constraints(self, *args: Any, **kwargs: Any) -> None:
        with _as_stored():
            super().validate_constraints(*args, **kwargs)

    def _save_table(self, *args: Any, **kwargs: Any) -> bool:
        # Fixtures are saved by `Model.save_base` itself, whatever a model makes of it.
        with _as_stored():
            saved: bool = super()._save_table(*args, **kwargs)  # type: ignore[misc]
        return saved
