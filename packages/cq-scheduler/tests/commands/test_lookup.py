"""The schedules that a command names, or fails to."""

from __future__ import annotations

import pytest
import repeating_samples as samples
from calling import cqscheduler, schedule
from django.core.management import CommandError

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("sqlite", "postgres"),
]


@pytest.mark.parametrize("text", ["17", "no.such.task", "-1", "9" * 30, "\u0661"])
def test_a_schedule_that_is_not_there(text: str) -> None:
    with pytest.raises(CommandError, match="there is no schedule"):
        cqscheduler("next", "--", text)


def test_a_name_with_two_schedules_is_not_enough() -> None:
    one, two = schedule(), schedule("@daily")
    with pytest.raises(CommandError) as caught:
        cqscheduler("run", samples.report.name)
    assert str(caught.value).splitlines()[1:] == [
        f"  {one.pk}  {samples.report.name} (0 7 * * *)",
        f"  {two.pk}  {samples.report.name} (@daily)",
    ]
