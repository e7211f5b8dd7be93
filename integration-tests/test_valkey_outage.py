"""Valkey goes and comes back; nobody who enqueues notices, and no task is lost."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from floor import tasks
from processes import PATIENCE, until
from ringing import heard, until_all_have_run
from sites import BELL_ALONE, flags

from cq.models import Task
from cq_channels.channel_layers import layers

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Workers

pytestmark = pytest.mark.backend("valkey")

DEAF = "the doorbell is out of order"


def seconds_to_enqueue(count: int = 100) -> float:
    """The least that one `.delay()` took: what else this machine does is not in it."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        tasks.noop.delay()
        taken.append(time.perf_counter() - began)
    return min(taken)


def test_row_04_the_table_is_enough_and_the_bell_rings_again(
    workers: Workers, valkey_server: Any, tmp_path: Path
) -> None:
    worker = workers.start(*flags(tmp_path, **BELL_ALONE))
    tasks.noop.delay().wait(PATIENCE)
    valkey_server.stop()
    worker.wait_for_output(DEAF)
    # Who is deaf looks at the table each second, however seldom it does so else.
    for _ in range(5):
        tasks.noop.delay().wait(PATIENCE)
    valkey_server.start()
    until(heard, "the bell again")
    worker.wait_for_output("the doorbell is heard again, after")
    assert worker.output.count(DEAF) == 1
    assert worker.output.count("WARNING") == 2, worker.output
    assert "Traceback" not in worker.output
    assert " ERROR " not in worker.output
    assert worker.popen.poll() is None
    until_all_have_run()


def test_row_04_what_was_enqueued_without_valkey_starts_without_it(
    workers: Workers, valkey_server: Any
) -> None:
    valkey_server.stop()
    handles = tasks.effect.delay_many([(n,) for n in range(20)])
    workers.start()
    assert [h.wait(PATIENCE).status for h in handles] == ["COMPLETE"] * 20


@pytest.mark.django_db(transaction=True)
def test_row_04_enqueueing_costs_the_same_without_valkey(valkey_server: Any) -> None:
    seconds_to_enqueue(10)
    before = seconds_to_enqueue()
    valkey_server.stop()
    without = seconds_to_enqueue()
    valkey_server.start()
    after = seconds_to_enqueue()
    # A refused connection is quick, a time-out takes seconds; neither may be in it.
    assert without <= 3 * max(before, after)
    assert Task.objects.filter(status="QUEUED").count() == 310


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("running", [True, False])
def test_row_04_the_one_who_enqueues_never_touches_the_layer(
    running: bool, valkey_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layers.layer("default")
    by: list[int] = []
    sent = threading.Event()
    send = type(layer).send

    async def noted(self: Any, channel: str, message: dict[str, Any]) -> None:
        by.append(threading.get_ident())
        sent.set()
        await send(self, channel, message)

    monkeypatch.setattr(type(layer), "send", noted)
    if not running:
        valkey_server.stop()
    tasks.noop.delay()
    assert sent.wait(PATIENCE)
    assert threading.get_ident() not in by
