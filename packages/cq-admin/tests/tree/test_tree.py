"""The tree on the page of a task: what is one row, what is open, and what it costs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from asked import questions
from django.db import connections
from django.utils import timezone

from cq.conf import conf
from cq.ids import uuid7
from cq.models import Edge, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


def page(client: Client, row: Task) -> str:
    answer = client.get(f"/admin/cq/task/{row.pk}/change/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def tree(client: Client, row: Task) -> str:
    text = page(client, row)
    start = text.index('id="tree"')
    return text[start : text.index("</section>", start)]


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def bulk(
    parent: Task, count: int, status: str = Status.COMPLETE, **columns: Any
) -> None:
    """Seed many children of one name."""
    now = timezone.now()
    columns.setdefault("name", "leaf")
    ended = (
        {"started": now, "finished": now} if status in ("COMPLETE", "FAILURE") else {}
    )
    made = Task.objects.bulk_create(
        Task(
            pk=uuid7(),
            parent=parent,
            root_id=parent.root_id,
            status=status,
            submitted=now,
            **{**ended, **columns},
        )
        for _ in range(min(500, count))
    )
    copy(made, count)


def last(parent: Task, **columns: Any) -> None:
    """Seed a child that failed, behind all others: copies have ids of any kind."""
    now = timezone.now() - timedelta(hours=1)
    Task.objects.create(
        pk=UUID(int=2**128 - 1 - uuid7().int % 2**20),
        parent=parent,
        root_id=parent.root_id,
        status=Status.FAILURE,
        submitted=now,
        started=now,
        finished=now,
        **columns,
    )


#: An id of any kind, by which a database copies rows.
NEW_ID = {
    "postgresql": "gen_random_uuid()",
    "sqlite": "lower(hex(randomblob(16)))",
    "mysql": "UUID()",
}


def copy(made: list[Task], count: int) -> None:
    """Copy rows until there are so many: of a hundred thousand the ORM takes a minute."""
    connection = connections[conf.DATABASE]
    columns = [field.column for field in Task._meta.concrete_fields]
    sources = [NEW_ID[connection.vendor] if c == "id" else f"t.{c}" for c in columns]
    ids = ", ".join(f"'{task.pk.hex}'" for task in made)
    with connection.cursor() as cursor:
        for rest in range(count - len(made), 0, -len(made)):
            cursor.execute(
                f"INSERT INTO cq_tasks ({', '.join(columns)}) "
                f"SELECT {', '.join(sources)} FROM cq_tasks t "
                f"WHERE t.id IN ({ids}) LIMIT {min(rest, len(made))}"
            )


def analyze() -> None:
    connection = connections[conf.DATABASE]
    if connection.vendor != "mysql":
        with connection.cursor() as cursor:
            for table in ("cq_tasks", "cq_edges", "cq_logs"):
                cursor.execute(f"ANALYZE {table}")


def test_it_is_an_indented_list_with_a_bar_a_row(
    staff: Client, row: Callable[..., Task]
) -> None:
    root = row(Status.WAITING, name="import_day", started=timezone.now())
    north = row(Status.COMPLETE, name="region", parent=root, root=root)
    row(name="store", parent=north, root=root)
    south = row(Status.WAITING, name="region_south", parent=root, root=root)
    failed = row(
        Status.FAILURE,
        name="bad_store",
        parent=south,
        root=root,
        exception="shop.GatewayTimeout",
        error="no answer\nat all",
    )
    mail = row(Status.PENDING, name="mail", parent=root, root=root)
    Edge.objects.create(task=mail, depends_on=south)
    text = tree(staff, root)
    names = re.findall(r'<span class="cq-name"><a href="[^"]*"><bdi>(\w+)<', text)
    assert names == [
        "import_day",
        "region",
        "store",
        "region_south",
        "bad_store",
        "mail",
    ]
    depths = re.findall(r"cq-branch cq-depth-(\d)", text)
    assert depths == ["0", "1", "2", "1", "2", "1"]
    assert text.count('role="img"') == 6
    # What failed is seen at once, with those above it; what went well is not.
    assert re.findall(r"<details( open)?><summary class", text) == [
        " open",
        "",
        " open",
    ]
    assert "GatewayTimeout: no answer" in text
    assert "at all" not in text
    assert "after <bdi>region_south</bdi>" in text
    assert "style=" not in text
    for tag in ("ul", "li", "details"):
        assert text.count(f"<{tag}") - text.count("<link") == text.count(f"</{tag}>")
    assert str(failed.pk) in text


def test_many_of_a_name_are_one_row_with_what_failed(
    staff: Client, row: Callable[..., Task]
) -> None:
    root = row(Status.WAITING, name="root", started=timezone.now())
    bulk(root, 51)
    bulk(root, 25, Status.FAILURE, error="boom")
    bulk(root, 3, name="other")
    text = tree(staff, root)
    assert "<bdi>leaf</bdi> x 76" in text
    assert "51 <span" in text
    assert "25 <span" in text
    assert text.count("boom") == 20
    assert text.count(">other<") == 3
    assert f"?parent={root.pk}&amp;name=leaf" in text
    assert "status=FAILURE" in text
    link = re.findall(r'href="(/admin/cq/task/\?parent=[^"]*status[^"]*)"', text)[0]
    listed = staff.get(link.replace("&amp;", "&"))
    assert listed.status_code == 200
    assert len(listed.context["cl"].result_list) == 25


def test_many_of_a_name_tell_how_long_they_took(
    staff: Client, row: Callable[..., Task]
) -> None:
    root = row(Status.WAITING, name="root", started=timezone.now())
    start = timezone.now() - timedelta(minutes=9)
    took = [1, 2, 3] * 20 + [40]
    for seconds in took:
        end = start + timedelta(seconds=seconds)
        last = row(name="leaf", parent=root, root=root, started=start, finished=end)
    failed = timedelta(seconds=30)
    row(
        Status.FAILURE,
        name="leaf",
        parent=root,
        root=root,
        started=start,
        finished=start + failed,
    )
    text = plain(tree(staff, root)).replace("\N{NO-BREAK SPACE}", " ")
    assert "p50 ~2 s" in text
    assert "the slowest: 40 s" in text
    assert f"/admin/cq/task/{last.pk}/change/" in tree(staff, root)


def test_so_do_those_that_are_only_counted(
    staff: Client, row: Callable[..., Task]
) -> None:
    root = row(Status.WAITING, name="root", started=timezone.now())
    start = timezone.now() - timedelta(minutes=9)
    times = {"started": start, "finished": start + timedelta(seconds=2)}
    bulk(root, 900, **times)
    end = start + timedelta(seconds=40)
    slow = row(name="leaf", parent=root, root=root, started=start, finished=end)
    bulk(root, 300, **times)
    bulk(root, 100, Status.WAITING, started=start)
    text = tree(staff, root)
    assert f"/admin/cq/task/{slow.pk}/change/" in text
    words = plain(text).replace("\N{NO-BREAK SPACE}", " ")
    assert "p50 ~2 s" in words
    assert "the slowest: 40 s" in words


def test_what_failed_behind_all_that_is_counted_is_shown(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cq_admin.tree import beyond

    monkeypatch.setattr(beyond, "MOST_COUNTED", 700)
    root = row(Status.WAITING, name="root", started=timezone.now())
    bulk(root, 800)
    last(root, name="leaf", error="far behind")
    last(root, name="other", error="of another")
    text = tree(staff, root)
    assert "The first" in text
    assert "far behind" in text
    assert "of another" in text


def test_a_name_that_failed_often_hides_no_other(
    staff: Client, row: Callable[..., Task]
) -> None:
    root = row(Status.WAITING, name="root", started=timezone.now())
    bulk(root, 600, Status.FAILURE, error="boom", name="often")
    for number in range(7):
        bulk(root, 2, Status.FAILURE, error="now and then", name=f"name{number}")
    last(root, name="once", error="rare")
    text = tree(staff, root)
    assert text.count("boom") == 20
    assert "rare" in text


def test_the_path_goes_by_what_ended_last_of_very_many(
    staff: Client, row: Callable[..., Task]
) -> None:
    now = timezone.now()
    root = row(name="root", submitted=now, started=now, finished=now)
    bulk(root, 700)
    end = now + timedelta(seconds=30)
    last = row(name="leaf", parent=root, root=root, started=now, finished=end, error="")
    Task.objects.filter(pk=root.pk).update(finished=end)
    bulk(root, 700)
    text = tree(staff, root)
    path = text[text.index('id="critical-path"') :]
    assert f"/admin/cq/task/{last.pk}/change/" in path


def test_a_subtask_shows_what_is_below_it_and_leads_to_the_whole(
    staff: Client, row: Callable[..., Task]
) -> None:
    root = row(name="root")
    middle = row(name="middle", parent=root, root=root)
    row(name="below", parent=middle, root=root)
    row(name="beside", parent=root, root=root)
    text = tree(staff, middle)
    assert "below" in text
    assert "beside" not in text
    assert f"/admin/cq/task/{root.pk}/change/#tree" in text
    assert "Critical path" not in text


def test_the_critical_path_is_told(staff: Client, row: Callable[..., Task]) -> None:
    start = timezone.now() - timedelta(minutes=5)

    def times(*at: int) -> dict[str, Any]:
        names = ("submitted", "ready", "started", "finished")
        moments = (start + timedelta(seconds=second) for second in at)
        return dict(zip(names, moments, strict=False))

    root = row(name="root", **times(0, 0, 1, 41))
    first = row(
        name="first", parent=root, root=root, queue="slow", **times(1, 1, 29, 30)
    )
    last = row(name="last", parent=root, root=root, **times(1, 30, 31, 41))
    row(name="quick", parent=root, root=root, **times(1, 1, 2, 3))
    Edge.objects.create(task=last, depends_on=first, met=True)
    text = plain(tree(staff, root))
    text = text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Of 41 s, 30 s went by in queues" in text
    assert "won in the queue slow: 28 s." in text
    path = text[text.index("Its tasks") :]
    assert "first" in path
    assert "last" in path
    assert "quick" not in path


@pytest.mark.parametrize("children", [600, 100_000])
def test_a_hundred_thousand_children_are_few_rows_and_twelve_queries(
    staff: Client,
    row: Callable[..., Task],
    queries: Callable[..., list[str]],
    reads_a_table: Callable[[str], bool],
    children: int,
) -> None:
    # Of another tree; what a table has nothing but, a database reads from end to end.
    bulk(row(name="other"), 20_000)
    root = row(Status.WAITING, name="root", started=timezone.now())
    bulk(root, children - 501)
    bulk(root, 100, Status.FAILURE, error="boom")
    bulk(root, 400, Status.QUEUED)
    merge = row(Status.PENDING, name="merge", parent=root, root=root)
    analyze()
    page(staff, root)  # what a process asks once, it has asked
    asked = questions(queries(lambda: page(staff, root)))
    assert len(asked) <= 12
    assert [sql for sql in asked if reads_a_table(sql)] == []
    assert [sql for sql in asked if scans(sql)] == []
    text = tree(staff, root)
    assert text.count("<li>") <= 60
    assert f"leaf</bdi> x {children - 1:,}" in text
    assert text.count("boom") == 20
    assert "merge" in text
    assert f"{children - 401} / {children}" in page(staff, root)
    assert merge.status == Status.PENDING


def scans(sql: str) -> bool:
    """Tell whether PostgreSQL would read the table from end to end."""
    connection = connections[conf.DATABASE]
    if connection.vendor != "postgresql" or not sql.startswith(("SELECT", "WITH")):
        return False
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    return bool(re.search(r"Seq Scan on cq_tasks", plan))


def test_hostile_names_and_errors_are_text(
    staff: Client, row: Callable[..., Task]
) -> None:
    root = row(name="<b>root</b>")
    row(
        Status.FAILURE,
        name="<script>x</script>\u202e",
        parent=root,
        root=root,
        error="<img src=x>\x1b[31m",
    )
    for _ in range(51):
        row(name="<i>many</i>", parent=root, root=root)
    text = tree(staff, root)
    for tag in ("<b>", "<script", "<img", "<i>", "\u202e", "\x1b"):
        assert tag not in text


def test_a_deep_tree_is_shown_whole(staff: Client, row: Callable[..., Task]) -> None:
    root = above = row(name="top")
    for n in range(80):
        above = row(name=f"level{n}", parent=above, root=root)
    text = tree(staff, root)
    assert text.count("<li>") == 81
    assert text.count("<summary class=") == 30
