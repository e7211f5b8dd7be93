"""A plan as it was before it was written, for a try that has to begin again."""

from __future__ import annotations

from copy import copy
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .plan import Plan


class AsPlanned:
    """The drafts and edges of a plan, and what those drafts were."""

    def __init__(self, plan: Plan) -> None:
        self._drafts, self._edges = list(plan.drafts), list(plan.edges)
        #: What others stand for, or have begun before, is changed as that is found.
        self._keyed = [(d, copy(d)) for d in plan.drafts if d.kept_key is not None]

    def restore(self, plan: Plan) -> None:
        plan.drafts, plan.edges = list(self._drafts), list(self._edges)
        for draft, before in self._keyed:
            for column in fields(draft):
                setattr(draft, column.name, getattr(before, column.name))
