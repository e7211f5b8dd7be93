"""The calls that wait and that this code cannot make: a look before a deploy. Reads only."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from cq import codec
from cq.definitions import registry
from cq.definitions.fitting import BY_POSITION, Misfit, misfits
from cq.errors import CodecError, UnknownTask

from .waiting_calls import pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .waiting_calls import WaitingCall


#: Reasons that are told apart. Of what cannot be read each text may be one of its own.
MAX_FINDINGS = 500


class Finding(NamedTuple):
    """The calls of one task that don't fit for one reason."""

    task: str
    #: "": it is not a parameter that is wrong.
    parameter: str
    problem: str
    #: How many there are, and what some of them are: ("task" or "schedule", its id).
    total: int
    calls: list[tuple[str, str]]


class Report(NamedTuple):
    """The findings of a look, and how much was looked at."""

    findings: list[Finding]
    #: Calls, by "task" and "schedule".
    looked_at: dict[str, int]
    #: Whether that was all of them.
    whole: bool


def unfit_calls(using: str, *, limit: int = 5, seconds: float = 60.0) -> Report:
    """Look at all calls that wait; `limit` of them at most are named for each reason.

    seconds: when it ends, however many are left.
    """
    end = time.monotonic() + seconds
    totals: Counter[tuple[str, Misfit]] = Counter()
    named: dict[tuple[str, Misfit], list[tuple[str, str]]] = {}
    looked_at: Counter[str] = Counter()
    whole = True
    for page in pages(using):
        if time.monotonic() >= end:
            whole = False
            break
        for call in page:
            looked_at[call.kind] += 1
            for misfit in _misfits(call):
                reason = (call.name, misfit)
                if reason not in totals and len(totals) >= MAX_FINDINGS:
                    reason = (call.name, Misfit("", "does not fit"))
                totals[reason] += 1
                some = named.setdefault(reason, [])
                if len(some) < limit:
                    some.append((call.kind, call.id))
    findings = [
        Finding(name, *misfit, total, named[name, misfit])
        for (name, misfit), total in sorted(totals.items())
    ]
    return Report(findings, dict(looked_at), whole)


def _misfits(call: WaitingCall) -> Iterator[Misfit]:
    try:
        definition = registry.get(call.name)
    except UnknownTask:
        yield Misfit("", "is no task here")
        return
    try:
        given = codec.read_apart(call.args, call.kwargs)
    except CodecError as error:
        yield Misfit("", f"cannot be read: {error}")
        return
    parameters = definition.signature.parameters.values()
    positions = [p.name for p in parameters if p.kind in BY_POSITION]
    for number, broken in enumerate(given.args):
        if broken is not None:
            known = number < len(positions)
            name = positions[number] if known else f"argument {number + 1}"
            yield Misfit(name, f"cannot be read: {broken}")
    for name, broken in given.kwargs.items():
        if broken is not None:
            yield Misfit(name, f"cannot be read: {broken}")
    if not call.takes_result:
        yield from misfits(definition, len(given.args), list(given.kwargs))
