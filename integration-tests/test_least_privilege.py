"""The role that docs/security.md gives a site is enough, and is no more than that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import ProgrammingError, connection

from cq import task
from cq.status import Status
from cq.testing import run_tasks
from cq_scheduler import run_now
from cq_scheduler.models import RepeatingTask

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("postgres"),
]

PAGE = Path(__file__).parent.parent / "docs" / "security.md"


@task("least_privilege.parent", result_ttl=0)
def parent(cqt: Any) -> None:
    cqt.log("about to")
    cqt.subtask(child)


@task("least_privilege.child")
def child(cqt: Any) -> int:
    return 1


@pytest.fixture
def role() -> Iterator[None]:
    (statements,) = re.findall(r"(?s)```sql\n(.*?)```", PAGE.read_text())
    with connection.cursor() as cursor:
        cursor.execute(statements)
        cursor.execute("SET ROLE cq_site")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("DROP OWNED BY cq_site")
        cursor.execute("DROP ROLE cq_site")


@pytest.mark.usefixtures("role")
def test_row_s14_the_role_runs_schedules_and_prunes_tasks(settings: Any) -> None:
    from cq.maintenance import prune

    settings.CQ_RUN_INLINE = False
    row = RepeatingTask.objects.create(name=parent.name, crontab="@daily")
    made = run_now(row)
    run_tasks()
    made.refresh_from_db()
    assert made.status == Status.COMPLETE
    assert made.logs.count() == 1
    assert prune.prune("default") > 0
    row.delete()


@pytest.mark.usefixtures("role")
def test_row_s14_the_role_has_nothing_else() -> None:
    with connection.cursor() as cursor, pytest.raises(ProgrammingError):
        cursor.execute("SELECT * FROM auth_user")
    with connection.cursor() as cursor, pytest.raises(ProgrammingError):
        cursor.execute("DROP TABLE cq_tasks")
