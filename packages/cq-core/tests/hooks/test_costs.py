"""What hooks cost a project that has none: no statement, no object."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from driving import claim

from cq import task
from cq.hooks import announce
from cq.hooks.around import around
from cq.hooks.context import captured
from cq.hooks.sending import sendings

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


@task
def plain(cqt: Any) -> None: ...


def blocks_of(call: Callable[[], Any]) -> int:
    """How many blocks of memory a thousand calls leave, or hold while they last.

    The least of some tries: other threads of this process have blocks of their own.
    """
    call()
    tries = []
    for _ in range(5):
        before = sys.getallocatedblocks()
        for _ in range(1000):
            call()
        tries.append(sys.getallocatedblocks() - before)
    return min(tries)


def test_without_hooks_nothing_is_made(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    claimed = claim(plain.delay())
    ids = [claimed.pk]

    assert around(claimed) is None
    assert captured() is None
    assert sendings() is None
    for call in (
        lambda: around(claimed),
        captured,
        sendings,
        lambda: announce.started(claimed),
        lambda: announce.settled("default", ids),
    ):
        assert blocks_of(call) < 10
