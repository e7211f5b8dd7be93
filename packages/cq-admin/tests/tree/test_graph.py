"""The tree as a graph, on the page of its task."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from cq.models import Edge, Task
from cq.status import Status
from cq_admin.tree import graph, layers

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


def page(client: Client, row: Task, query: str = "view=graph") -> str:
    answer = client.get(f"/admin/cq/task/{row.pk}/change/?{query}")
    assert answer.status_code == 200
    return str(answer.content.decode())


def tree(client: Client, row: Task, query: str = "view=graph") -> str:
    text = page(client, row, query)
    start = text.index('id="tree"')
    return text[start : text.index("</section>", start)]


def boxes(text: str) -> list[str]:
    return re.findall(r"<title>([^:]*):", text)


@pytest.fixture
def shop(row: Callable[..., Task]) -> dict[str, Task]:
    root = row(Status.WAITING, name="shop.day", started=timezone.now())
    below = {"parent": root, "root": root}
    first = row(name="shop.read", **below)
    second = row(Status.FAILURE, name="shop.write", error="boom", **below)
    mail = row(Status.PENDING, name="shop.mail", **below)
    Edge.objects.create(task=second, depends_on=first, met=True)
    Edge.objects.create(task=mail, depends_on=second)
    return {"root": root, "first": first, "second": second, "mail": mail}


def test_each_task_is_a_box_that_leads_to_it(
    staff: Client, shop: dict[str, Task]
) -> None:
    text = tree(staff, shop["root"])
    assert boxes(text) == ["shop.day", "shop.read", "shop.write", "shop.mail"]
    for task in shop.values():
        assert f'href="/admin/cq/task/{task.pk}/change/"' in text
    # Colour is not all that tells what failed.
    assert "failed 0" in text
    assert 'class="cq-box-bad"' in text
    assert "cq-branches" not in text
    assert "style=" not in text
    # Recorded by the root is only the first: the others come after one that is drawn.
    solid = re.findall(r'<path d="([^"]*)"[^>]*stroke-dasharray="none"', text)
    dashed = re.findall(r'<path d="([^"]*)"[^>]*stroke-dasharray="2 3"', text)
    assert solid[0].count("M") == 4
    assert dashed[0].count("M") == 2


def test_the_list_leads_to_it_and_it_to_the_list(
    staff: Client, shop: dict[str, Task]
) -> None:
    text = tree(staff, shop["root"], "x=1")
    assert "<svg width" not in text
    assert 'href="?x=1&amp;view=graph#tree">As a graph' in text
    assert 'href="?x=1#tree">As a list' in tree(staff, shop["root"], "x=1&view=graph")
    assert "Critical path" in tree(staff, shop["root"])


def test_it_asks_for_no_more_than_the_list(
    staff: Client, shop: dict[str, Task], queries: Callable[..., list[str]]
) -> None:
    page(staff, shop["root"])
    as_list = queries(lambda: page(staff, shop["root"], ""))
    assert len(queries(lambda: page(staff, shop["root"]))) == len(as_list)


def test_many_of_a_name_are_one_box_with_the_lines_of_all(
    staff: Client, row: Callable[..., Task]
) -> None:
    root = row(name="root")
    below = {"parent": root, "root": root}
    many = [row(name="leaf", **below) for _ in range(60)]
    merge = row(name="merge", **below)
    for one in many:
        Edge.objects.create(task=merge, depends_on=one, met=True)
    text = tree(staff, root)
    assert boxes(text) == ["root", "leaf", "merge"]
    assert "60 complete" in text
    assert text.count("M") < 30


def test_what_is_cut_short_is_said(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "MOST_BOXES", 5)
    monkeypatch.setattr(layers, "MOST_BENDS", 0)
    root = row(name="root")
    tasks = [row(name=f"task{n}", parent=root, root=root) for n in range(7)]
    for before, after in itertools.pairwise(tasks):
        Edge.objects.create(task=after, depends_on=before, met=True)
    Edge.objects.create(task=tasks[3], depends_on=tasks[0], met=True)
    text = tree(staff, root)
    assert len(boxes(text)) == 5
    assert "3 more rows are only in the list" in text
    assert "1 line is not drawn" in text


def test_hostile_names_are_text(staff: Client, row: Callable[..., Any]) -> None:
    root = row(name="<b>root</b>")
    row(
        Status.FAILURE,
        name="</title><script>x</script>\u202e",
        parent=root,
        root=root,
        error="<img src=x>",
    )
    text = tree(staff, root)
    for part in ("<b>", "<script", "<img", "\u202e"):
        assert part not in text
    assert text.count("<title>") == text.count("</title>") == 2


def test_a_task_alone_has_none(staff: Client, row: Callable[..., Any]) -> None:
    assert 'id="tree"' not in page(staff, row(name="alone"))
