"""Tags in the list and on the page of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from plans import analyze, plan, reads_all
from sent_forms import sent

from cq import task
from cq.definitions.tags import MOST_TAGS
from cq.models import Task
from cq.status import Status
from cq_admin.task_pages.admin import TaskAdmin

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/"
ORDER = "order:4711"


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task("tagged.plain")
def plain(cqt: Any, *given: Any) -> None: ...


@task("tagged.nightly", tags=["nightly"])
def nightly(cqt: Any) -> None: ...


@task("tagged.by_order", tags=lambda order: [f"order:{order}"] if order else None)
def by_order(cqt: Any, order: int) -> None: ...


def listed(client: Client, query: str) -> list[Any]:
    page = client.get(f"{URL}?{query}")
    assert page.status_code == 200
    return [row.pk for row in page.context["cl"].result_list]


def test_the_list_has_the_tasks_of_a_tag_the_newest_first(staff: Client) -> None:
    first, second = (plain.using(tags=[ORDER, "eu"]).delay(n) for n in range(2))
    other = plain.using(tags=["eu"]).delay()
    nightly.delay()

    assert listed(staff, f"tag={ORDER}") == [second.pk, first.pk]
    assert listed(staff, f"q=tag:{ORDER}") == [second.pk, first.pk]
    assert listed(staff, "tag=eu") == [other.pk, second.pk, first.pk]
    assert listed(staff, f"tag=eu&tag={ORDER}") == [second.pk, first.pk]
    assert listed(staff, f"q=tag:eu+tag:{ORDER}") == [second.pk, first.pk]
    assert listed(staff, f"tag=eu&q=tag:{ORDER}") == [second.pk, first.pk]
    assert listed(staff, f"tag={ORDER}&name=tagged.nightly") == []
    assert listed(staff, f"tag={ORDER}&status=QUEUED") == [second.pk, first.pk]
    assert listed(staff, f"tag={ORDER}&before={second.pk}") == [first.pk]
    assert listed(staff, f"tag={ORDER}&after={first.pk}") == [second.pk]
    assert listed(staff, "tag=order") == []


def test_a_project_may_narrow_its_pages_by_tags_of_its_own(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TaskAdmin.get_queryset

    def theirs(pages: Any, request: Any) -> Any:
        return whole(pages, request).filter(tag_rows__tag="eu")

    monkeypatch.setattr(TaskAdmin, "get_queryset", theirs)
    # By the order of the tags the pages of one would be those of the other.
    made = [plain.using(tags=[ORDER, "eu"]).delay(n) for n in range(4)]
    plain.using(tags=[ORDER]).delay()
    plain.using(tags=["eu"]).delay()
    newest_first = [one.pk for one in reversed(made)]

    assert listed(staff, f"tag={ORDER}") == newest_first
    assert listed(staff, "tag=us") == []
    assert listed(staff, f"tag={ORDER}&before={made[2].pk}") == newest_first[2:]
    assert listed(staff, f"tag={ORDER}&after={made[1].pk}") == newest_first[:2]
    assert listed(staff, f"tag={ORDER}&tag=eu&before={made[2].pk}") == newest_first[2:]


def test_any_text_may_be_a_tag(staff: Client) -> None:
    hostile = 'a/b#c?d&e=f, "g" <h> .. \u202e%'
    made = plain.using(tags=[hostile]).delay()

    assert listed(staff, f"tag={quote(hostile)}") == [made.pk]
    page = staff.get(f"{URL}{made.pk}/change/").content.decode()
    assert f'<a href="{URL}?{urlencode({"tag": hostile})}">' in page
    assert "\u202e" not in page
    assert "<h>" not in page


def test_what_is_no_tag_is_said(staff: Client) -> None:
    long = "a" * 101
    assert staff.get(f"{URL}?tag={long}").status_code == 302
    assert staff.get(f"{URL}?tag=a%00").status_code == 302
    page = staff.get(f"{URL}?q=tag:{long}").content.decode()
    assert f"{long} is no tag." in page


def test_no_more_are_looked_for_than_a_task_may_have(
    staff: Client, queries: Callable[..., list[str]]
) -> None:
    tags = [f"t{n}" for n in range(MOST_TAGS)]
    made = plain.using(tags=tags).delay()
    assert listed(staff, urlencode({"tag": [*tags, *tags]}, doseq=True)) == [made.pk]

    address = urlencode({"tag": [*tags, "more"]}, doseq=True)
    typed = urlencode({"tag": tags, "q": "tag:more"}, doseq=True)
    for query in (address, typed):
        said = queries(lambda query=query: staff.get(f"{URL}?{query}"))
        assert not [sql for sql in said if "cq_tags" in sql]
        assert listed(staff, query) == []


def test_a_new_search_keeps_every_tag(staff: Client) -> None:
    page = staff.get(f"{URL}?tag=eu&tag={ORDER}")
    assert page.context["cl"].kept == [("tag", "eu"), ("tag", ORDER)]


def test_the_page_of_a_task_links_to_what_has_the_same(
    staff: Client, queries: Callable[..., list[str]]
) -> None:
    made = nightly.using(tags=["nightly", ORDER]).delay()
    said = queries(lambda: staff.get(f"{URL}{made.pk}/change/"))

    page = staff.get(f"{URL}{made.pk}/change/").content.decode()

    assert f'<a href="{URL}?tag=order%3A4711"><bdi>{ORDER}</bdi></a>' in page
    assert f'<a href="{URL}?tag=nightly"><bdi>nightly</bdi></a>' in page
    assert not [sql for sql in said if "cq_tags" in sql]


def test_a_task_that_is_made_again_has_its_tags(staff: Client) -> None:
    made = plain.using(tags=[ORDER]).delay()
    again = f"{URL}{made.pk}/again/"
    staff.post(again, sent(staff.get(again)))

    assert listed(staff, f"tag={ORDER}")[1:] == [made.pk]


def made_again(client: Client, old: Task, **typed: str) -> tuple[str, ...]:
    again = f"{URL}{old.pk}/again/"
    answer = client.post(again, {**sent(client.get(again)), **typed})
    assert answer.status_code == 302
    return tuple(Task.objects.latest("pk").tags)


def test_with_other_arguments_it_has_those_that_its_function_makes(
    staff: Client,
) -> None:
    old = by_order.delay(4711)
    Task.objects.filter(pk=old.pk).update(
        options={"tags_from_parent": ["eu"], "tags": [ORDER]}
    )
    assert made_again(staff, old) == ("eu", ORDER)
    assert made_again(staff, old, **{"argument-order": "4712"}) == ("eu", "order:4712")
    assert made_again(staff, old, **{"argument-order": "0"}) == ("eu",)


def test_with_other_arguments_it_keeps_those_that_it_was_called_with(
    staff: Client,
) -> None:
    old = by_order.using(tags=["asked for"]).delay(4711)
    assert made_again(staff, old, **{"argument-order": "4712"}) == ("asked for",)


def test_what_a_tag_has_is_what_is_changed_together(staff: Client) -> None:
    theirs = [plain.using(tags=[ORDER]).delay(n) for n in range(3)]
    both = plain.using(tags=[ORDER, "a,b"]).delay()
    kept = plain.delay()

    page = staff.get(f"{URL}many/revoke/?tag={ORDER}&tag=a,b").content.decode()
    assert str(both.pk) in page
    assert str(theirs[0].pk) not in page
    chosen = {
        "action": "revoke_selected",
        "select_across": "1",
        "_selected_action": "x",
    }
    sent_to = staff.post(f"{URL}?tag={ORDER}", chosen)["Location"]
    assert sent_to == f"{URL}many/revoke/?tag={ORDER}"
    page = staff.get(sent_to).content.decode()
    assert str(theirs[0].pk) in page
    assert str(kept.pk) not in page


@pytest.mark.backend("postgres")
def test_a_tag_is_one_range_of_an_index_among_many_rows(staff: Client) -> None:
    plain.using(tags=["other"]).delay_many([(n,) for n in range(30_000)])
    plain.using(tags=["often"]).delay_many([(n,) for n in range(2_000)])
    plain.using(tags=["often", ORDER]).delay_many([(n,) for n in range(150)])
    plain.delay_many([(n,) for n in range(30_000)])
    Task.objects.filter(tag_rows__tag=ORDER).update(
        status=Status.COMPLETE, started=timezone.now(), finished=timezone.now()
    )
    analyze("cq_tasks", "cq_tags")
    addresses = (
        f"tag={ORDER}",
        "tag=often",
        f"tag={ORDER}&status=COMPLETE",
        f"tag={ORDER}&tag=often",
        f"q=tag:{ORDER}+charge",
        f"tag={ORDER}&before={Task.objects.filter(tag_rows__tag=ORDER).first().pk}",
    )
    for address in addresses:
        with CaptureQueriesContext(connection) as captured:
            assert staff.get(f"{URL}?{address}").status_code == 200
        found = [q["sql"] for q in captured.captured_queries if "cq_tags" in q["sql"]]
        assert found, address
        for sql in found:
            how = plan(sql.replace("%", "%%"))
            assert not reads_all(how), (address, how)
            if "&tag=" not in address:  # there are two ranges
                assert "Merge Join" not in how, (address, how)
                assert "Hash Join" not in how, (address, how)
