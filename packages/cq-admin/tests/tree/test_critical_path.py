"""The critical path, beside a calculation of its own: a tree that is run moment by moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from cq.status import Status
from cq_admin.tree.critical_path import (
    DELAY,
    QUEUE,
    RUN,
    TRIES,
    best_gain,
    critical_path,
)
from cq_admin.tree.nodes import Edge, Node
from cq_admin.tree.shape import branches

START = datetime(2030, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def pk(number: int) -> UUID:
    return UUID(int=number + 1)


class Planned(NamedTuple):
    """A task of a tree that is to be run."""

    parent: int | None
    after: tuple[int, ...]
    #: Seconds between the start of the parent's function and its record.
    recorded: int
    waits: int
    runs: int


@st.composite
def plans(draw: Any) -> list[Planned]:
    """Random trees, with dependencies between tasks of any of their branches."""
    count = draw(st.integers(1, 12))
    found = [Planned(None, (), 0, draw(st.integers(0, 5)), draw(st.integers(1, 9)))]
    for number in range(1, count):
        parent = draw(st.integers(0, number - 1))
        above = ancestors(found, parent)
        # Those that are not above it: what waits for its own parent never starts.
        others = [n for n in range(1, number) if n not in above]
        after = draw(st.sets(st.sampled_from(others), max_size=2)) if others else ()
        recorded = draw(st.integers(0, found[parent].runs))
        waits, runs = draw(st.integers(0, 5)), draw(st.integers(1, 9))
        found.append(Planned(parent, tuple(sorted(after)), recorded, waits, runs))
    return found


def ancestors(plan: list[Planned], number: int | None) -> set[int]:
    found = set()
    while number is not None:
        found.add(number)
        number = plan[number].parent
    return found


class Run:
    """A run of a plan: each event at its moment, with the event that it had to wait for."""

    def __init__(self, plan: list[Planned]) -> None:
        self.plan = plan
        self.when: dict[tuple[str, int], int] = {}
        self.because: dict[tuple[str, int], tuple[str, int] | None] = {}

    def event(self, kind: str, number: int) -> int:
        key = (kind, number)
        if key not in self.when:
            self.when[key] = getattr(self, f"_{kind}")(number)
        return self.when[key]

    def _latest(self, key: tuple[str, int], *found: tuple[str, int]) -> int:
        # Of several at one moment the one with the greatest id, as the path has it.
        latest = max(found, key=lambda e: (self.event(*e), e[1]))
        self.because[key] = latest
        return self.event(*latest)

    def _recorded(self, number: int) -> int:
        parent = self.plan[number].parent
        self.because["recorded", number] = None
        if parent is None:
            return 0
        self.because["recorded", number] = ("started", parent)
        return self.event("started", parent) + self.plan[number].recorded

    def _ready(self, number: int) -> int:
        recorded = self.event("recorded", number)
        befores = [("finished", n) for n in self.plan[number].after]
        late = [e for e in befores if self.event(*e) > recorded]
        return self._latest(("ready", number), *(late or [("recorded", number)]))

    def _started(self, number: int) -> int:
        self.because["started", number] = ("ready", number)
        return self.event("ready", number) + self.plan[number].waits

    def _finished(self, number: int) -> int:
        own = self.event("started", number) + self.plan[number].runs
        children = [
            ("finished", n) for n, p in enumerate(self.plan) if p.parent == number
        ]
        if children:
            # What it ended with is its last child, however long its own function took.
            last = self._latest(("finished", number), *children)
            return max(own, last)
        self.because["finished", number] = ("started", number)
        return own

    def tasks_on_path(self) -> list[int]:
        """The tasks that had time of their own on the way to the end, from the start on."""
        found: list[int] = []
        key: tuple[str, int] | None = ("finished", 0)
        while key is not None:
            before = self.because[key]
            spent = self.when[key] - (self.when[before] if before else 0)
            # The way to its record is time of the parent.
            owner = before[1] if key[0] == "recorded" and before else key[1]
            if spent and (not found or found[-1] != owner):
                found.append(owner)
            key = before
        return found[::-1]


def rows_of(plan: list[Planned], run: Run) -> dict[UUID, Node]:
    return {
        pk(n): Node(
            pk(n),
            None if p.parent is None else pk(p.parent),
            f"task{n}",
            Status.COMPLETE,
            "default",
            submitted=at(run.event("recorded", n)),
            ready=at(run.event("ready", n)),
            started=at(run.event("started", n)),
            finished=at(run.event("finished", n)),
        )
        for n, p in enumerate(plan)
    }


def ends(plan: list[Planned]) -> bool:
    """Tell whether no task waits for itself by way of others."""
    try:
        Run(plan).event("finished", 0)
    except RecursionError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(plans().filter(ends))
def test_it_is_the_way_that_a_run_has_taken(plan: list[Planned]) -> None:
    run = Run(plan)
    run.event("finished", 0)
    for number in range(len(plan)):
        run.event("finished", number)
    rows = rows_of(plan, run)
    edges = [Edge(pk(n), pk(b)) for n, p in enumerate(plan) for b in p.after]
    path = critical_path(rows, edges, pk(0), at(10_000))
    assert [node.int - 1 for node in path.tasks] == run.tasks_on_path()
    assert path.now is None
    assert not path.cut
    # Each moment belongs to one link.
    assert path.stretches[0].start == at(0)
    assert path.stretches[-1].end == at(run.event("finished", 0))
    for one, other in zip(path.stretches, path.stretches[1:], strict=False):
        assert one.end == other.start
    assert all(one.end > one.start for one in path.stretches)
    waited = sum(s.length.total_seconds() for s in path.stretches if s.kind == QUEUE)
    on_it = set(run.tasks_on_path())
    assert waited <= sum(plan[n].waits for n in on_it)


@settings(max_examples=100, deadline=None)
@given(plans())
def test_the_shape_is_that_of_the_parents_and_the_order_that_of_the_ids(
    plan: list[Planned],
) -> None:
    rows = {
        pk(n): Node(
            pk(n),
            None if p.parent is None else pk(p.parent),
            f"task{n}",
            Status.COMPLETE,
            "default",
            START,
        )
        for n, p in enumerate(plan)
    }
    shown: list[tuple[int, int]] = []
    pending = [branches(rows, pk(0))]
    while pending:
        branch = pending.pop()
        assert branch.node is not None
        shown.append((branch.node.id.int - 1, branch.depth))
        pending += reversed(branch.below)

    def walked(number: int, depth: int) -> list[tuple[int, int]]:
        below = [n for n, p in enumerate(plan) if p.parent == number]
        deeper = [found for n in below for found in walked(n, depth + 1)]
        return [(number, depth), *deeper]

    assert shown == walked(0, 0)


def node(
    number: int, parent: int | None = 0, status: Any = "COMPLETE", **at_: Any
) -> Node:
    times = {name: at(value) for name, value in at_.items() if name != "queue"}
    times.setdefault("submitted", START)
    queue = at_.get("queue", "default")
    above = None if parent is None else pk(parent)
    return Node(pk(number), above, f"task{number}", status, queue, **times)


def tree(*nodes: Node) -> dict[UUID, Node]:
    return {one.id: one for one in nodes}


def test_while_it_runs_it_is_the_path_so_far_and_what_it_waits_for() -> None:
    rows = tree(
        node(0, None, Status.WAITING, ready=0, started=1),
        node(1, finished=9, ready=0, started=2),
        node(2, status=Status.RUNNING, submitted=3, ready=9, started=12),
        node(3, status=Status.PENDING, submitted=3),
        node(4, status=Status.QUEUED, submitted=3),
    )
    edges = [Edge(pk(2), pk(1)), Edge(pk(3), pk(2), None)]
    path = critical_path(rows, edges, pk(0), at(20))
    assert path.now == rows[pk(2)]
    assert [one.int - 1 for one in path.tasks] == [1, 2]
    assert path.stretches[-1] == (rows[pk(2)], RUN, at(12), at(20))


def test_what_is_pending_waits_for_what_it_depends_on() -> None:
    rows = tree(
        node(0, None, Status.WAITING, started=0),
        node(1, status=Status.PENDING, submitted=1),
        node(2, None, Status.QUEUED, submitted=1),
    )
    path = critical_path(rows, [Edge(pk(1), pk(2), None)], pk(0), at(5))
    assert path.now == rows[pk(2)]
    assert path.stretches[-1].kind == QUEUE


def test_attempts_and_a_delay_are_told_from_the_queue() -> None:
    one = node(0, None, first_started=2, ready=8, started=9, finished=11, queue="slow")
    path = critical_path(tree(one), [], pk(0), at(99))
    kinds = [(s.kind, s.length.total_seconds()) for s in path.stretches]
    assert kinds == [(QUEUE, 2), (TRIES, 6), (QUEUE, 1), (RUN, 2)]
    late = node(0, None, ready=100, started=101, finished=103)
    path = critical_path(tree(late), [], pk(0), at(999))
    assert [s.kind for s in path.stretches] == [DELAY, QUEUE, RUN]
    gain = best_gain(path)
    # Somebody wanted it to wait for a hundred seconds.
    assert gain == (False, "task0", timedelta(seconds=2))


def test_the_most_may_be_won_in_a_queue() -> None:
    rows = tree(
        node(0, None, started=0, finished=30),
        node(1, ready=0, started=9, finished=14, queue="slow"),
        node(2, ready=14, started=25, finished=30, queue="slow"),
    )
    path = critical_path(rows, [Edge(pk(2), pk(1))], pk(0), at(99))
    assert best_gain(path) == (True, "slow", timedelta(seconds=20))


def test_no_tree_that_somebody_has_forged_is_walked_for_ever() -> None:
    rows = tree(
        node(0, 1, finished=5, started=1),
        node(1, 0, finished=5, started=1),
        node(2, 2, finished=5, started=1),
    )
    edges = [Edge(pk(1), pk(0)), Edge(pk(0), pk(1)), Edge(pk(2), pk(2))]
    critical_path(rows, edges, pk(0), at(9))
    branches(rows, pk(0))
    # Clocks that are wrong make nothing negative.
    back = node(0, None, submitted=50, ready=40, started=30, finished=20)
    assert critical_path(tree(back), [], pk(0), at(9)).stretches == []


def test_a_dependency_that_is_not_known_is_said() -> None:
    rows = tree(node(0, None, started=1, finished=2))
    assert critical_path(rows, [Edge(pk(0), pk(7))], pk(0), at(9)).cut
