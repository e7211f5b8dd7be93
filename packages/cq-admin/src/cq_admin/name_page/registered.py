"""What is registered under a name: where its function stands, its queue and its options."""

from __future__ import annotations

import inspect
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.translation import gettext as _

from cq.definitions.options import ON_LOST_FAIL, ON_LOST_RETRY
from cq_admin.display.html import named, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cq.definitions.limits import Limit
    from cq.definitions.registry import Definition

LONGEST = 200


class Fact(NamedTuple):
    """An option with its label, as it is shown."""

    label: str
    value: Any


def facts(definition: Definition) -> list[Fact]:
    """Return what its options say, those only that are not as for any task but the first."""
    return [Fact(label, value) for label, value in _facts(definition)]


def _facts(definition: Definition) -> Iterator[tuple[str, Any]]:
    options, function = definition.options, inspect.unwrap(definition.function)
    place = f"{function.__module__}.{getattr(function, '__qualname__', '?')}"
    yield _("Function"), named(place)
    yield _("Queue"), named(options.queue)
    yield _("Priority"), options.priority
    yield _("Retries"), options.retries
    yield _("Atomic"), _yes(options.atomic)
    lost = ON_LOST_RETRY if options.reruns_when_lost else ON_LOST_FAIL
    yield (
        _("When its worker is lost"),
        {
            ON_LOST_RETRY: _("it runs again"),
            ON_LOST_FAIL: _("it is LOST"),
        }[lost],
    )
    if options.timeout is not None:
        yield _("Timeout"), _seconds(options.timeout)
    if options.backoff is not None:
        yield _("Wait before a retry"), _short(options.backoff)
    if options.unique is not None:
        yield (
            _("Unique"),
            _("by a key of its arguments")
            if callable(options.unique)
            else visible(options.unique),
        )
    if options.unique_for:
        yield _("Key remembered"), _seconds(options.unique_for)
    if options.debounce is not None:
        yield _("Debounced"), _seconds(options.debounce)
    if options.limits:
        yield _("Limits"), visible("; ".join(map(_limit, options.limits)))
    if options.fair is not None:
        yield (
            _("Takes turns by"),
            _("a key of its arguments")
            if callable(options.fair)
            else visible(options.fair),
        )
    if options.expires is not None:
        yield _("Expires"), _short(options.expires)
    if options.delay is not None:
        yield _("Delay"), _seconds(options.delay)
    if options.result_ttl is not None:
        kept = "∞" if options.result_ttl == inf else _seconds(options.result_ttl)
        yield _("Kept"), kept
    if options.log_limit is not None:
        yield _("Lines of its log"), options.log_limit
    if options.tags:
        yield (
            _("Tags"),
            _("by its arguments")
            if callable(options.tags)
            else visible(", ".join(options.tags)),
        )
    if options.redact:
        yield _("Hidden"), visible(", ".join(options.redact))


def _limit(limit: Limit | str) -> str:
    """Return a limit as it is written, or its name."""
    if isinstance(limit, str):
        return limit
    said = limit.numbers()
    if limit.key is not None:
        said["key"] = limit.source if callable(limit.key) else str(limit.key)
    return ", ".join(f"{name} {value}" for name, value in said.items())


def _seconds(seconds: float) -> str:
    return _("%(n)s s") % {"n": f"{seconds:g}"}


def _short(value: Any) -> str:
    name = getattr(value, "__qualname__", None) if callable(value) else None
    return visible(name or str(value))[:LONGEST]


def _yes(value: bool) -> str:
    return _("Yes") if value else _("No")
