"""Arguments whose rows were deleted before the task ran."""

from __future__ import annotations

from typing import Any

import pytest
import sample_tasks
from django.contrib.auth.models import Group
from driving import fresh, run, run_all

import cq
from cq import task
from cq.models import Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)

ran: list[Any] = []


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    ran.clear()


@task("gone.greet", retries=3, retry_on=[lambda e: not isinstance(e, cq.RowGone)])
def greet(cqt: Any, group: Group) -> None:
    ran.append(group)


@task("gone.again", retries=1, backoff=0, retry_on=[cq.RowGone])
def again(cqt: Any, group: Group) -> None:
    ran.append(group)


@task("gone.told")
def told(cqt: Any) -> str:
    return str(cqt.previous.exception)


def gone(function: Any) -> Task:
    group = Group.objects.create(name="short-lived")
    handle: Task = function.delay(group)
    group.delete()
    return handle


def test_retry_on_can_tell_it_from_other_errors() -> None:
    assert run(gone(greet)).status == Status.FAILURE
    assert run(gone(again)).status == Status.RETRY
    assert not ran


def test_an_errorback_can_tell_it() -> None:
    handle = gone(greet)
    errorback = handle.errorback(told)

    run_all()

    assert fresh(handle).exception == "cq.errors.RowGone"
    assert "is not in 'default' any more" in fresh(handle).error
    assert fresh(errorback).result == "cq.errors.RowGone"


def test_the_result_of_a_deleted_task_is_such_an_argument() -> None:
    one = sample_tasks.square.delay(3)
    other = sample_tasks.square.delay(one)
    run(one)
    Task.objects.filter(pk=one.pk)._raw_delete("default")

    assert run(other).exception == "cq.errors.RowGone"


def test_a_result_whose_row_was_deleted_is_told_as_well() -> None:
    group = Group.objects.create(name="short-lived")
    handle = run(sample_tasks.merge.delay([group]))
    assert handle.result == [group]
    group.delete()

    with pytest.raises(cq.RowGone, match=r"auth\.Group"):
        _ = fresh(handle).result


def test_nothing_that_caught_it_before_breaks() -> None:
    for kind in (cq.CodecError, ValueError, TypeError, LookupError):
        assert issubclass(cq.RowGone, kind)


def test_a_group_within_itself_is_a_codec_error() -> None:
    made = cq.group(sample_tasks.square.s(1), sample_tasks.square.s(2)).delay()
    run_all()
    assert fresh(made).result == [1, 4]
    Task.objects.filter(parent=made).update(result=fresh(made).stored_text("result"))

    with pytest.raises(cq.CodecError, match="part of itself"):
        _ = fresh(made).result
