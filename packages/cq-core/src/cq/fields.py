"""The column type of arguments and results: decoded on first use."""

from __future__ import annotations

from typing import Any

from django.db import models

from . import codec


class _EncodedAttribute:
    """Decodes on first use, so that a list of tasks costs no decoding."""

    def __init__(self, field: models.Field[Any, Any]) -> None:
        self.field = field

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        name = self.field.attname
        if name not in instance.__dict__:
            instance.refresh_from_db(fields=[name])
        value = instance.__dict__[name]
        if isinstance(value, codec.Encoded):
            # The text stays where it is: what a caller changes in the decoded value
            # is his own copy.
            value = instance.decode_field(name, value)
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class EncodedField(models.TextField):  # type: ignore[type-arg]
    """A value as the codec writes it. ``values()`` gives the stored text."""

    descriptor_class = _EncodedAttribute

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else codec.Encoded(value)

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, codec.Encoded):
            return None if value is None else str(value)
        if hasattr(value, "resolve_expression"):
            return value
        return str(codec.encode(value, size_limit=2**31, depth_limit=1000))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        # As it is stored: decoding would put tasks in the places of their results.
        return model_instance.__dict__.get(self.attname)

    def value_from_object(self, obj: models.Model) -> Any:
        return obj.__dict__.get(self.attname)
