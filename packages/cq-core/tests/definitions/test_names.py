"""Names, queues and keys are refused alike, whatever the database would make of them."""

from __future__ import annotations

from typing import Any

import pytest

from cq import task
from cq.models import Task

pytestmark = pytest.mark.django_db

BAD = [("a\x00b", "a NUL character"), ("a\ud800b", "half a surrogate pair")]


@task("names.keyed", unique=lambda key: key)
def keyed(cqt: Any, key: str) -> None: ...


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_a_name_of_a_task_is_refused_where_it_is_defined(
    text: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=f"^task name .* has {problem} in it"):
        task(text)(lambda cqt: None)


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_a_key_that_a_function_makes_is_refused_at_the_call(
    text: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=f"names.keyed: the unique key .* {problem}"):
        keyed.delay(text)
    assert not Task.objects.exists()


@pytest.mark.parametrize("option", ["queue", "unique"])
@pytest.mark.parametrize("text", [bad for bad, _ in BAD])
def test_a_queue_and_a_key_are_refused_with_the_reason(option: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{option} is .*no NUL, no half of a surr"):
        keyed.using(**{option: text})


def test_what_is_long_is_cut_in_the_message() -> None:
    long = "x" * 1_000_000
    with pytest.raises(ValueError, match="but must be a string of 1 to 200") as at_call:
        keyed.delay(long)
    with pytest.raises(ValueError, match="a key of 1 to 200") as at_using:
        keyed.using(unique=long)
    with pytest.raises(ValueError, match="has 1000000 characters") as at_task:
        task(long)(lambda cqt: None)
    for caught in (at_call, at_using, at_task):
        assert len(str(caught.value)) < 400


def test_whole_characters_beyond_the_basic_plane_are_fine() -> None:
    assert keyed.using(queue="\U0001f600").delay("\U0001f600").unique_key
