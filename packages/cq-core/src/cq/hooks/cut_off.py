"""The tasks that ended outside of a run, for middleware that keeps something open for them.

What is LOST or revoked ends in a process that may not run it. A middleware with an
attribute `cut_off` has that called with the row, in this process, after the commit.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction

from cq.conf import conf
from cq.status import FINAL, Status

from . import announce
from .hearing import hearing
from .middleware import middleware

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.runner")


def tell(using: str, ids: Sequence[UUID]) -> None:
    """Tell which tasks have ended so, after the commit; nothing without middleware."""
    if ids and conf.MIDDLEWARE:
        send = partial(_tell, using, list(ids))
        transaction.on_commit(send, using=using, robust=True)


def _tell(using: str, ids: list[UUID]) -> None:
    if not (told := _who_wants_to_know()):
        return
    for task in announce.rows(using, ids):
        # WAITING: what it did is taken back, and it runs no more either.
        if task.status in FINAL or task.status == Status.WAITING:
            for function in told:
                try:
                    with hearing():
                        function(task)
                except Exception:
                    logger.exception("cut_off of %s %s failed", task.name, task.pk)


def _who_wants_to_know() -> list[Callable[[TaskRow], object]]:
    found = middleware()
    layers = () if found is None else (*found.outside, *found.inside)
    functions = (getattr(layer.function, "cut_off", None) for layer in layers)
    return [function for function in functions if function is not None]
