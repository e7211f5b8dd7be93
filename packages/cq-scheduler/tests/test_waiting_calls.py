"""``manage.py cq check-deploy`` looks at what schedules are to call, too."""

from __future__ import annotations

from typing import Any

import pytest

from cq import task
from cq.maintenance import waiting_calls
from cq.maintenance.unfit_calls import unfit_calls
from cq_scheduler import waiting_calls as of_schedules
from cq_scheduler.models import RepeatingTask

pytestmark = pytest.mark.django_db


@task("waiting_calls.report")
def report(cqt: Any, month: int) -> None: ...


def schedule(name: str, args: Any = (), **values: Any) -> RepeatingTask:
    row = RepeatingTask(name=name, args=args, crontab="@daily", **values)
    row.save()
    return row


def test_schedules_that_do_not_fit_are_named() -> None:
    schedule("waiting_calls.report", [1])
    unfit = schedule("waiting_calls.report", [1, 2])
    gone = schedule("waiting_calls.gone")
    schedule("waiting_calls.gone", enabled=False)
    # The next migrate makes it anew, or lets it go.
    schedule("waiting_calls.gone", key="waiting_calls.gone")

    found = unfit_calls("default")

    assert [(f.task, f.parameter, f.problem, f.calls) for f in found.findings] == [
        ("waiting_calls.gone", "", "is no task here", [("schedule", str(gone.pk))]),
        (
            "waiting_calls.report",
            "argument 2",
            "has no parameter",
            [("schedule", str(unfit.pk))],
        ),
    ]
    assert found.looked_at == {"schedule": 3}


def test_all_pages_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_schedules, "CALLS_PER_PAGE", 2)
    for _ in range(5):
        schedule("waiting_calls.gone")

    [found] = unfit_calls("default").findings

    assert found.total == 5


def test_it_is_looked_at_once_however_often_it_was_registered() -> None:
    waiting_calls.register(of_schedules._calls)
    schedule("waiting_calls.gone")

    assert unfit_calls("default").looked_at == {"schedule": 1}
