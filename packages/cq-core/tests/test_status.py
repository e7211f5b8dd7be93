"""The words for where a task stands."""

from __future__ import annotations

import pytest

from cq import lifecycle
from cq.models import Task
from cq.status import FAILED, FINAL, OPEN, RETRYABLE, SUCCEEDED, TRANSITIONS, Status

#: Verbs that are a case of another function.
CASES = {"requeue": "queue_due", "lose": "rescue"}

#: What a task is recorded as; all else is reached by a verb.
RECORDED = {Status.PENDING, Status.QUEUED, Status.WAITING}


def test_every_status_is_either_open_or_final() -> None:
    assert set(Status) == OPEN | FINAL
    assert not OPEN & FINAL


def test_every_final_status_is_either_success_or_failure() -> None:
    assert SUCCEEDED | FAILED == FINAL
    assert not SUCCEEDED & FAILED
    assert {Status.COMPLETE, Status.SKIPPED} == SUCCEEDED


def test_all_that_is_final_can_be_retried_but_what_never_had_a_reason_to_run() -> None:
    assert FINAL - {Status.SKIPPED} == RETRYABLE


@pytest.mark.parametrize("status", sorted(OPEN))
def test_every_open_status_is_left_towards_an_end(status: Status) -> None:
    seen, fresh = {status}, {status}
    while fresh:
        ahead = {
            target
            for t in TRANSITIONS.values()
            if t.sources & fresh and t.verb != "revoke"
            for target in t.targets
        }
        fresh = ahead - seen
        seen |= ahead

    assert seen & FINAL
    assert status in TRANSITIONS["revoke"].sources


@pytest.mark.parametrize("status", sorted(FINAL))
def test_a_final_status_is_left_only_by_a_retry(status: Status) -> None:
    leaving = {t.verb for t in TRANSITIONS.values() if status in t.sources}

    # The one that compensates is part of the end, in its transaction.
    assert leaving <= {"retry", "reopen", "wait_again", "compensate"}


def test_every_status_is_reached() -> None:
    reached = {target for t in TRANSITIONS.values() for target in t.targets}

    assert reached | RECORDED == set(Status)


def test_the_status_constants_of_the_model_are_these() -> None:
    assert {getattr(Task, f"STATUS_{s.name}") for s in Status} == set(Status)
    assert Task.STATUS_SUCCESS == Status.COMPLETE


@pytest.mark.parametrize("verb", TRANSITIONS)
def test_a_verb_is_a_function_that_names_its_own_transition(verb: str) -> None:
    transition = TRANSITIONS[verb]

    assert transition.verb == verb
    assert transition.by
    assert callable(getattr(lifecycle, CASES.get(verb, verb)))


def test_words_fit_their_column_and_are_upper_case() -> None:
    longest = Task._meta.get_field("status").max_length

    assert all(s == s.upper() == s.name and len(s) <= longest for s in Status)
