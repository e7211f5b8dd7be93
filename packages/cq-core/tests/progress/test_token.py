"""Tokens: what they say, how long, to whom; and what is no token."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.core import signing

from cq.ids import uuid7
from cq.progress import token as tokens
from cq.progress.token import Refused, Token, read, read_for
from cq.serial import workflow

if TYPE_CHECKING:
    from uuid import UUID

TASK = uuid7()


class Maker:
    """Something that has an id."""

    token = tokens.token_of

    def __init__(self, pk: UUID = TASK) -> None:
        self.pk = pk


def request_of(pk: Any = None) -> Any:
    """The request of a user who has logged in; None: of one who has not."""
    user = SimpleNamespace(pk=pk, is_authenticated=pk is not None)
    return SimpleNamespace(user=user)


def test_it_names_one_task_and_what_may_be_seen() -> None:
    assert read(Maker().token()) == Token(TASK, False, False, False, None)
    assert read(Maker().token(log=True)) == Token(TASK, True, False, False, None)
    assert read(Maker().token(cancel=True)) == Token(TASK, False, True, False, None)
    assert read(Maker().token(result=True)) == Token(TASK, False, False, True, None)
    assert read(Maker().token(user=7)) == Token(TASK, False, False, False, "7")


def test_it_is_short_and_fits_into_an_address() -> None:
    text = Maker().token(log=True, cancel=True, result=True, user=2**62)
    assert len(text) < 110
    assert set(text) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_:"
    )


def forged() -> dict[str, str]:
    good = Maker().token(cancel=True)
    said, _, signature = good.rpartition(":")
    other, _, _ = Maker(uuid7()).token(cancel=True).rpartition(":")
    more, _, _ = Maker().token(log=True, cancel=True, result=True).rpartition(":")
    return {
        "empty": "",
        "nonsense": "nonsense",
        "no signature": said,
        "another signature": f"{said}:{signature[::-1]}",
        "another task": f"{other}:{signature}",
        "more rights": f"{more}:{signature}",
        "a blank more": good + " ",
        "no ascii": good + "\u00e9",
        "long": good + "A" * 100_000,
        "another salt": signing.Signer(salt="shop").sign(said),
        "no bytes": signing.Signer(salt=tokens.SALT).sign("A"),
        "few bytes": signing.Signer(salt=tokens.SALT).sign("AAAA"),
        "another key": signing.Signer(key="k", salt=tokens.SALT).sign(said),
    }


@pytest.mark.parametrize("how", forged())
def test_what_is_forged_is_refused(how: str) -> None:
    with pytest.raises(Refused) as caught:
        read(forged()[how])
    assert caught.value.args == ()


def test_it_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens.time, "time", lambda: 1_000_000.0)
    text, long = Maker().token(max_age=60), Maker().token(max_age=timedelta(days=1))
    monkeypatch.setattr(tokens.time, "time", lambda: 1_000_059.9)
    assert read(text).task_id == TASK
    monkeypatch.setattr(tokens.time, "time", lambda: 1_000_060.0)
    with pytest.raises(Refused):
        read(text)
    assert read(long).task_id == TASK


def test_a_key_that_was_replaced_is_taken_while_it_is_a_fallback(settings: Any) -> None:
    text = Maker().token()
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    with pytest.raises(Refused):
        read(text)
    settings.SECRET_KEY_FALLBACKS = [old]
    assert read(text).task_id == TASK


def test_one_that_is_bound_is_its_users_alone() -> None:
    text = Maker().token(user=SimpleNamespace(pk=7))
    assert read_for(request_of(7), text).task_id == TASK
    for request in (request_of(8), request_of(), request_of(77), SimpleNamespace()):
        with pytest.raises(Refused):
            read_for(request, text)


def test_one_that_is_not_bound_asks_for_no_session() -> None:
    assert read_for(SimpleNamespace(), Maker().token()).task_id == TASK  # type: ignore[arg-type]


@pytest.mark.parametrize("user", [SimpleNamespace(pk=None), "", "x" * 101])
def test_nobody_is_no_user(user: Any) -> None:
    with pytest.raises(ValueError, match=r"no id|too long"):
        Maker().token(user=user)


@pytest.mark.parametrize(
    "age", [0, -1, True, "60", None, float("nan"), float("inf"), timedelta(0), 10**12]
)
def test_an_age_is_a_number_of_seconds(age: Any) -> None:
    with pytest.raises(ValueError, match="max_age is"):
        Maker().token(max_age=age)


@pytest.mark.django_db
def test_a_row_and_a_serial_run_make_tokens() -> None:
    row = sample_tasks.square.delay(3)
    assert read(row.token(log=True)) == Token(row.pk, log=True)
    double: Any = workflow.launch(sample_tasks.square.s(3))
    assert read(double.token()).task_id == double.pk
