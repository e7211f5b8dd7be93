"""What a durable run enqueues outside of its steps: a step by itself, found by a rerun."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

from cq.codec import Encoded, group_marker
from cq.tables.durable.rows import LONGEST_STEP, STANDS, StepRow

from .names import digest_of_texts
from .steps import Steps
from .writing import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cq.enqueue.drafts import Draft
    from cq.enqueue.plan import Plan


class DurableSteps(Steps):
    """The steps of a durable run, of which each thing that it enqueues is one."""

    def enqueues(self, plan: Plan) -> Enqueued:
        """Return the step that a plan is, which the function enqueues now."""
        return Enqueued(self, plan)


class Enqueued:
    """The step that a plan is, which is written by :mod:`cq.enqueue.recording`."""

    def __init__(self, steps: Steps, plan: Plan) -> None:
        self._steps = steps
        #: As planned: what another task stands for is not written.
        self._drafts = list(plan.drafts)
        name = plan.drafts[0].name[:LONGEST_STEP]
        digest = digest_of_texts(_texts(plan))
        self.step = steps.come_to(StepRow.RECORD, name, steps.key, digest)
        #: Whether an earlier run has made these tasks.
        self.found = not self.step.is_open
        if self.found:
            self._find(plan)

    def write(self, plan: Plan) -> None:
        """Write which tasks they are, in the transaction that makes them."""
        live = plan.standing_for
        ids = [
            f"{STANDS}{live[draft.id].hex}" if draft.id in live else draft.id.hex
            for draft in self._drafts
        ]
        self.step.result = Encoded(json.dumps(ids))
        self._steps.write(self.step, finished=NOW)

    def took(self) -> None:
        """Take note that they are written."""
        self.step.ended = True
        self._steps.took(self.step)

    def _find(self, plan: Plan) -> None:
        """Give the drafts the ids of then: the handles of these are what was returned."""
        texts: list[str] = json.loads(self.step.result or "[]")
        then = {
            draft.id: UUID(text.removeprefix(STANDS))
            for draft, text in zip(self._drafts, texts, strict=True)
        }
        for draft, text in zip(self._drafts, texts, strict=True):
            _rename(draft, then)
            if text.startswith(STANDS):
                plan.standing_for[draft.id] = draft.id


def _rename(draft: Draft, then: dict[UUID, UUID]) -> None:
    draft.id = then[draft.id]
    if draft.result is not None:  # of a group, which is made of its members'
        draft.result = group_marker(draft.id)
    draft.root_id = then.get(draft.root_id, draft.root_id)
    for name in ("parent_id", "previous_id", "result_from"):
        other = getattr(draft, name)
        setattr(draft, name, then.get(other, other))


def _texts(plan: Plan) -> Iterator[str]:
    """Yield what tells a plan from others: its calls, and what they wait for."""
    numbers = {draft.id: number for number, draft in enumerate(plan.drafts)}
    for draft in plan.drafts:
        yield from (draft.name, draft.args, draft.kwargs)
    for task, other, position, when in plan.edges:
        yield f"{numbers[task]} {numbers.get(other, other)} {position} {when}"
