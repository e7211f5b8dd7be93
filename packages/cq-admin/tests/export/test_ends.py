"""What an export says where it ends before its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from django.db import DatabaseError, OperationalError, connections
from exported import URL, lines, names, table

from cq.conf import conf
from cq_admin.export import walk
from cq_admin.task_list import windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client

    from cq.models import Task

pytestmark = pytest.mark.django_db


def followed(client: Client, query: str = "") -> list[list[dict[str, Any]]]:
    """The lines of each file, as the last line of one leads to the next."""
    files, address = [], f"{URL}export/ndjson/?{query}"
    while address:
        text = b"".join(client.get(address)).decode()  # type: ignore[arg-type]
        files.append([json.loads(line) for line in text.splitlines()])
        assert len(files) < 20
        address = files[-1][-1].get("next", "")
    return files


def test_no_more_than_a_bound_and_the_last_line_says_where_to_go_on(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "AT_ONCE", 2)
    monkeypatch.setattr(walk, "MOST_TASKS", 3)
    monkeypatch.setattr("cq_admin.export.file.MOST_TASKS", 3)
    made = [row(name=f"n{n}", queue="a&b") for n in range(7)]
    row(name="other")

    files = followed(staff, urlencode({"queue": "a&b", "since": "1h"}))

    assert [[line.get("name", "cut") for line in file] for file in files] == [
        ["n6", "n5", "n4", "cut"],
        ["n3", "n2", "n1", "cut"],
        ["n0"],
    ]
    last = files[0][-1]
    assert last["cut"].startswith("An export has no more than 3 tasks.")
    assert "back to 20" in last["cut"]
    assert last["next"].startswith(f"http://testserver{URL}export/ndjson/?")
    assert last["next"].endswith(f"&before={made[4].pk}")
    # An hour before the first file, in all of them.
    assert "since=20" in last["next"]

    cut = table(staff, urlencode({"queue": "a&b"}))[-1]
    assert cut["id"].startswith("An export has no more than 3 tasks.")
    assert cut["id"].endswith(f"queue=a%26b&before={made[4].pk}")
    assert set(cut.values()) == {cut["id"], ""}


def test_what_is_whole_says_nothing_of_a_cut(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MOST_TASKS", 3)
    for n in range(3):
        row(name=f"n{n}")
    assert names(staff) == ["n2", "n1", "n0"]


class Clock:
    """Seconds that pass when it is asked."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.mark.usefixtures("few_at_once")
def test_after_its_time_it_ends_and_says_so(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        row(name=f"n{n}")
    clock = Clock(11)
    monkeypatch.setattr("cq_admin.export.view.time.monotonic", clock)
    [*found, cut] = lines(staff)
    assert [line["name"] for line in found] == ["n4", "n3"]
    assert cut["cut"].startswith("An export takes no longer than 20 s.")
    monkeypatch.undo()
    rest = staff.get(cut["next"])
    assert b"".join(rest).count(b"\n") == 3  # type: ignore[arg-type]


@pytest.mark.usefixtures("few_at_once")
def test_it_is_cut_in_the_language_of_its_reader(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.utils import translation

    monkeypatch.setattr(walk, "MOST_TASKS", 1)
    row()
    row()
    with translation.override("de"):
        answer = staff.get(f"{URL}export/ndjson/", headers={"accept-language": "de"})
    with translation.override("fr"):
        text = b"".join(answer).decode()  # type: ignore[arg-type]
    assert json.loads(text.splitlines()[-1])["cut"].startswith("Ein Export hat")


class Failing:
    """A database that answers once, and then fails."""

    def __init__(self, error: Exception) -> None:
        self.asked, self.error, self.own = 0, error, windows.Look.page

    def __call__(self, *args: Any) -> Any:
        self.asked += 1
        if self.asked > 2:  # once for the list itself
            raise self.error
        return self.own(*args)


@pytest.mark.usefixtures("few_at_once")
def test_a_database_that_fails_on_the_way_is_told_in_the_file_too(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [row(name=f"n{n}") for n in range(5)]
    failing = Failing(OperationalError("gone"))
    monkeypatch.setattr(windows.Look, "page", lambda *args: failing(*args))
    answer = staff.get(f"{URL}export/ndjson/")
    sent: Iterator[bytes] = iter(answer)  # type: ignore[arg-type]
    text = b"".join(next(sent) for _ in range(3)).decode()
    cut = json.loads(text.splitlines()[-1])
    assert text.count("\n") == 3
    assert cut["cut"].startswith("The database has failed.")
    assert cut["next"].endswith(f"?before={made[3].pk}")
    with pytest.raises(DatabaseError):
        next(sent)


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.backend("postgres", "valkey")
def test_row_s21_a_statement_that_takes_too_long_ends_an_export(
    staff: Client,
    row: Callable[..., Task],
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    settings.CQ_ADMIN_TIMEOUT = 0.1
    for n in range(5):
        row(name=f"n{n}")
    asked, own = [0], windows.Look.page

    def page(*args: Any) -> Any:
        asked[0] += 1
        if asked[0] > 2:
            with connections[conf.DATABASE].cursor() as cursor:
                cursor.execute("SELECT pg_sleep(60)")
        return own(*args)

    monkeypatch.setattr(windows.Look, "page", page)
    [*found, cut] = lines(staff)
    assert [line["name"] for line in found] == ["n4", "n3"]
    assert cut["cut"].startswith("A statement took more than 0.1 s (CQ_ADMIN_TIMEOUT).")
    monkeypatch.undo()
    with connections[conf.DATABASE].cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
