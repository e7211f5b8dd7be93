"""The words for where a task stands, who may move it on, and how an attempt ended.

Nobody else writes a tuple of statuses: the sets and :data:`TRANSITIONS` are used by
:mod:`cq.lifecycle`, which makes the moves, by the tests, and by the documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from collections.abc import Iterable


class Status(models.TextChoices):
    """Where a task stands; each member says who leaves it and how."""

    #: Recorded. Left by its last predecessor, the clock, a person, revoke, or expiry.
    PENDING = "PENDING", _("pending")
    #: Any worker may claim it. Left by a claim, revoke, or expiry.
    QUEUED = "QUEUED", _("queued")
    #: Claimed, under a lease. Left by its worker, the rescuer, or revoke.
    RUNNING = "RUNNING", _("running")
    #: An attempt failed or raised RetryLater, the next waits for its time. Left by the
    #: clock, a person or revoke.
    RETRY = "RETRY", _("waiting to retry")
    #: Its own function has ended, subtasks are open. Left by the last or revoke.
    WAITING = "WAITING", _("waiting for subtasks")
    #: A durable one that gave its slot back and waits for a moment, an event or tasks.
    #: Left by the clock, send(), the last of the tasks, or revoke.
    SUSPENDED = "SUSPENDED", _("suspended")
    #: Function and all subtasks succeeded. Final.
    COMPLETE = "COMPLETE", _("complete")
    #: Its own function raised and its retries are spent. Final but for retry().
    FAILURE = "FAILURE", _("failed")
    #: A subtask or a predecessor did not succeed. Final but for retry(), also of those.
    INCOMPLETE = "INCOMPLETE", _("incomplete")
    #: The worker vanished; the outcome was not observed. Final but for retry().
    LOST = "LOST", _("lost")
    #: Withdrawn by a person or a program. Final but for retry().
    REVOKED = "REVOKED", _("revoked")
    #: Not started in time. Final but for retry().
    EXPIRED = "EXPIRED", _("expired")
    #: Its ``when`` can no longer come true; counts as success. Final.
    SKIPPED = "SKIPPED", _("skipped")


OPEN = frozenset(
    {
        Status.PENDING,
        Status.QUEUED,
        Status.RUNNING,
        Status.RETRY,
        Status.WAITING,
        Status.SUSPENDED,
    }
)
FINAL = frozenset(Status) - OPEN
SUCCEEDED = frozenset({Status.COMPLETE, Status.SKIPPED})
FAILED = FINAL - SUCCEEDED
#: Statuses that ``retry()`` starts from; a skipped task never had a reason to run.
RETRYABLE = FINAL - {Status.SKIPPED}
#: Statuses of what is to start as soon as it may, whose priority can still be changed.
TO_START = frozenset({Status.PENDING, Status.QUEUED})
#: Statuses of what waits for a worker, for the clock, or for others.
NOT_BEGUN = TO_START | {Status.RETRY}
#: Statuses that the clock may end, at the `run_after` of a row.
FOR_THE_CLOCK = frozenset({Status.PENDING, Status.RETRY, Status.SUSPENDED})
#: What did not go as it was meant to, or not yet. Few tasks come here, and somebody who is
#: called at night looks for these: two indexes have them and no others.
ATTENTION = FAILED | {Status.SKIPPED, Status.RETRY}


def sql_list(statuses: Iterable[Status]) -> str:
    """Return statuses as SQL has them between the brackets of ``IN``."""
    return ", ".join(f"'{status}'" for status in sorted(statuses))


class AttemptOutcome(models.TextChoices):
    """How an attempt ended; one that succeeds has no row."""

    FAILED = "failed", _("failed")
    TIMED_OUT = "timed out", _("timed out")
    #: Its worker died, or could not write how it ended.
    LOST = "lost", _("lost")
    #: Its worker stopped, and handed it back. It counts for nothing: the next one has
    #: its number.
    DRAINED = "drained", _("drained")
    #: Withdrawn while it ran.
    REVOKED = "revoked", _("revoked")
    #: No end of a run: somebody had the task run again, whatever had become of it.
    TAKEN_BACK = "taken back", _("taken back")


class Transition(NamedTuple):
    """One verb of :mod:`cq.lifecycle`: from where to where, and who does it."""

    verb: str
    sources: frozenset[Status]
    targets: frozenset[Status]
    by: str


def _t(verb: str, sources: object, targets: object, by: str) -> Transition:
    def as_set(value: object) -> frozenset[Status]:
        return frozenset({value}) if isinstance(value, Status) else frozenset(value)  # type: ignore[call-overload]

    return Transition(verb, as_set(sources), as_set(targets), by)


TRANSITIONS: dict[str, Transition] = {
    t.verb: t
    for t in (
        _t("queue", Status.PENDING, Status.QUEUED, "its last predecessor, the clock"),
        _t("requeue", Status.RETRY, Status.QUEUED, "the clock"),
        _t(
            "hasten",
            {Status.PENDING, Status.RETRY, Status.QUEUED},
            Status.QUEUED,
            "a person, who has it run next",
        ),
        _t(
            "replace",
            {Status.PENDING, Status.QUEUED},
            Status.PENDING,
            "a further call, by `debounce`",
        ),
        _t("claim", Status.QUEUED, Status.RUNNING, "a worker with a free slot"),
        _t("hand_back", Status.RUNNING, Status.QUEUED, "a worker that is stopping"),
        _t(
            "complete",
            Status.RUNNING,
            {Status.COMPLETE, Status.INCOMPLETE, Status.WAITING},
            "its worker, when the function returned",
        ),
        _t(
            "fail",
            Status.RUNNING,
            {Status.FAILURE, Status.WAITING},
            "its worker, when the function raised and no retry is left",
        ),
        _t("postpone", Status.RUNNING, Status.RETRY, "its worker, before a retry"),
        _t(
            "retry_later",
            Status.RUNNING,
            {Status.RETRY, Status.EXPIRED},
            "its worker, when the function raised RetryLater",
        ),
        _t(
            "suspend",
            Status.RUNNING,
            Status.SUSPENDED,
            "its worker, when the function waits",
        ),
        _t(
            "wake",
            Status.SUSPENDED,
            Status.QUEUED,
            "the clock, `send()`, the last of the tasks it waits for",
        ),
        _t(
            "begin_anew",
            Status.RUNNING,
            Status.QUEUED,
            "its worker, when the function calls `continue_as_new()`",
        ),
        _t("rescue", Status.RUNNING, Status.QUEUED, "the rescuer of a dead worker"),
        _t("lose", Status.RUNNING, Status.LOST, "the rescuer of a dead worker"),
        _t(
            "settle",
            Status.WAITING,
            {
                Status.COMPLETE,
                Status.INCOMPLETE,
                Status.FAILURE,
                Status.LOST,
                Status.REVOKED,
                Status.EXPIRED,
            },
            "its last subtask",
        ),
        _t(
            "compensate",
            FAILED,
            Status.WAITING,
            "whoever ends a durable task that has to take steps back",
        ),
        _t("block", Status.PENDING, Status.INCOMPLETE, "a predecessor that failed"),
        _t("skip", Status.PENDING, Status.SKIPPED, "a predecessor, by `when`"),
        _t("expire", {Status.PENDING, Status.QUEUED}, Status.EXPIRED, "the clock"),
        _t("miss", Status.RUNNING, Status.EXPIRED, "its worker, at its deadline"),
        _t("revoke", OPEN, Status.REVOKED, "a person or a program"),
        _t(
            "retry",
            RETRYABLE,
            {Status.QUEUED, Status.PENDING},
            "a person or a program",
        ),
        _t(
            "reopen",
            {Status.INCOMPLETE, Status.SKIPPED},
            Status.PENDING,
            "the retry of a predecessor",
        ),
        _t("wait_again", Status.INCOMPLETE, Status.WAITING, "the retry of a subtask"),
    )
}
