"""The call that a form describes, or that is made again as it was."""

from __future__ import annotations

from functools import partial
from inspect import Parameter as Declared
from typing import TYPE_CHECKING, Any

from cq import codec
from cq.conf import conf
from cq.definitions.fitting import BY_POSITION
from cq.definitions.lanes import fair_of, limits_of
from cq.definitions.limits import given_to_call
from cq.definitions.retention import stored_ttl
from cq.definitions.signatures import Call, changes_of, encoded
from cq.definitions.tags import checked, tags_from_parent
from cq.errors import CQError, RowGone
from cq.hooks.context import KEY, captured_at_retry, known
from cq.tables.values import unique_key_of, upstream_tasks

from .parameters import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from cq.definitions.registry import Definition
    from cq.models import Task

    from .parameters import Parameter


def arguments(
    parameters: list[Parameter], values: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return values as they are given to the function: by position as long as that goes.

    Raises CodecError for a default that has to be given, and cannot be stored.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    rest = any(
        p.declared.kind is Declared.VAR_POSITIONAL
        and values[p.name] not in (MISSING, [])
        for p in parameters
    )
    by_position = True
    for at, parameter in enumerate(parameters):
        kind, value = parameter.declared.kind, values[parameter.name]
        if kind is Declared.VAR_POSITIONAL:
            args += [] if value is MISSING else value
        elif kind is Declared.VAR_KEYWORD:
            kwargs |= {} if value is MISSING else value
        elif kind in BY_POSITION and by_position:
            if value is MISSING and (rest or _only_position(parameters[at:], values)):
                value = parameter.declared.default
            by_position = value is not MISSING
            args += [value] if by_position else []
        elif value is not MISSING:
            kwargs[parameter.name] = value
    return tuple(args), kwargs


def _only_position(rest: list[Parameter], values: Mapping[str, Any]) -> bool:
    """Tell whether one of these is given, and has no name that it could be given by."""
    return any(
        p.declared.kind is Declared.POSITIONAL_ONLY and values[p.name] is not MISSING
        for p in rest
    )


def results_of(using: str, task_id: UUID) -> Callable[[int, int], list[Any]]:
    """Return what gives the tasks whose results are arguments of a stored call."""
    stored = upstream_tasks(using, task_id)

    def results(start: int, count: int) -> list[Any]:
        found = stored(start, count)
        if any(task is None for task in found):
            raise RowGone("a task whose result it was to be is deleted")
        return found

    return results


def as_stored(task: Task, using: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a task as they are stored; raises CodecError."""
    texts = str(task.stored_text("args")), str(task.stored_text("kwargs"))
    return codec.decode_call(*texts, results_of(using, task.pk))


def given_options(definition: Definition, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a form that differ from those of the function."""
    own = definition.options
    changes = {
        n: given[n] for n in ("queue", "priority") if given[n] != getattr(own, n)
    }
    if given["run_after"] is not None:
        changes["run_after"] = given["run_after"]
    return changes


def stored_options(definition: Definition, task: Task, changed: bool) -> dict[str, Any]:
    """Return the options that a task was made with, in the context that it was made in.

    Who makes it again acts in it. Its time is not among them, nor when it expires.
    changed: whether its arguments may be others now.
    """
    kept, own = task.options or {}, definition.options
    changes = changes_of(kept)
    if task.result_ttl != stored_ttl(own.result_ttl):
        changes["result_ttl"] = _ttl(task.result_ttl)
    if own.unique is None and (key := unique_key_of(kept)):
        changes["unique"] = key
    limits = given_to_call(own.limits, limits_of(kept))
    if limits is not None:
        changes["limits"] = limits
    if own.fair is None and (fair := fair_of(kept)):
        changes["fair"] = fair
    if changed and _made_its_tags(definition, task):
        changes["tags"] = partial(_tags_anew, definition, tags_from_parent(kept))
    elif task.tags:
        # Those of its parent, too: it is about the same.
        changes["tags"] = task.tags
    context = task.context or {}
    mine = captured_at_retry({KEY: context})
    if context := (context if mine is None else mine[KEY]):
        changes["context"] = known(context)
    return changes


def _made_its_tags(definition: Definition, task: Task) -> bool:
    """Tell whether the tags of a task are of its function, and not of who called it."""
    if not callable(definition.options.tags):
        return False
    above = tags_from_parent(task.options)
    try:
        args, kwargs = as_stored(task, conf.DATABASE)
        return _tags_anew(definition, above, *args, **kwargs) == list(task.tags)
    except Exception:  # the function is the project's
        return True


def _tags_anew(
    definition: Definition, above: tuple[str, ...], *args: Any, **kwargs: Any
) -> list[str]:
    """Return what a task's function makes of these, behind the tags of a parent."""
    make: Any = definition.options.tags
    own = checked(definition.name, make(*args, **kwargs))
    return [*above, *(tag for tag in own if tag not in above)]


def _ttl(stored: float | None) -> float | str | None:
    return "forever" if stored is not None and stored < 0 else stored


def refusal(call: Call[Any]) -> str | None:
    """Return what of a call no row can be made of; None where it is fine.

    What a function of the project's raises is told by its name alone: its text may have
    a secret argument in it.
    """
    try:
        _ = call.options
        call.definition.check_arguments(call.args, call.kwargs)
        _args, _kwargs, handles = encoded(call.args, call.kwargs)
    except (TypeError, ValueError, CQError) as error:
        return str(error)
    tags = partial(call.tags, handles)
    made: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("unique", call.unique_key),
        ("limits", call.limits),
        ("fair", call.fair_key),
        ("tags", tags),
    )
    for option, make in made:
        try:
            make()
        except Exception as error:
            return f"{option}: {type(error).__name__}"
    return None
