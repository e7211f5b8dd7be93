"""How an idle worker starts what was committed: by its doorbell, not by looking.

How soon that is, `hatch run bench latency` measures: a suite beside others has no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import transaction
from floor import tasks
from processes import PATIENCE
from sites import BELL_ALONE, flags

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Workers

    from cq.models import Task

TASKS = 30


def committed() -> Task:
    with transaction.atomic():
        return tasks.noop.delay()


@pytest.mark.direct
@pytest.mark.backend("postgres", "valkey")
def test_the_bell_alone_starts_what_was_committed(
    workers: Workers, tmp_path: Path
) -> None:
    workers.start(*flags(tmp_path, **BELL_ALONE))
    # One by one, so that the worker is idle before each.
    for _ in range(TASKS):
        committed().wait(PATIENCE)
