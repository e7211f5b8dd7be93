"""The kinds of values that a form has a field for, and the way from what is stored to its text.

What is stored is read as JSON, not decoded: nothing is looked up to show a form.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin
from uuid import UUID

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.duration import duration_string
from django.utils.translation import gettext_lazy as _

from cq import codec
from cq.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.utils.functional import Promise

#: Characters beyond which text gets more than one line.
LONGEST_LINE = 60
LONGEST_PK = 200


@dataclass(frozen=True)
class Kind:
    """A kind of values: its field, and what of a stored value stands in it."""

    #: For a text that is not empty.
    field: forms.Field
    #: Returns None for what the field can't have; then it is shown as JSON.
    write: Callable[[Any], str | None]
    #: How it is typed.
    help: str | Promise = ""
    #: Whether two texts may mean the same, as browsers write times in their own way.
    parsed: bool = False


def kind_of(annotation: Any) -> Kind | None:
    """Return the kind of an annotation; None: JSON. Rows of models are not among them."""
    if get_origin(annotation) is Literal:
        return _literal(get_args(annotation))
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, Enum):
        return _enum(annotation)
    make = _KINDS.get(annotation)
    return None if make is None else make()


def is_tagged(node: Any, tag: str) -> bool:
    """Tell whether a node is what the codec stores for a value of that tag."""
    return isinstance(node, dict) and node.get("$") == tag and len(node) == 2


def decoded(node: Any) -> Any:
    """Return the value of a node that names no rows; raises CodecError."""
    return codec.decode(json.dumps(node))


def _line(**attrs: str) -> forms.TextInput:
    return forms.TextInput({"class": "vTextField", "autocomplete": "off", **attrs})


# --- numbers and text -----------------------------------------------------------------


def _int() -> Kind:
    def write(node: Any) -> str | None:
        return str(node) if type(node) is int else None

    field = forms.IntegerField(widget=_line(inputmode="numeric"))
    return Kind(field, write, _("A whole number."))


def _float() -> Kind:
    def write(node: Any) -> str | None:
        return repr(node) if type(node) in (int, float) else None

    field = forms.FloatField(widget=_line(inputmode="decimal"))
    return Kind(field, write, _("A number."))


def _decimal() -> Kind:
    def write(node: Any) -> str | None:
        return str(node["v"]) if is_tagged(node, "decimal") else None

    field = forms.DecimalField(widget=_line(inputmode="decimal"))
    return Kind(field, write, _("A number."))


def _str() -> Kind:
    def write(node: Any) -> str | None:
        return node if isinstance(node, str) else None

    field = forms.CharField(strip=False, widget=_line(dir="auto"))
    return Kind(field, write, _("Text."))


def _uuid() -> Kind:
    def write(node: Any) -> str | None:
        return str(decoded(node)) if is_tagged(node, "uuid") else None

    return Kind(forms.UUIDField(widget=_line()), write, _("A UUID."))


# --- choices --------------------------------------------------------------------------


def _bool() -> Kind:
    def write(node: Any) -> str | None:
        return {True: "true", False: "false"}[node] if type(node) is bool else None

    choices = [("true", _("Yes")), ("false", _("No"))]
    return Kind(_choice(choices, {"true": True, "false": False}), write)


def _enum(kind: type[Enum]) -> Kind:
    def write(node: Any) -> str | None:
        names = node["v"] if is_tagged(node, "enum") else None
        if names and names[:2] == [kind.__module__, kind.__qualname__]:
            return str(names[2]) if names[2] in kind.__members__ else None
        return None

    # Those with a second name are listed once.
    choices = [(member.name, f"{member.name} ({member.value!r})") for member in kind]
    return Kind(_choice(choices, dict(kind.__members__)), write)


def _literal(values: tuple[Any, ...]) -> Kind:
    words = [str(value) for value in values]
    # By what they say, where that is one word for each.
    keys = words if all(words) and len({*words}) == len(words) else range(len(words))
    by_key = {
        str(key): value
        for key, value in zip(keys, values, strict=True)
        if value is not None
    }

    def write(node: Any) -> str | None:
        try:
            value = decoded(node)
        except CodecError:
            return None
        for key, one in by_key.items():
            if type(one) is type(value) and one == value:
                return key
        return None

    choices = [(key, repr(value)) for key, value in by_key.items()]
    return Kind(_choice(choices, by_key), write)


def _choice(choices: list[tuple[str, Any]], values: dict[str, Any]) -> forms.Field:
    field = forms.TypedChoiceField(choices=choices, coerce=values.__getitem__)
    field.error_messages["invalid_choice"] = _("Choose one of those that are listed.")
    return field


# --- times ----------------------------------------------------------------------------


class MomentField(forms.DateTimeField):
    """A date with a time, by the reader's clock where the site knows time zones."""

    def to_python(self, value: Any) -> datetime | None:
        moment = super().to_python(value)
        # With an offset the function gets the same one whoever has typed it.
        if moment is None or timezone.is_naive(moment):
            return moment
        return moment.astimezone(UTC)


def moment_text(moment: datetime) -> str:
    """Return a moment as a browser's field for it has it."""
    if timezone.is_aware(moment):
        moment = timezone.localtime(moment)
    whole = moment.replace(tzinfo=None)
    return whole.isoformat(timespec="milliseconds" if whole.microsecond else "seconds")


def _datetime() -> Kind:
    def write(node: Any) -> str | None:
        moment = decoded(node) if is_tagged(node, "datetime") else None
        # What is typed has a zone or not, as the site has.
        if moment is None or timezone.is_aware(moment) is not settings.USE_TZ:
            return None
        return moment_text(moment)

    field = MomentField(widget=_line(type="datetime-local", step="1"))
    return Kind(field, write, _("A date and a time."), parsed=True)


def _date() -> Kind:
    def write(node: Any) -> str | None:
        return str(node["v"]) if is_tagged(node, "date") else None

    field = forms.DateField(widget=_line(type="date"))
    return Kind(field, write, _("A date."), parsed=True)


def _time() -> Kind:
    def write(node: Any) -> str | None:
        value = decoded(node) if is_tagged(node, "time") else None
        if value is None or value.tzinfo is not None:
            return None
        exact = "milliseconds" if value.microsecond else "seconds"
        return str(value.isoformat(timespec=exact))

    field = forms.TimeField(widget=_line(type="time", step="1"))
    return Kind(field, write, _("A time of the day."), parsed=True)


def _timedelta() -> Kind:
    def write(node: Any) -> str | None:
        return duration_string(decoded(node)) if is_tagged(node, "timedelta") else None

    said = _("A length of time, as in 2:30:00, or 1 06:00:00 for a day and six hours.")
    return Kind(forms.DurationField(widget=_line()), write, said)


_KINDS: dict[type, Callable[[], Kind]] = {
    bool: _bool,
    int: _int,
    float: _float,
    Decimal: _decimal,
    str: _str,
    UUID: _uuid,
    datetime: _datetime,
    date: _date,
    time: _time,
    timedelta: _timedelta,
}
