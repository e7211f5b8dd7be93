"""The column types of what the codec writes, decoded on first use, and of options."""

from __future__ import annotations

import contextlib
import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models
from django.db.models import F, Func

from . import codec

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Whether attributes give the stored text.
_stored: ContextVar[bool] = ContextVar("cq_stored", default=False)


@contextlib.contextmanager
def as_stored() -> Iterator[None]:
    """Let attributes give the stored text, within the block."""
    token = _stored.set(True)
    try:
        yield
    finally:
        _stored.reset(token)


class OptionsField(models.JSONField):
    """A JSON column that anybody may have written: what is too deep to read stays text."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        try:
            return super().from_db_value(value, expression, connection)
        except RecursionError:
            return value

    def deconstruct(self) -> Any:
        # To a migration it is Django's own.
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs


class OptionsWith(Func):
    """What a row's options are by now, with some keys set, as an expression.

    given: values of which none is None, nor has one in it at a key.
    """

    output_field = models.TextField()
    _SQL: ClassVar[dict[str, str]] = {
        "postgresql": "COALESCE({column}, '{{}}'::jsonb) || %s::jsonb",
        "mysql": "JSON_MERGE_PATCH(COALESCE({column}, '{{}}'), %s)",
        "sqlite": "json_patch(COALESCE({column}, '{{}}'), %s)",
    }

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(F("options"))
        self.given = given

    def as_sql(  # type: ignore[override]
        self, compiler: Any, connection: Any, **kwargs: Any
    ) -> Any:
        column, params = compiler.compile(self.source_expressions[0])
        sql = self._SQL[connection.vendor].format(column=column)
        return sql, [*params, json.dumps(self.given)]


class EncodedAttribute:
    """An attribute that decodes when it is read, so that a list of tasks costs no decoding."""

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
