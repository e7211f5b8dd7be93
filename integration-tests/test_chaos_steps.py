"""The judge of the chaos run sees each kind of breach by a task that is made of steps."""

from __future__ import annotations

from typing import Any

import pytest
from test_chaos_verdict import judge  # noqa: F401 - a fixture

from cq.models import Task
from cq.status import Status

ORDER = ("charge", "letter 0", "items", "reserve")
DONE = {"status": Status.COMPLETE, "fence": 4, "attempts": 1}
FAILED = {
    "status": Status.FAILURE,
    "fence": 4,
    "attempts": 1,
    "exception": "work.steps.Declined",
}


@pytest.fixture
def of(judge: Any) -> Any:  # noqa: F811
    """Evidence of one such task: what its steps did, and what was taken back of it."""
    from evidence import Evidence
    from journal import Told
    from stepped.ledger import Deed, Ledger, Undo

    def made(
        name: str,
        deeds: Any = (),
        undone: tuple[int, ...] = (),
        undos: tuple[int, ...] = (),
        told: dict[str, Any] | None = None,
        items: list[int] | None = None,
        opened: list[str] | None = None,
        **values: Any,
    ) -> Any:
        task = Task(name=f"work.steps.{name}", **values)
        undo = Task(name="work.tasks.take_back", status=Status.COMPLETE)
        key = str(task.pk)
        rows = {str(row.pk): row for row in (task, undo)}
        facts = (told or {}).get("facts", {})
        said = Told(
            facts={key: facts}, sent={key} if (told or {}).get("sent") else set()
        )
        done = [
            Deed(**{"id": n, "fence": 1, **(d if isinstance(d, dict) else {"what": d})})
            for n, d in enumerate(deeds, start=1)
        ]
        done = [deed._replace(undone=undone.count(deed.id)) for deed in done]
        ledger = Ledger(
            {key: done},
            {key: list(undone)},
            {key: [Undo(deed, str(undo.pk)) for deed in undos]},
            {key: opened or []},
            {key: items or []},
        )
        return Evidence(said, rows, {}, frozenset(), ledger=ledger)

    return made


def undoable(what: str) -> dict[str, Any]:
    return {"what": what, "undoable": True}


def at(what: str, fence: int, **more: Any) -> dict[str, Any]:
    return {"what": what, "fence": fence, **more}


PARTS = (undoable("book 0"), undoable("book 1"))
LETTERS = ("letter 0", "letter 1")

BREACHES: list[tuple[str, dict[str, Any]]] = [
    ("once", {**DONE, "name": "order", "deeds": (*ORDER, "charge")}),
    ("once", {**DONE, "name": "order", "deeds": ORDER[1:]}),
    # What raised, and what was sent in a transaction that rolled back.
    ("once", {**DONE, "name": "order", "deeds": (*ORDER, "letter none")}),
    ("once", {**FAILED, "name": "order", "deeds": ("charge", "charge")}),
    # By a run that had lost its claim, and by one that never had one.
    ("once", {**FAILED, "name": "trip", "deeds": (at("a", 3), at("b", 1))}),
    ("once", {**FAILED, "name": "trip", "deeds": (at("a", 5),)}),
    (
        "outside",
        {**FAILED, "name": "errands", "deeds": [at("mail", 1, atomic=False)] * 2},
    ),
    ("taken_back", {**FAILED, "name": "trip", "deeds": PARTS}),
    ("taken_back", {**FAILED, "name": "trip", "deeds": PARTS, "undos": (1, 2)}),
    (
        "taken_back",
        {
            **FAILED,
            "name": "trip",
            "deeds": PARTS,
            "undos": (1, 2),
            "undone": (2, 1, 1),
        },
    ),
    (
        "taken_back",
        {**FAILED, "name": "trip", "deeds": PARTS, "undos": (1, 2), "undone": (1, 2)},
    ),
    (
        "taken_back",
        {**DONE, "name": "order", "deeds": PARTS, "undos": (1, 2), "undone": (2,)},
    ),
    ("many_rows", {**FAILED, "name": "stocktaking", "items": [1, 2]}),
    ("many_rows", {**DONE, "name": "stocktaking", "result": 2, "items": [1, 0]}),
    ("sent", {**DONE, "name": "mailbox", "result": [1, 0], "count": 2}),
    ("sent", {**DONE, "name": "mailbox", "result": [0, 0], "count": 2}),
    ("sent", {**DONE, "name": "mailbox", "result": [0], "count": 2, "sent": True}),
    ("sent", {**DONE, "name": "subscriber", "result": [0, 0]}),
    ("sent", {**DONE, "name": "subscriber", "result": [None, 0], "sent": True}),
    ("sent", {**DONE, "name": "journey", "deeds": ("letter none",), "sent": True}),
    ("sent", {**FAILED, "name": "order", "sent": True}),
    ("none_open", {**DONE, "name": "order", "opened": ["approval"]}),
]


def given(of: Any, values: dict[str, Any]) -> Any:
    values = dict(values)
    told = {"sent": values.pop("sent", False)}
    if "count" in values:
        told["facts"] = {"count": values.pop("count")}
    return of(told=told, **values)


@pytest.mark.parametrize(("check", "values"), BREACHES)
def test_a_breach_is_seen(of: Any, check: str, values: dict[str, Any]) -> None:
    from stepped import promises

    assert getattr(promises, check)(given(of, values)).broken


KEPT: list[tuple[str, dict[str, Any]]] = [
    ("once", {**DONE, "name": "order", "deeds": ORDER}),
    ("once", {**FAILED, "name": "order", "deeds": ORDER[:1]}),
    ("once", {**DONE, "name": "mailbox", "result": [0, 1], "deeds": LETTERS}),
    ("once", {**FAILED, "name": "trip", "deeds": (at("a", 1), at("b", 3))}),
    (
        "outside",
        {
            **FAILED,
            "name": "errands",
            "deeds": (at("mail", 1, atomic=False), at("mail", 3, atomic=False)),
        },
    ),
    (
        "taken_back",
        {**FAILED, "name": "trip", "deeds": PARTS, "undos": (1, 2), "undone": (2, 1)},
    ),
    ("taken_back", {**DONE, "name": "order", "deeds": PARTS, "undos": (1, 2)}),
    ("many_rows", {**DONE, "name": "stocktaking", "result": 2, "items": [1, 1]}),
    ("sent", {**DONE, "name": "mailbox", "result": [0, 1], "count": 2, "sent": True}),
    # They came too late.
    ("sent", {**DONE, "name": "mailbox", "result": [0], "count": 2}),
    ("sent", {**DONE, "name": "subscriber", "result": [None, None]}),
    ("sent", {**DONE, "name": "subscriber", "result": [0, None], "sent": True}),
    ("none_open", {**DONE, "name": "order"}),
]


@pytest.mark.parametrize(("check", "values"), KEPT)
def test_what_is_as_it_should_be_is_let_pass(
    of: Any, check: str, values: dict[str, Any]
) -> None:
    from stepped import promises

    found = getattr(promises, check)(given(of, values))

    assert not found.broken
    assert found.looked_at
