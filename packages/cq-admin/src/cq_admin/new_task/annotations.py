"""The annotations of a task's parameters, resolved one by one.

What a name stands for may be imported for type checkers only: then the standard types are
known by their names, and models by those of their classes.
"""

from __future__ import annotations

import inspect
import types
import typing
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.apps import apps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What nothing is known of.
ANYTHING: Any = inspect.Parameter.empty

_STANDARD: dict[str, Any] = {
    **{name: getattr(typing, name) for name in ("Any", "Literal", "Optional", "Union")},
    **{kind.__name__: kind for kind in (date, datetime, time, timedelta)},
    "Decimal": Decimal,
    "UUID": UUID,
}


class Annotation(typing.NamedTuple):
    """What a parameter takes."""

    #: A class, a `Literal`, or `ANYTHING`.
    kind: Any
    #: Whether it takes None as well.
    takes_none: bool


def annotation_of(
    parameter: inspect.Parameter, function: Callable[..., Any]
) -> Annotation:
    """Return what a parameter of a function takes, as far as that can be told."""
    found = parameter.annotation
    if found is not inspect.Parameter.empty:
        found = _resolved(found, function)
    return _without_none(found)


def _resolved(annotation: Any, function: Callable[..., Any]) -> Any:
    names = getattr(inspect.unwrap(function), "__globals__", {})
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    for known in (names, {**_STANDARD, **dict(_models()), **names}):
        try:
            return typing.get_type_hints(holder, known)["it"]
        except Exception:  # noqa: S112  it is code of the project, and may be anything
            continue
    return ANYTHING


def _models() -> Iterator[tuple[str, Any]]:
    """Give the models whose classes no other is named like."""
    found: dict[str, list[Any]] = {}
    for model in apps.get_models():
        found.setdefault(model.__name__, []).append(model)
    for name, models in found.items():
        if len(models) == 1:
            yield name, models[0]


def _without_none(annotation: Any) -> Annotation:
    annotation = _plain(annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return Annotation(annotation, None in args)
    if origin in (typing.Union, types.UnionType):
        rest = [arg for arg in args if arg is not type(None)]
        kind = _plain(rest[0]) if len(rest) == 1 else ANYTHING
        return Annotation(kind, len(rest) < len(args))
    if annotation in (Any, object):
        return Annotation(ANYTHING, False)
    return Annotation(annotation, annotation is type(None))


def _plain(annotation: Any) -> Any:
    """Return what a name for a type, or a type with a remark, stands for."""
    while True:
        if hasattr(annotation, "__metadata__"):  # Annotated
            annotation = annotation.__origin__
        elif hasattr(annotation, "__supertype__"):  # NewType
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation
