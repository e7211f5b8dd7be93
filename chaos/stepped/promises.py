"""What must hold of tasks that are made of steps, each checked against the ledger."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from checking import Check
from evidence import describe, is_stepped

from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evidence import Evidence

    from cq.models import Task

#: What succeeds after some tries, each of which leaves a row.
TRIED_AGAIN = "stumble"


def once(evidence: Evidence) -> Check:
    check = Check("the effect of a step is there once, and of a COMPLETE task all are")
    for task, row, who in _stepped(evidence):
        deeds = [d for d in evidence.ledger.deeds.get(task, []) if d.atomic]
        times = Counter(deed.what for deed in deeds)
        for what, count in times.items():
            check.must(count == 1, f"{who}: {what!r} was done {count} times")
        for deed in deeds:
            check.must(deed.fence <= row.fence, f"{who}: {deed.what!r} has no claim")
        for before, after in pairwise(deeds):
            in_turn = before.fence <= after.fence
            check.must(in_turn, f"{who}: {after.what!r} was done under a lost claim")
        if row.status == Status.COMPLETE:
            found = {deed.what for deed in evidence.ledger.deeds.get(task, [])}
            wanted = WANTED[row.name](row.result)
            check.must(found == wanted, f"{who}: {found} was done, and not {wanted}")
    return check


def outside(evidence: Evidence) -> Check:
    check = Check("a step outside of a transaction is called once by each run at most")
    for task, _, who in _stepped(evidence):
        deeds = [d for d in evidence.ledger.deeds.get(task, []) if not d.atomic]
        for (what, fence), n in Counter((d.what, d.fence) for d in deeds).items():
            right = n == 1 or what == TRIED_AGAIN
            check.must(right, f"{who}: {what!r} was called {n} times under {fence}")
    return check


def taken_back(evidence: Evidence) -> Check:
    check = Check(
        "what was done is taken back once, newest first, if its task ended badly"
    )
    ledger = evidence.ledger
    for task, row, who in _stepped(evidence):
        undos = {undo.deed: undo.by for undo in ledger.undos.get(task, [])}
        for deed in ledger.deeds.get(task, []):
            by = evidence.rows.get(undos.get(deed.id) or "")
            bad = row.status != Status.COMPLETE
            if bad and (deed.undoable or deed.id in undos):
                check.must(by is not None, f"{who}: nothing takes {deed.what!r} back")
            wanted = int(bad and by is not None and by.status == Status.COMPLETE)
            right = deed.undone == wanted
            check.must(right, f"{who}: {deed.what!r} was undone {deed.undone} times")
        for before, after in pairwise(ledger.undone.get(task, [])):
            check.must(before > after, f"{who}: {after} was undone before {before}")
    return check


def many_rows(evidence: Evidence) -> Check:
    check = Check("of many rows each is done once")
    for task, row, who in _stepped(evidence):
        items = evidence.ledger.items.get(task, [])
        check.must(not items or max(items) <= 1, f"{who}: a row was done twice")
        if row.status == Status.COMPLETE and row.name == "work.steps.stocktaking":
            check.must(len(items) == sum(items) == row.result, f"{who}: {items}")
    return check


def sent(evidence: Evidence) -> Check:
    check = Check("what was sent is taken once, in its order, and none in vain")
    told = evidence.told
    for task, row, who in _stepped(evidence):
        in_time = task in told.sent
        if row.name == "work.steps.order" and in_time:
            in_vain = row.exception == "work.steps.Declined"
            check.must(not in_vain, f"{who}: it was approved")
        if row.status != Status.COMPLETE:
            continue
        if row.name == "work.steps.mailbox":
            wanted = list(range(told.facts.get(task, {}).get("count", 0)))
            right = row.result == wanted[: None if in_time else len(row.result)]
            check.must(right, f"{who}: it has taken {row.result} of {wanted}")
        if row.name == "work.steps.subscriber":
            right = row.result in ([[0, None]] if in_time else PUBLISHED)
            check.must(right, f"{who}: it has heard {row.result}")
        if row.name == "work.steps.journey" and in_time:
            deeds = {deed.what for deed in evidence.ledger.deeds.get(task, [])}
            check.must("letter 0" in deeds, f"{who}: {deeds}")
    return check


def none_open(evidence: Evidence) -> Check:
    check = Check("a COMPLETE task has no open step")
    for task, row, who in _stepped(evidence):
        if row.status == Status.COMPLETE:
            left = evidence.ledger.open.get(task, [])
            check.must(not left, f"{who}: {', '.join(left)}")
    return check


CHECKS = (once, outside, taken_back, many_rows, sent, none_open)

#: What a subscriber may return of what may have come too late for it.
PUBLISHED: list[Any] = [[0, None], [None, 0], [None, None]]


def _some(*what: str) -> Callable[[Any], set[str]]:
    return lambda result: set(what)


def _each(what: str) -> Callable[[Any], set[str]]:
    return lambda count: {f"{what} {n}" for n in range(count)}


def _letters(taken: list[Any]) -> set[str]:
    return {f"letter {n}" for n in taken}


#: What a task has done when it is COMPLETE, by its name and its result.
WANTED: dict[str, Callable[[Any], set[str]]] = {
    "work.steps.order": _some("charge", "letter 0", "items", "reserve"),
    "work.steps.mailbox": _letters,
    "work.steps.subscriber": lambda heard: _letters([n for n in heard[:1] if n == 0]),
    "work.steps.stocktaking": _some("shelves"),
    "work.steps.rounds": _each("round"),
    "work.steps.errands": _some("mail", "stumble", "instead"),
    "work.steps.journey": lambda letter: {"book", "call", f"letter {letter}"},
    "work.steps.patchwork": _each("piece"),
    # It never is.
    "work.steps.trip": _some(),
}


def _stepped(evidence: Evidence) -> Iterator[tuple[str, Task, str]]:
    """Give each such task: its id, its row, and what to call it."""
    for task, row in evidence.rows.items():
        if is_stepped(row):
            yield task, row, describe(row)
