"""How long finished trees are kept: by their own word, else by the setting and their outcome."""

from __future__ import annotations

import re
from datetime import timedelta
from math import inf
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from forced import NOW, draft, forced, forced_many, saved
from plans import analyze, plan, reads_all

from cq import task
from cq.definitions.retention import KEPT_FOREVER, setting_by_status
from cq.maintenance import prune, sweep
from cq.models import Task
from cq.status import FINAL, Status

pytestmark = pytest.mark.django_db

DB = "default"
DAY = 86_400.0


def ids() -> set[Any]:
    return set(Task.objects.values_list("pk", flat=True))


def ago(**span: float) -> Any:
    return NOW - timedelta(**span)


@pytest.mark.parametrize("end", sorted(FINAL))
def test_by_default_what_is_complete_is_kept_for_a_week_and_the_rest_for_a_month(
    end: Status,
) -> None:
    days = 7 if end == Status.COMPLETE else 30
    young = forced(end, finished=ago(days=days, seconds=-1))
    forced(end, finished=ago(days=days, seconds=1))

    assert prune.prune(DB, NOW) == 1

    assert ids() == {young.pk}


#: (CQ_RESULT_TTL, seconds of COMPLETE, of FAILURE, of LOST)
SETTINGS: list[tuple[Any, float, float, float]] = [
    (None, inf, inf, inf),
    ("forever", inf, inf, inf),
    (float("inf"), inf, inf, inf),
    (60, 60, 60, 60),
    ("7d", 7 * DAY, 7 * DAY, 7 * DAY),
    ("12h", DAY / 2, DAY / 2, DAY / 2),
    ("30m", 1800, 1800, 1800),
    ("45s", 45, 45, 45),
    (timedelta(hours=1), 3600, 3600, 3600),
    ({"COMPLETE": "1d", "default": 5}, DAY, 5, 5),
    ({"COMPLETE": None, "LOST": timedelta(1), "default": "2d"}, inf, 2 * DAY, DAY),
    # What is not named has its default.
    ({"LOST": 1}, 7 * DAY, 30 * DAY, 1),
    ({}, 7 * DAY, 30 * DAY, 30 * DAY),
]


@pytest.mark.parametrize(("given", "complete", "failure", "lost"), SETTINGS)
def test_the_setting_gives_each_outcome_its_time(
    settings: Any, given: Any, complete: float, failure: float, lost: float
) -> None:
    settings.CQ_RESULT_TTL = given
    found = setting_by_status()
    assert set(found) == FINAL
    assert found[Status.COMPLETE] == complete
    assert found[Status.FAILURE] == failure
    assert found[Status.LOST] == lost


def test_the_setting_of_today_decides_for_what_was_made_before(settings: Any) -> None:
    settings.CQ_RESULT_TTL = None
    forced(Status.COMPLETE, finished=ago(days=9_999))
    assert prune.prune(DB, NOW) == 0

    settings.CQ_RESULT_TTL = {"COMPLETE": "1d"}
    assert prune.prune(DB, NOW) == 1


@task("retention.none")
def says_nothing(cqt: Any) -> None: ...


@task("retention.week", result_ttl="7d")
def for_a_week(cqt: Any) -> None: ...


#: (what is given to `.using()`, what the row says)
STORED: list[tuple[dict[str, Any], float | None]] = [
    ({}, None),
    ({"result_ttl": None}, None),
    ({"result_ttl": 5}, 5.0),
    ({"result_ttl": "forever"}, KEPT_FOREVER),
    ({"result_ttl": inf}, KEPT_FOREVER),
]


@pytest.mark.parametrize(("options", "stored"), STORED)
def test_a_row_says_what_is_its_own(
    settings: Any, options: dict[str, Any], stored: float | None
) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_RESULT_TTL = 60
    made = says_nothing.using(**options).delay()
    many = says_nothing.using(**options).delay_many([(), ()])
    assert for_a_week.delay().result_ttl == 7 * DAY
    for handle in (made, *many):
        assert Task.objects.get(pk=handle.pk).result_ttl == stored


def test_what_is_to_be_kept_for_ever_is_kept(settings: Any) -> None:
    settings.CQ_RESULT_TTL = 0
    kept = forced(Status.COMPLETE, result_ttl=KEPT_FOREVER)
    child = forced(Status.COMPLETE, kept)
    forced(Status.COMPLETE, result_ttl=5)
    forced(Status.COMPLETE)

    assert prune.prune(DB, NOW) == 2

    assert ids() == {kept.pk, child.pk}


def test_a_tree_goes_by_the_outcome_of_its_root() -> None:
    root = forced(Status.INCOMPLETE, finished=ago(days=8))
    child = forced(Status.COMPLETE, root, finished=ago(days=9))
    assert prune.prune(DB, NOW) == 0
    assert ids() == {root.pk, child.pk}

    assert prune.prune(DB, NOW + timedelta(days=23)) == 2


def test_a_pass_is_bounded_and_no_outcome_starves_another() -> None:
    old = [
        draft(Status.COMPLETE, finished=ago(days=100 + n), result_ttl=None)
        for n in range(7)
    ]
    saved(old)
    lost = forced(Status.LOST, finished=ago(days=100))

    assert prune.prune(DB, NOW, limit=3) == 4

    assert ids() == {t.pk for t in old[:4]}
    assert lost.pk not in ids()


def test_where_nothing_is_over_one_statement_says_so() -> None:
    for status in sorted(FINAL):
        forced(status, finished=ago(days=1))
    with CaptureQueriesContext(connection) as queries:
        assert prune.prune(DB, NOW) == 0
    assert len(queries) == 2  # and one for what has a time of its own
    with CaptureQueriesContext(connection) as queries:
        assert sweep.sweep(DB, NOW) == 0
    assert len(queries) <= 10


@pytest.mark.backend("postgres", "valkey", "sqlite")
def test_what_is_kept_is_not_read_to_find_what_is_over() -> None:
    # By the database's own clock, whose moment the planner does not know.
    now = timezone.now()
    forced_many(3_000, Status.COMPLETE, finished=now - timedelta(days=1))
    forced_many(300, Status.FAILURE, finished=now - timedelta(days=8))
    forced_many(3, Status.COMPLETE, finished=now - timedelta(days=8))
    analyze("cq_tasks", "cq_edges")

    with CaptureQueriesContext(connection) as queries:
        assert prune.prune(DB) == 3

    looks = [q["sql"] for q in queries if "finished" in q["sql"]]
    assert len(looks) == 3
    for sql in looks[1:]:
        found = plan(sql.replace("%", "%%"))
        assert "cq_prunable_by_setting" in found, found
        # Of edges, tags and stacks there are none, of which the planner makes nothing.
        none = re.sub(r"\bcq_(edges|tags|stacks)\b", r"\1", found)
        assert not reads_all(none), found


def test_the_settings_in_effect_are_shown(settings: Any, capsys: Any) -> None:
    call_command("cq", "settings")
    assert "{'COMPLETE': '7d', 'default': '30d'}" in capsys.readouterr().out
    settings.CQ_RESULT_TTL = {"default": timedelta(days=1)}
    call_command("cq", "settings", "--format", "json")
    assert '"default": "P1DT00H00M00S"' in capsys.readouterr().out
