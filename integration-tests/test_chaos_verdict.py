"""The judge of the chaos run sees each kind of breach; one that can't proves nothing."""

from __future__ import annotations

import importlib
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

CHAOS = str(Path(__file__).resolve().parent.parent / "chaos")
NOW = timezone.now()


@pytest.fixture(scope="module")
def judge() -> Any:
    """The module, of a program that is no package."""
    sys.path.append(CHAOS)
    try:
        yield importlib.import_module("verdict")
    finally:
        sys.path.remove(CHAOS)


@pytest.fixture
def case(judge: Any) -> Callable[..., Any]:
    """Evidence of one task, and of its runs by fence."""
    from evidence import Evidence, Run
    from journal import Told

    def made(
        name: str = "write",
        runs: tuple[int, ...] = (),
        told: dict[str, Any] | None = None,
        **values: Any,
    ) -> Any:
        task = Task(name=f"work.tasks.{name}", **values)
        rows = {str(task.pk): task}
        said = Told(state={str(task.pk): "committed"}, **(told or {}))
        ledger = {str(task.pk): [Run(fence, True) for fence in runs]}
        outside = frozenset({"work.tasks.outside"})
        return Evidence(said, rows, ledger, outside)

    return made


DONE = {"status": Status.COMPLETE, "result": "x", "fence": 1, "attempts": 1}
GONE = {"status": Status.LOST, "fence": 2, "attempts": 1, "losses": 1}

BREACHES: list[tuple[str, dict[str, Any]]] = [
    ("none_lost", {"status": Status.RUNNING}),
    ("atomic_effects", {**DONE, "runs": ()}),
    ("atomic_effects", {**DONE, "runs": (1, 2)}),
    # It has failed, and what it wrote is there.
    ("atomic_effects", {"status": Status.FAILURE, "runs": (1,)}),
    ("atomic_effects", {"status": Status.REVOKED, "runs": (1,)}),
    ("atomic_effects", {**GONE, "runs": (1,)}),
    ("runs_outside", {**DONE, "name": "outside", "runs": (1, 2)}),
    ("runs_outside", {**DONE, "name": "outside", "runs": (1, 1), "losses": 1}),
    ("runs_outside", {**DONE, "name": "outside", "runs": ()}),
    # A loss, but it was not to be run again.
    ("at_most_once", {**GONE, "name": "outside", "runs": (1, 2), "rerun_lost": False}),
    ("failures", {"status": Status.FAILURE, "exception": "builtins.KeyError"}),
    ("in_time", {**DONE, "run_after": NOW, "started": NOW - timedelta(minutes=1)}),
    ("claims_counted", {**DONE, "fence": 2}),
    ("poisons", {**GONE, "name": "poison"}),
    # No subtask of it has failed.
    ("failures", {"status": Status.FAILURE, "exception": "cq.errors.TaskFailed"}),
]


def test_who_comes_before_there_is_room_is_seen(
    judge: Any, case: Callable[..., Any]
) -> None:
    def after(*seconds: int) -> Any:
        return tuple(NOW + timedelta(seconds=n) for n in seconds)

    evidence = case(**DONE)
    # Who goes as another comes has made room; of who was killed as he came nothing is known.
    evidence.stays["1"] = [after(0, 2), after(1, 3), after(2, 4), (NOW, None)]
    evidence.metered = [NOW + timedelta(seconds=n / 40) for n in range(400)]
    assert judge.limits(evidence).broken == []

    evidence.stays["1"].append(after(2, 3))
    evidence.metered += [NOW + timedelta(seconds=5)]
    assert len(judge.limits(evidence).broken) == 2


@pytest.mark.parametrize(("check", "values"), BREACHES)
def test_a_breach_is_seen(
    judge: Any, case: Callable[..., Any], check: str, values: dict[str, Any]
) -> None:
    assert getattr(judge, check)(case(**values)).broken


KEPT: list[tuple[str, dict[str, Any]]] = [
    ("none_lost", DONE),
    ("atomic_effects", {**DONE, "runs": (1,)}),
    ("atomic_effects", {"status": Status.FAILURE, "runs": ()}),
    # Revoked while it waited for its subtasks: its function had succeeded.
    ("atomic_effects", {**DONE, "status": Status.REVOKED, "runs": (1,)}),
    ("runs_outside", {**DONE, "name": "outside", "runs": (1,)}),
    (
        "runs_outside",
        {
            **DONE,
            "name": "outside",
            "runs": (1, 3),
            "losses": 1,
            "attempts": 2,
            "fence": 3,
        },
    ),
    ("runs_outside", {**DONE, "name": "outside", "runs": (1, 2), "failures": 1}),
    ("at_most_once", {**GONE, "name": "outside", "runs": (1,), "rerun_lost": False}),
    ("failures", {"status": Status.FAILURE, "exception": "django.db.utils.Error"}),
    ("in_time", {**DONE, "run_after": NOW, "started": NOW}),
    ("claims_counted", {**DONE, "fence": 5, "losses": 2}),
    ("poisons", {**GONE, "name": "poison", "losses": 3}),
]


@pytest.mark.parametrize(("check", "values"), KEPT)
def test_what_is_as_it_should_be_is_let_pass(
    judge: Any, case: Callable[..., Any], check: str, values: dict[str, Any]
) -> None:
    found = getattr(judge, check)(case(**values))

    assert not found.broken
    assert found.looked_at


def test_a_committed_enqueue_without_a_row_is_lost(
    judge: Any, case: Callable[..., Any]
) -> None:
    evidence = case(**DONE)
    evidence.rows.clear()

    assert judge.none_lost(evidence).broken


def test_a_run_without_a_row_is_seen(judge: Any, case: Callable[..., Any]) -> None:
    evidence = case(**DONE, runs=(1,))
    evidence.rows.clear()

    assert judge.none_from_nowhere(evidence).broken


def test_a_row_of_what_was_rolled_back_is_seen(
    judge: Any, case: Callable[..., Any]
) -> None:
    evidence = case(**DONE)
    evidence.told.state = dict.fromkeys(evidence.rows, "rolled back")

    assert judge.none_from_nowhere(evidence).broken


def test_a_revocation_that_was_told_and_did_not_happen_is_seen(
    judge: Any, case: Callable[..., Any]
) -> None:
    evidence = case(**DONE)
    evidence.told.revoked = set(evidence.rows)

    assert judge.revocations(evidence).broken


def test_a_wrong_result_is_seen(judge: Any, case: Callable[..., Any]) -> None:
    evidence = case(**DONE)
    evidence.told.facts = {pk: {"result": "y"} for pk in evidence.rows}

    assert judge.results(evidence).broken
    evidence.told.facts = {pk: {"result": "x"} for pk in evidence.rows}
    assert not judge.results(evidence).broken


def test_a_journal_cut_short_by_a_kill_is_read(judge: Any, tmp_path: Path) -> None:
    import journal

    said = journal.Journal(tmp_path / "one.journal")
    said.write(journal.MADE, "a", result=1)
    said.write(journal.COMMITTED, "a")
    said.write(journal.MADE, "b")
    said.write(journal.MADE, "c")
    said.write(journal.ROLLED_BACK, "c")
    with (tmp_path / "one.journal").open("a") as file:
        file.write('["committed", "b')

    told = journal.read(tmp_path)

    assert told.ids(journal.COMMITTED) == ["a"]
    assert told.ids(journal.MADE) == ["b"]
    assert told.ids(journal.ROLLED_BACK) == ["c"]
    assert told.facts["a"] == {"result": 1}
