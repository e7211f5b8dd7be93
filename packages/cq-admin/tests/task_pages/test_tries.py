"""The tries of a task on its page: what failed at night, in the morning."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cq.models import Attempt, Task, Worker
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

NIGHT = timezone.now() - timedelta(hours=6)


def attempt(task: Task, number: int, outcome: str, **values: Any) -> Attempt:
    started = NIGHT + timedelta(minutes=10 * number)
    made: dict[str, Any] = {
        "started": started,
        "ended": started + timedelta(seconds=30),
        "worker": f"worker-0{number}:4100",
    }
    return Attempt.objects.create(
        task=task, number=number, outcome=outcome, **made | values
    )


def page(client: Client, task: Task) -> str:
    found = client.get(f"/admin/cq/task/{task.pk}/change/")
    assert found.status_code == 200
    return found.content.decode()


def tries(client: Client, task: Task) -> list[list[str]]:
    """The cells of the section, as text; of its rows."""
    html = page(client, task)
    if 'id="tries"' not in html:
        return []
    section = html[html.index('id="tries"') :]
    section = section[: section.index("</section>")]
    rows = re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)[1:]
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[text_of(cell) for cell in row] for row in cells]


def text_of(html: str) -> str:
    """What stands between the tags, each of which parts words."""
    text = unescape(re.sub(r"<[^>]+>", " ", html))
    return re.sub(r"[ \n]+", " ", text).strip()


def test_three_tries_and_a_retry_by_hand_that_works(
    staff: Client, row: Callable[..., Task]
) -> None:
    now = timezone.now()
    done = row(
        attempts=4, started=now - timedelta(seconds=5), finished=now, submitted=NIGHT
    )
    for number, error in enumerate("ABC", 1):
        attempt(
            done,
            number,
            "failed",
            exception="shop.GatewayTimeout",
            error=f"{error}: no answer\nand more",
            traceback=f"Traceback of {error}",
            next=None if number == 3 else NIGHT + timedelta(minutes=10 * number + 10),
        )
    attempt(
        done,
        3,
        "taken back",
        error="C: no answer",
        by="anna",
        reason="provider is back",
    )

    found = tries(staff, done)

    assert [cells[0] for cells in found] == ["4", "3", "2", "1"]
    assert [cells[2] for cells in found] == ["5\xa0s", *["30\xa0s"] * 3]
    assert found[0][3:5] == ["-", "complete"]
    assert [cells[3] for cells in found[1:]] == [
        "worker-03:4100",
        "worker-02:4100",
        "worker-01:4100",
    ]
    assert found[1][4] == (
        "failed shop.GatewayTimeout: C: no answer run again by anna: provider is back "
        "Traceback Traceback of C"
    )
    assert "A: no answer Traceback Traceback of A" in found[3][4]
    assert [bool(cells[5]) for cells in found] == [False, False, True, True]


def test_a_task_that_never_failed_has_no_such_section(
    staff: Client, row: Callable[..., Task]
) -> None:
    assert tries(staff, row(attempts=1)) == []


def test_the_traceback_that_the_page_has_already_is_not_there_twice(
    staff: Client, row: Callable[..., Task]
) -> None:
    failed = row(
        Status.FAILURE,
        attempts=2,
        started=NIGHT + timedelta(minutes=20),
        error="two",
        exception="ValueError",
        traceback="the second traceback",
    )
    attempt(failed, 1, "failed", error="one", traceback="the first traceback")
    attempt(failed, 2, "failed", error="two", traceback="the second traceback")
    text = page(staff, failed)
    assert text.count("the first traceback") == 1
    assert text.count("the second traceback") == 1
    assert [cells[0] for cells in tries(staff, failed)] == ["2", "1"]


@pytest.mark.parametrize(
    ("outcome", "values", "shown"),
    [
        ("lost", {"error": "The outcome was not observed."}, "lost The outcome"),
        ("timed out", {"error": "too long"}, "timed out too long"),
        ("drained", {}, "drained"),
        ("revoked", {"reason": "Revoked by kim."}, "revoked Revoked by kim."),
        ("taken back", {}, "complete run again by hand"),
        ("taken back", {"error": "It expired."}, "taken back It expired. run again"),
        ("new", {}, "new"),
    ],
)
def test_each_outcome_has_its_word(
    staff: Client,
    row: Callable[..., Task],
    outcome: str,
    values: dict[str, Any],
    shown: str,
) -> None:
    queued = row(Status.QUEUED, attempts=1)
    attempt(queued, 1, outcome, **values)
    ((*_, text, _next),) = tries(staff, queued)
    assert text.startswith(shown)


def test_a_run_that_goes_on_is_on_top_with_its_worker(
    staff: Client, row: Callable[..., Task]
) -> None:
    now = timezone.now()
    worker = Worker.objects.create(
        id=7, kind="worker", host="web-1", pid=12, started=now, last_seen=now
    )
    running = row(Status.RUNNING, attempts=2, worker=worker, started=now)
    attempt(running, 1, "failed", error="one")
    first, second = tries(staff, running)
    assert (first[0], first[4]) == ("2", "running")
    assert "web-1:12" in first[3]
    assert second[0] == "1"


def test_texts_are_redacted_as_others_on_the_page_are(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_REDACT_TEXT = f"{__name__}.without_names"
    failed = row(Status.QUEUED, attempts=1)
    attempt(failed, 1, "failed", error="tell-1", traceback="tell-2")
    attempt(failed, 1, "taken back", error="tell-1", by="kim", reason="tell-3")
    text = page(staff, failed)
    assert "tell-" not in text
    assert text.count("hidden-") == 3


def without_names(name: str, text: str) -> str:
    return text.replace("tell-", "hidden-")


def test_what_is_stored_is_escaped_and_cut(
    staff: Client, row: Callable[..., Task]
) -> None:
    hostile = "<script>alert(1)</script>\u202e"
    failed = row(Status.QUEUED, attempts=1)
    attempt(
        failed,
        1,
        "failed",
        error=hostile + "x" * 10_000,
        exception=hostile,
        traceback=hostile + "y" * 100_000,
        worker=hostile,
    )
    attempt(failed, 1, "taken back", error="no", by=hostile, reason=hostile)
    text = page(staff, failed)
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert "x" * 1_000 not in text
    assert text.count("y") < 40_000


def test_fifty_tries_are_one_query(staff: Client, row: Callable[..., Task]) -> None:
    few, many = row(attempts=3), row(attempts=5_000)
    attempt(few, 1, "failed", error="no")
    numbers = [*range(1, 6), *range(4_955, 5_000)]
    Attempt.objects.bulk_create(
        [
            Attempt(
                task=many,
                number=number,
                outcome="failed",
                started=NIGHT,
                ended=NIGHT,
                error=f"try {number}",
                traceback="Traceback " * 100,
            )
            for number in numbers
        ]
    )
    page(staff, few)

    assert len(asked(lambda: page(staff, many))) == len(asked(lambda: page(staff, few)))

    found = tries(staff, many)
    assert [int(cells[0]) for cells in found] == [5_000, *reversed(numbers)]
    assert "The first 5 and the last 45 are kept." in page(staff, many)
    assert "The first 5" not in page(staff, few)


def asked(call: Callable[[], object]) -> list[str]:
    from django.db import connection

    with CaptureQueriesContext(connection) as found:
        call()
    return [q["sql"] for q in found]


def test_the_log_says_which_try_said_it(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    once, twice = row(attempts=1), row(attempts=2)
    for task in (once, twice):
        say(task, 1, message="said")
    assert ">Try</th>" not in page(staff, once)
    assert ">Try</th>" in page(staff, twice)
