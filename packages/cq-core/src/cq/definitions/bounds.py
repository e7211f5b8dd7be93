"""The bounds of a task: what its limits come to, by the code and the settings as they are now."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cq.errors import UnknownTask

from . import registry
from .lanes import limits_of
from .limits import Limit, by_source, named_limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Override(Protocol):
    """What an operator has set of a named limit; None: it is as the settings say."""

    @property
    def concurrency(self) -> int | None: ...
    @property
    def rate(self) -> str | None: ...
    @property
    def burst(self) -> int | None: ...


class Bound(NamedTuple):
    """What one key allows to a task."""

    key: str
    #: Of the limit in the settings, if it has one.
    name: str | None
    #: Tasks that run at once; None: any number.
    concurrency: int | None
    #: Seconds from one start to the next, and starts that may come at once; None: it has no
    #: rate.
    interval: float | None
    burst: int | None

    @classmethod
    def of(cls, key: str, name: str | None, limit: Limit) -> Bound:
        return cls(key, name, limit.concurrency, limit.interval, limit.bucket)

    def with_other(self, other: Bound) -> Bound:
        """Return what this and another one of the same key allow together."""
        places = [b.concurrency for b in (self, other) if b.concurrency is not None]
        rates = [
            (bound.interval, -bound.burst)
            for bound in (self, other)
            if bound.interval is not None and bound.burst is not None
        ]
        interval, burst = max(rates, default=(None, None))
        return Bound(
            self.key,
            self.name if self.name is not None else other.name,
            min(places, default=None),
            interval,
            None if burst is None else -burst,
        )


def bounds_of(
    name: str, options: dict[str, Any] | None, overrides: Mapping[str, Override]
) -> list[Bound]:
    """Return the bounds of a task by its name and what its row keeps, in order of keys.

    Each key is there once. Where several limits have one key, the lowest concurrency
    holds, and of two rates the slower one, with its burst; of two that are equally slow,
    the smaller burst.

    overrides: what operators have set, by the names of the limits. What they have set, and
    could not be, is passed over. A limit that its ``@task`` has no more, or that is gone
    from ``CQ_LIMITS``, is none, and so is what cannot be read of `options`: it never raises.
    """
    found: dict[str, Bound] = {}
    for key, source in limits_of(options):
        for bound in _bounds(name, key, source, overrides):
            known = found.get(key)
            found[key] = bound if known is None else known.with_other(bound)
    return [found[key] for key in sorted(found)]


def _bounds(
    name: str, key: str, source: Any, overrides: Mapping[str, Override]
) -> Iterator[Bound]:
    if isinstance(source, str):
        for limit in _own(name, source):
            yield Bound.of(key, None, limit)
        return
    limit_name = source.get("name")
    if isinstance(limit_name, str):
        named = in_effect(limit_name, overrides.get(limit_name))
        if named is not None:
            yield Bound.of(key, limit_name, named)
    elif limit_name is None:
        literal = _limit(*map(source.get, ("concurrency", "rate", "burst")))
        if literal is not None:
            yield Bound.of(key, None, literal)


def _own(name: str, source: str) -> list[Limit]:
    try:
        definition = registry.get(name)
    except UnknownTask:
        return []
    return by_source(definition.options.limits, source)


def in_effect(name: str, override: Override | None) -> Limit | None:
    """Return a named limit with what is set of it; None: ``CQ_LIMITS`` lacks it."""
    limit = named_limits().get(name)
    if limit is None or override is None:
        return limit
    concurrency = _first(override.concurrency, limit.concurrency)
    rate = _first(override.rate, limit.rate)
    burst = _first(override.burst, limit.burst) if rate is not None else None
    return _limit(concurrency, rate, burst) or limit


def _first(one: Any, other: Any) -> Any:
    return other if one is None else one


def _limit(concurrency: Any, rate: Any, burst: Any) -> Limit | None:
    """Return what these say; None where that is no limit."""
    try:
        return _made(concurrency, rate, burst)
    except (TypeError, ValueError):  # it is also what cannot be hashed
        return None


@lru_cache(maxsize=1024, typed=True)
def _made(concurrency: Any, rate: Any, burst: Any) -> Limit:
    return Limit(concurrency=concurrency, rate=rate, burst=burst)
