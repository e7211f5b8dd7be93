"""The limits of a task: as ``@task`` was given them, and as the row of a call keeps them.

A row keeps the keys, which the call's arguments made, and for each where its numbers are:
they are those of the code, or the settings, at the time of the claim.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from cq.definitions.keys import made, named
from cq.definitions.templates import Template

from .limit import Limit
from .named import named_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cq.definitions.templates import Signed

#: A key, and its source: how it is written at ``@task`` (text, "" for the task's own,
#: "module:name" of a function), ``{"name": ...}`` of one of ``CQ_LIMITS``, or what a limit
#: of ``.using()`` says.
LimitEntry = tuple[str, str | dict[str, Any]]

_WHAT = "key of limits"
_OPTION = "limits"


def as_given_to_task(limits: Sequence[Limit | str]) -> tuple[Limit | str, ...]:
    """Return limits as ``@task`` keeps them: text for a key is a template.

    Raises ValueError for what is no format string.
    """
    functions: list[Any] = []
    found: list[Limit | str] = []
    for limit in limits:
        if isinstance(limit, str):
            found.append(limit)
        elif callable(limit.key):
            if limit.key not in functions:
                functions.append(limit.key)
            found.append(limit.with_key(limit.key, _source(limit.key, functions)))
        elif limit.key is None:
            found.append(limit.with_key(None, ""))
        else:
            template = Template(_WHAT, str(limit.key), _OPTION)
            found.append(limit.with_key(template, str(template)))
    return tuple(found)


def _source(function: Any, functions: list[Any]) -> str:
    """Return the name of a function; of several with one name each has its own."""
    name = named(function)
    alike = [other for other in functions if named(other) == name]
    number = alike.index(function)
    return f"{name}#{number + 1}" if number else name


def by_source(limits: Sequence[Limit | str], source: str) -> list[Limit]:
    """Return those of a task's limits that a row finds by a source."""
    return [
        limit
        for limit in limits
        if not isinstance(limit, str) and limit.source == source
    ]


def given_to_call(
    limits: Sequence[Limit | str], kept: Iterable[LimitEntry]
) -> list[Limit | str] | None:
    """Return what ``.using()`` has given a call, by what its row keeps; None: nothing.

    limits: those of its task, which a call has that was given none. What cannot be read is
    left out. One that was given some of the names of its task, and nothing else, is not
    told from one that was given nothing.
    """
    found: list[Limit | str] = []
    is_given = False
    for key, source in kept:
        if isinstance(source, str):
            continue
        name = source.get("name")
        if isinstance(name, str):
            is_given = is_given or name not in limits
            found.append(name)
            continue
        is_given = True
        numbers = {n: source.get(n) for n in ("concurrency", "rate", "burst")}
        with contextlib.suppress(ValueError):
            found.append(Limit(key=key, **numbers))
    return found if is_given else None


def entries(
    definition: Signed,
    limits: Sequence[Limit | str],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    of_call: bool,
) -> list[LimitEntry]:
    """Return what the row of a call keeps of its limits, in order and without doubles.

    of_call: whether they were given by ``.using()``, and so stand nowhere else. Raises
    ValueError for a name that ``CQ_LIMITS`` lacks, and what `keys.made` raises.
    """
    found: list[LimitEntry] = []
    for limit in limits:
        if isinstance(limit, str):
            entry = _named(definition, limit, args, kwargs)
        else:
            entry = _own(definition, limit, args, kwargs, of_call=of_call)
        if entry is not None and entry not in found:
            found.append(entry)
    return found


def _named(
    definition: Signed, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> LimitEntry | None:
    try:
        limit = named_limit(name)
    except ValueError as error:
        raise ValueError(f"{definition.name}: {error}") from None
    key = made(definition, f"key of CQ_LIMITS[{name!r}]", limit.key, args, kwargs)
    return None if key is None else (key, {"name": name})


def _own(
    definition: Signed,
    limit: Limit,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    of_call: bool,
) -> LimitEntry | None:
    given = definition.name if limit.key is None else limit.key
    key = made(definition, _WHAT, given, args, kwargs)
    if key is None:
        return None
    return key, limit.numbers() if of_call else limit.source or ""
