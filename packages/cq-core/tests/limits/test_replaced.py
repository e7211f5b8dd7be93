"""A call that `debounce` replaces while it is claimed starts by its own limits, or not yet."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.models import F
from meanwhile import Before

from cq import Limit, task
from cq.db.clock import database_now
from cq.limits.claims.pairs import open_pairs
from cq.limits.newcomers import admit
from cq.maintenance import sweep
from cq.models import Place, Task
from cq.status import Status

if TYPE_CHECKING:
    from cq.limits.claims.claiming import LaneClaims

pytestmark = pytest.mark.django_db

DB = "default"


@task(
    "replaced.index",
    unique="replaced",
    debounce=60,
    limits=[Limit(concurrency=1, key="{key}")],
)
def index(cqt: Any, key: str) -> None: ...


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def claimed(claims: LaneClaims) -> list[Any]:
    while admit(DB):
        pass
    pairs = open_pairs(DB, None, None)
    return [found for pair in pairs for found in claims.claim(pair, 10).tasks]


def test_what_is_replaced_between_look_and_claim_is_not_claimed(
    claims: LaneClaims,
) -> None:
    made = index.delay("one")
    # So long ago that no call puts it off any more.
    Task.objects.update(submitted=F("submitted") - timedelta(hours=1))
    sweep.due(DB, database_now(DB) + timedelta(seconds=61))
    assert Task.objects.get(pk=made.pk).status == Status.QUEUED
    taking = ("INSERT INTO cq_places", "INSERT IGNORE INTO cq_places")
    replacing = Before(taking, lambda: index.delay("other"))

    while admit(DB):
        pass
    with connection.execute_wrapper(replacing):
        found = claimed(claims)
    assert replacing.done

    assert found == []
    assert not Place.objects.exists()
    waiting = Task.objects.get(pk=made.pk)
    assert (waiting.status, waiting.args, waiting.attempts) == (
        Status.QUEUED,
        ("other",),
        0,
    )
    assert [t.pk for t in claimed(claims)] == [made.pk]
    assert Place.objects.get().key == "other"
