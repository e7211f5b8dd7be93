"""Steps whose commit is durable, and whose worker never hears of that."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError
from driving import run

from cq import task
from cq.durable import calling
from cq.models import Step
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

called: list[str] = []


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    called.clear()


def mail() -> str:
    called.append("mail")
    return "sent"


@task(durable=True)
def outside(cqt: Any) -> str:
    return cqt.using(atomic=False).step("mail", mail)  # type: ignore[no-any-return]


def test_one_outside_of_a_transaction_is_done_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at_once = calling.at_once

    @contextmanager
    def unanswered(using: str) -> Iterator[None]:
        with at_once(using):
            yield
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(calling, "at_once", unanswered)
    handle = run(outside.delay())

    assert (handle.status, handle.result) == (Status.COMPLETE, "sent")
    assert called == ["mail"]
    assert Step.objects.get().error is None
    assert "is done; behind its commit OperationalError was raised" in caplog.text


def test_one_whose_row_is_not_there_is_called_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once = calling.at_once

    @contextmanager
    def cut(using: str) -> Iterator[None]:
        monkeypatch.setattr(calling, "at_once", at_once)
        with at_once(using):
            yield
            raise OperationalError("the server closed the connection")

    monkeypatch.setattr(calling, "at_once", cut)
    handle = run(outside.delay())

    assert handle.status == Status.FAILURE
    assert "the server closed the connection" in handle.error
    handle.retry()
    assert run(type(handle).objects.get(pk=handle.pk)).result == "sent"
    assert called == ["mail", "mail"]
