"""Pausing queues and tasks: ``cq.queues``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from cq import queues, task
from cq.db.clock import database_now
from cq.errors import UnknownTask
from cq.models import Pause
from cq.workers.lease import Lease
from cq.workers.pauses import CHANGED

if TYPE_CHECKING:
    from bells import Bell

DB = "default"

pytestmark = pytest.mark.django_db(transaction=True)


@task("queues.mail", queue="mail")
def mail(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def test_a_queue_is_paused_and_resumed() -> None:
    before = database_now(DB)
    user = User(username="ann")

    made = queues.pause("mail", reason=" provider is down ", by=user)

    assert (made.reason, made.by, made.until) == ("provider is down", "ann", None)
    assert before <= made.since <= database_now(DB)
    assert queues.paused() == {"mail": made}
    assert queues.paused_tasks() == {}
    assert queues.resume("mail")
    assert queues.paused() == {}
    assert not queues.resume("mail")


def test_a_task_is_paused_by_its_name() -> None:
    made = queues.pause(task="queues.mail", by=None)

    assert queues.paused_tasks() == {"queues.mail": made}
    assert queues.paused() == {}
    assert not queues.resume("mail")
    assert queues.resume(task="queues.mail")


def test_pausing_again_replaces_what_was_said_but_not_since_when() -> None:
    first = queues.pause("mail", reason="one", by="ann", until=soon())

    second = queues.pause("mail", reason="two", by="bob")

    assert second == queues.Pause("two", first.since, None, "bob")
    assert queues.paused() == {"mail": second}


def test_one_that_has_ended_is_none_and_a_new_one_is_since_now() -> None:
    queues.pause("mail", until=soon())
    long_ago = database_now(DB) - timedelta(days=1)
    Pause.objects.update(since=long_ago, until=long_ago + timedelta(seconds=1))

    assert queues.paused() == {}
    assert not queues.resume("mail")
    assert queues.pause("mail").since > long_ago


def test_it_is_paused_with_the_commit_and_rung_for_after_it(bell: Bell) -> None:
    with transaction.atomic():
        queues.pause("mail")
        assert bell.rung == []
    assert bell.rung == [CHANGED]
    with transaction.atomic():
        queues.resume("mail")
        transaction.set_rollback(True)
    assert bell.rung == [CHANGED]
    assert list(queues.paused()) == ["mail"]


def test_a_queue_that_nobody_has_is_refused_and_nothing_recorded() -> None:
    with pytest.raises(
        ValueError, match=r"nobody has a queue 'mial': .*there are .*mail"
    ):
        queues.pause("mial")
    with pytest.raises(UnknownTask, match=r"no task named 'queues\.mial'"):
        queues.pause(task="queues.mial")
    assert not Pause.objects.exists()


def test_a_queue_is_had_by_what_waits_in_it_or_a_worker_that_serves_it() -> None:
    mail.using(queue="waits").delay()
    lease = Lease(DB, "test", queues=["served"])
    lease.register()
    negative = Lease(DB, "test", queues=["-shunned"])
    negative.register()

    queues.pause("waits")
    queues.pause("served")
    with pytest.raises(ValueError, match="nobody has a queue"):
        queues.pause("shunned")
    assert {"default", "mail", "waits", "served"} <= set(queues.names())
    lease.close()
    negative.close()


@pytest.mark.parametrize(
    "until",
    [
        datetime(2999, 1, 1),
        datetime(2020, 1, 1, tzinfo=UTC),
        timedelta(hours=1),
        "tomorrow",
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=5))),
    ],
)
def test_until_is_an_aware_moment_to_come(until: Any) -> None:
    with pytest.raises(ValueError, match=r"until is .*, but must be an aware datetime"):
        queues.pause("mail", until=until)
    assert not Pause.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"queue": "mail", "task": "queues.mail"},
        {"queue": 7},
        {"queue": "mail", "reason": 7},
    ],
)
def test_what_is_no_name_or_text_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError):
        queues.pause(**wrong)


@pytest.mark.parametrize("wrong", ["x" * 1001, "a\0b"])
def test_what_no_database_stores_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="every database stores"):
        queues.pause("mail", reason=wrong)


def test_whoever_pauses_it_is_named_as_far_as_that_can_be_stored() -> None:
    assert queues.pause("mail", by="a\0b").by == "a\\x00b"
    assert len(queues.pause("mail", by="ann" * 100).by) == 200


def soon() -> datetime:
    return database_now(DB) + timedelta(hours=1)
