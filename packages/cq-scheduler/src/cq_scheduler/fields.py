"""Columns of a schedule that Django has no field for."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from cq import codec
from cq.conf import conf
from cq.errors import CodecError
from cq.fields import EncodedAttribute, EncodedField


def site_timezone() -> str:
    """Return the name of the site's time zone, in which a schedule is by default."""
    return settings.TIME_ZONE or "UTC"


class _Arguments(EncodedAttribute):
    """The attribute of a row, decoded on first use, on a historical model as well.

    What cannot be decoded is given as the text it is: people have to see such a row.
    """

    field: ArgumentsField

    def decoded(self, instance: Any, stored: Any) -> Any:
        try:
            return self.field.value(stored)
        except CodecError:
            return stored


class ArgumentsField(EncodedField):
    """The arguments of a call: a tuple or a dict, by what ``default`` makes.

    Neither is ever a string, so a string is the stored text: that is what forms and
    fixtures give.
    """

    descriptor_class = _Arguments

    def value(self, stored: Any) -> Any:
        """Return what is stored, or about to be, as a value; raises CodecError."""
        value = codec.decode(stored) if isinstance(stored, str) else stored
        if self.default is tuple and isinstance(value, list | tuple):
            return tuple(value)
        if self.default is dict and isinstance(value, dict):
            for name in value:
                if not isinstance(name, str):
                    raise CodecError(f"{self.name}: the name {name!r} is not a str")
            return value
        wanted = "an object" if self.default is dict else "a list"
        raise CodecError(f"{self.name}: {value!r:.80} is not {wanted}")

    def encoded(self, value: Any) -> codec.Encoded:
        """Return the text of a value, the same for equal ones; raises CodecError."""
        value = self.value(value)
        return codec.encode(
            list(value) if isinstance(value, tuple) else value,
            path=self.name,
            size_limit=conf.SIZE_LIMIT,
            depth_limit=conf.DEPTH_LIMIT,
        )

    def to_python(self, value: Any) -> Any:
        if value is None or isinstance(value, codec.Encoded):
            return value
        try:
            return self.encoded(value or self.default())
        except CodecError as error:
            raise ValidationError(str(error), code="invalid") from error

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        # EncodedField takes what is stored as it is; this was typed, so it is checked.
        return models.TextField.clean(self, value, model_instance)

    def get_default(self) -> Any:
        return models.TextField.get_default(self)

    def get_prep_value(self, value: Any) -> Any:
        if value is None or hasattr(value, "resolve_expression"):
            return value
        return str(value if isinstance(value, codec.Encoded) else self.encoded(value))

    def value_from_object(self, obj: Any) -> Any:
        return self.get_prep_value(obj.__dict__.get(self.attname))

    def value_to_string(self, obj: Any) -> str:
        return str(self.value_from_object(obj))
