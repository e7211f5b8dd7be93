"""The checks of limits: those of the settings, and those that tasks have."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error, Warning, register

from cq.conf import SETTINGS, conf, problem
from cq.definitions import registry
from cq.definitions.bounds import Bound
from cq.definitions.limits import named_limits, setting_problems
from cq.definitions.templates import Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cq.definitions.limits import Limit


@register("cq")
def check_named_limits(**kwargs: Any) -> list[CheckMessage]:
    """cq.E042: what CQ_LIMITS says is no limit."""
    if problem("LIMITS", conf.LIMITS):
        return []
    return [
        Error(f"{wrong}.", hint=SETTINGS["LIMITS"].help, id="cq.E042")
        for wrong in setting_problems(conf.LIMITS)
    ]


@register("cq")
def check_names_of_limits(**kwargs: Any) -> list[CheckMessage]:
    """cq.E043: a task names a limit that CQ_LIMITS lacks."""
    if problem("LIMITS", conf.LIMITS):
        return []
    there = ", ".join(map(repr, conf.LIMITS)) or "none"
    return [
        Error(
            f"{name} has the limit {limit!r}, which CQ_LIMITS lacks; there are: {there}.",
            hint="Each .delay() would fail. Add it to CQ_LIMITS, or give a Limit(...).",
            id="cq.E043",
        )
        for name in registry.names()
        for limit in registry.get(name).options.limits
        if isinstance(limit, str) and limit not in conf.LIMITS
    ]


@register("cq")
def check_keys_of_limits(**kwargs: Any) -> list[CheckMessage]:
    """cq.W010: two definitions of one key say different things."""
    found: dict[tuple[str, bool], dict[str, Bound]] = defaultdict(dict)
    for place, key, limit in _definitions():
        # A text without fields is the key; with them it is one alike for like arguments.
        is_template = isinstance(key, Template) and bool(key.names)
        text = key.format() if isinstance(key, Template) and not is_template else key
        bound = Bound.of(text, None, limit)
        of_key = found[text, is_template]
        known = of_key.get(place)
        of_key[place] = bound if known is None else known.with_other(bound)
    return [
        Warning(
            f"Limits of the key {text!r} differ: {_told(places)}.",
            hint=(
                "A claim goes by what its own task says. Let them say the same; or give "
                "it a name in CQ_LIMITS, and all of these tasks that name."
            ),
            id="cq.W010",
        )
        for (text, _), places in sorted(found.items())
        if len(set(places.values())) > 1
    ]


def _definitions() -> Iterator[tuple[str, str, Limit]]:
    """Yield the limits of settings and tasks, with where they are, and their key."""
    for name, limit in named_limits().items():
        if isinstance(limit.key, str):
            yield f"CQ_LIMITS[{name!r}]", limit.key, limit
    for name in registry.names():
        for of_task in registry.get(name).options.limits:
            if isinstance(of_task, str) or callable(of_task.key):
                continue
            yield name, name if of_task.key is None else of_task.key, of_task


def _told(places: dict[str, Bound]) -> str:
    return "; ".join(f"{place} has {_numbers(b)}" for place, b in places.items())


def _numbers(bound: Bound) -> str:
    said = []
    if bound.concurrency is not None:
        said.append(f"concurrency {bound.concurrency}")
    if bound.interval is not None:
        said.append(f"a start each {bound.interval:g} s, burst {bound.burst}")
    return ", ".join(said)
