"""How a database finds what an export reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from asked import questions
from django.db import connection
from django.utils import timezone
from exported import URL
from plans import analyze, plan, reads_all

from cq.ids import uuid7
from cq.models import Tag, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.backend("postgres")
def test_no_statement_reads_a_table_from_end_to_end(
    staff: Client, queries: Callable[..., list[str]]
) -> None:
    now = timezone.now()
    ids = [uuid7() for _ in range(20_000)]
    Task.objects.bulk_create(
        Task(
            pk=pk,
            root_id=pk,
            name=f"n{n % 50}",
            queue="mail" if n % 3 else "default",
            status=Status.COMPLETE if n % 7 else Status.FAILURE,
            submitted=now,
            started=now,
            finished=now,
        )
        for n, pk in enumerate(ids)
    )
    Tag.objects.bulk_create(Tag(tag="often", task_id=pk) for pk in ids[::2])
    # Of a small table a part of some hundred rows is read with all the rest.
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cq_tags (tag, task_id)"
            " SELECT 'other-' || n, id FROM cq_tasks, generate_series(1, 15) n"
        )
    analyze("cq_tasks", "cq_tags")
    addresses = ("", "status=FAILURE", "tag=often", "queue=mail", "q=n1", "level=top")
    for query in addresses:
        answer = staff.get(f"{URL}export/csv/?{query}")
        sent: Iterator[bytes] = iter(answer)  # type: ignore[arg-type]
        said = queries(lambda sent=sent: [next(sent) for _ in range(3)])
        asked = [sql for sql in questions(said) if "FROM" in sql]
        assert len(asked) > 3, query
        for sql in asked:
            how = plan(sql.replace("%", "%%"))
            assert not reads_all(how), (query, how)
