"""Messages, topics and questions where something else goes wrong."""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from driving import fresh, run

import cq
from cq import task
from cq.codec import Encoded
from cq.durable import messages as durable_messages
from cq.durable.events import questions
from cq.maintenance import rounds, sweep
from cq.maintenance.audited import steps as audited
from cq.models import Message, Publication, Step
from cq.status import Status
from cq.tables.durable.queries import open_waits, untaken
from cq.workflow.events import messages, topics

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2050, 1, 1, 12, tzinfo=UTC)
script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()


@task(durable=True)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@task(durable=True)
def waits(cqt: Any) -> Any:
    return cqt.wait_for("approval")


@task(durable=True)
def sleeps(cqt: Any) -> Any:
    cqt.sleep("long", days=1)
    return [cqt.wait_for("early") for _ in range(3)]


@task(durable=True)
def asks(cqt: Any) -> Any:
    return cqt.ask("Refund?", ["yes", "no"], timeout=60, default="nobody")


def broken(*_: Any) -> None:
    raise RuntimeError("the database has just gone")


def test_who_sends_does_not_see_that_the_waking_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    handle = run(waits.delay())
    monkeypatch.setattr("cq.durable.messages.wake", broken)
    assert handle.send("approval", 1)
    with transaction.atomic():
        assert handle.send("approval", 2)
    assert Message.objects.count() == 2
    assert "the database has just gone" in caplog.text


def test_nor_who_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cq.durable.events.topics.deliver", broken)
    assert cq.publish("paid", 1)
    assert Publication.objects.count() == 1


def test_nor_who_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = run(asks.delay())
    monkeypatch.setattr("cq.durable.events.questions.wake", broken)
    questions.answer("default", handle.pk, "yes", "ann")
    assert Message.objects.get().author == "ann"


def test_the_sweep_comes_past_what_nobody_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "MOST", 3, raising=False)
    early = run(sleeps.delay())
    for number in range(3):
        early.send("early", number)
    handle = run(waits.delay())
    with monkeypatch.context() as patch:
        patch.setattr("cq.durable.messages.wake", lambda *_: None)
        handle.send("approval", "yes")
    assert sweep.sweep_thoroughly("default") == 1
    assert fresh(early).status == Status.SUSPENDED
    assert run(fresh(handle)).result == "yes"


def test_and_goes_through_all_of_it_page_by_page() -> None:
    handles = [run(sleeps.delay()) for _ in range(3)]
    for handle in handles:
        for name in ("b", "a", "a", "early"):
            handle.send(name)
    columns = ("task_id", "name", "kind", "pk")
    rows = untaken("default").order_by("task_id", "name", "pk").values_list(*columns)
    pages = rounds.pages("test", rows, sweep._messages_after, 2)
    found = [row for page in pages for row in page]
    assert found == list(rows)
    assert len(found) == 12


def test_what_is_kept_comes_once_to_a_task_that_begins_anew() -> None:
    read: list[Any] = []

    def code(cqt: Any) -> None:
        read.append(cqt.wait_for(topic="paid", timeout=0, default=None))
        if len(read) < 4:
            cqt.continue_as_new()

    script["code"] = code
    cq.publish("paid", "kept", keep=3600)
    handle = of_code.delay()
    for _ in range(2):
        run(handle)
    assert read == ["kept", None]
    assert Message.objects.count() == 1
    for check in audited.CHECKS:
        assert not check.found("default", None).exists(), check
    # Once that is over, nothing has to be known of it.
    Publication.objects.update(until=datetime(2020, 1, 1, tzinfo=UTC))
    for _ in range(2):
        run(handle)
    assert read == ["kept", None, None, None]
    assert not Message.objects.exists()


class Undone(Exception):
    """What the database takes a transaction back by."""


def test_an_answer_that_comes_as_its_timeout_is_written_once_more_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle = run(asks.delay(), NOW)
    later = NOW + timedelta(seconds=61)
    sweep.due("default", later)

    def twice(using: str, work: Any) -> Any:
        monkeypatch.undo()
        with contextlib.suppress(Undone), transaction.atomic(using=using):
            work()
            raise Undone
        questions.answer(using, handle.pk, "yes", "ann")
        return work()

    monkeypatch.setattr(durable_messages, "retry_on_conflict", twice)
    handle = run(fresh(handle), later)
    assert (handle.status, handle.result) == (Status.COMPLETE, "yes")


@pytest.mark.parametrize(
    "form", ["null", "7", '"yes"', "[1]", "[[1],null]", '[["yes"],7]', "{}", "[[]"]
)
def test_a_question_whose_row_was_edited_is_none(form: str) -> None:
    handle = run(asks.delay())
    Step.objects.update(form=Encoded(form))
    assert questions.question_of("default", handle.pk) is None
    with pytest.raises(cq.NotAsked):
        questions.answer("default", handle.pk, "yes", "ann")
    out = io.StringIO()
    call_command("cq", "show", str(handle.pk), stdout=out)
    assert "Refund?" in out.getvalue()


def test_what_is_kept_has_no_sweep_go_through_all_that_wait_for_topics() -> None:
    cq.publish("paid", 1, keep=3600)
    with CaptureQueriesContext(connection) as asked:
        assert topics.deliver_forgotten("default") == 0
    assert not [one for one in asked if "cq_steps" in one["sql"]]


def test_but_a_round_comes_to_each_of_them() -> None:
    script["code"] = lambda cqt: cqt.wait_for(topic=script["topic"])
    for topic in ("b", "a", "a", "c", "a"):
        script["topic"] = topic
        run(of_code.delay())
    waits = open_waits("default", Step.TOPIC).order_by("name", "task_id", "pk")
    rows = waits.values_list("name", "task_id", "pk")
    pages = rounds.pages("test", rows, sweep._waits_after, 2)
    found = [row for page in pages for row in page]
    assert found == list(rows)
    assert len(found) == 5


def test_what_is_sent_to_one_that_settles_meanwhile_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for handle in (run(waits.delay()), waits.delay()):
        caplog.clear()
        with transaction.atomic():
            handle.send("approval", 1)
            handle.revoke()
        assert (
            f"Task {handle.pk} has settled, and 'approval' is not read" in caplog.text
        )
    assert Message.objects.filter(taken_by=None).count() == 2


def test_and_what_is_kept_for_later_is_not(caplog: pytest.LogCaptureFixture) -> None:
    run(sleeps.delay()).send("early", 1)
    run(waits.delay()).send("approval", 1)
    assert "has settled" not in caplog.text


def test_of_two_with_one_key_at_one_moment_one_is_told_that_it_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle = waits.delay()
    assert handle.send("approval", 1, key="evt")
    assert cq.publish("paid", 1, key="evt")
    with transaction.atomic():
        monkeypatch.setattr(QuerySet, "exists", lambda rows: False)
        assert not handle.send("approval", 2, key="evt")
        assert not cq.publish("paid", 2, key="evt")
        monkeypatch.undo()
        assert handle.send("approval", 3)
    assert (Message.objects.count(), Publication.objects.count()) == (2, 1)
