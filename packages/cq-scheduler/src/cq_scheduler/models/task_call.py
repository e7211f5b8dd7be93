"""The call that a schedule makes at its slots, with the options of its row."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cq.definitions import registry
from cq.definitions.signatures import Call
from cq.hooks.context import known

if TYPE_CHECKING:
    from .repeating_task import RepeatingTask


def call_of(schedule: RepeatingTask) -> Call:
    """Return the call that a schedule's tasks are.

    Raises UnknownTask, TypeError for arguments that don't fit the function, CodecError
    for stored ones that cannot be read, ValueError for an option with a value that it
    may not have.
    """
    definition = registry.get(schedule.name)
    args, kwargs = schedule.arguments()
    definition.check_arguments(args, kwargs)
    changes: dict[str, Any] = {}
    if schedule.queue:
        changes["queue"] = schedule.queue
    if schedule.priority is not None:
        changes["priority"] = schedule.priority
    if schedule.result_ttl is not None:
        changes["result_ttl"] = schedule.result_ttl
    if schedule.context is not None:
        changes["context"] = known(schedule.context)
    # Where the function has a unique key of its own, that keeps a second run away.
    if schedule.coalesce and definition.options.unique is None:
        changes["unique"] = coalescing_key(schedule)
    call = Call(definition, args, kwargs, changes)
    _ = call.options  # raises for a value that an option can't have
    return call


def coalescing_key(schedule: RepeatingTask) -> str:
    """Return the key that runs with these arguments hold until they settle.

    By it a run that is not done keeps others from being made, in whichever way it came
    to be open (a retry by hand, too), and one that is LOST or deleted doesn't. The
    schedule is a part of it, so that two never wait for each other.
    """
    texts = [schedule.name]
    for name in ("args", "kwargs"):
        field: Any = schedule._meta.get_field(name)
        texts.append(field.value_from_object(schedule))
    digest = sha256("\0".join(texts).encode()).hexdigest()
    return f"cq_scheduler:{schedule.pk}:{digest[:32]}"
