"""Keys that a format string makes of a call's arguments."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from cq import chain, group, task
from cq.definitions.signatures import Call
from cq.definitions.templates import Template
from cq.models import Task
from cq.testing import run_tasks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task(unique="report:{day}:{kind}")
def report(cqt: Any, day: Any, kind: str = "short") -> str:
    return f"{day} {kind}"


@task(unique="{{{day:%Y/%m}}}")
def monthly(cqt: Any, day: date) -> None: ...


@task(unique="{first}/{rest}/{by}/{extra}")
def takes_any(cqt: Any, first: Any, /, *rest: Any, by: Any = None, **more: Any) -> Any:
    return first


@task(unique="{number}")
def of_anything(*args: Any, **kwargs: Any) -> None: ...


@task(unique="{nobody}")
def of_nobody(cqt: Any, somebody: Any) -> None: ...


@task
def number(cqt: Any) -> int:
    return 1


def key(function: Any, *args: Any, **kwargs: Any) -> str | None:
    return Call(function.definition, args, kwargs).unique_key()


def test_the_arguments_are_taken_by_their_names() -> None:
    assert key(report, 7) == "report:7:short"
    assert key(report, 7, "long") == key(report, kind="long", day=7) == "report:7:long"
    assert key(monthly, date(2027, 1, 31)) == "{2027/01}"
    assert key(takes_any, 1, 2, by=Decimal("1.50"), extra="x") == "1/(2,)/1.50/x"
    assert key(of_anything, number=4) == "4"


def test_attributes_and_items_are_those_of_the_value() -> None:
    order = SimpleNamespace(pk=5, lines=["a", "b"])

    @task("templates.parts", unique="{order.pk}:{order.lines[1]}:{order.pk!r:>{width}}")
    def of_parts(cqt: Any, order: Any, width: int = 3) -> None: ...

    assert key(of_parts, order) == "5:b:  5"


def test_calls_with_one_key_are_one_task() -> None:
    first, again = report.delay(1), report.delay(kind="short", day=1)
    other = report.delay(1, "long")

    assert (again.created, again) == (False, first)
    assert other.created
    assert Task.objects.get(pk=first.pk).unique_key == "report:1:short"


def test_many_at_once_have_a_key_each() -> None:
    made = report.delay_many([(1,), (2,), (1, "short")])

    assert [t.created for t in made] == [True, True, False]


def test_a_string_of_using_is_the_key_itself() -> None:
    made = report.using(unique="{day}").delay(1)
    part = report.s(2).using(unique="}{").delay()

    assert (made.unique_key, part.unique_key) == ("{day}", "}{")


def test_it_is_shown_as_it_was_written() -> None:
    unique: Any = report.definition.options.unique

    assert isinstance(unique, Template)
    assert str(unique) == "report:{day}:{kind}"


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", r"unique is '\{', which is no format string"),
        ("a}", "double a brace"),
        ("{}", r"\{\} names no argument"),
        ("{0}", r"\{0\} names no argument"),
        ("{day!x}", r"\{day!x\} names no argument"),
        ("{day:{}}", "names no argument"),
        ("{a b}", "like {customer_id}"),
        ("", "unique is '', but must be a key"),
        ("x" * 201, "1 to 200 characters"),
        ("\x00{day}", "no NUL"),
    ],
)
def test_what_is_no_template_is_refused_at_the_decorator(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):

        @task("templates.refused", unique=text)
        def refused(cqt: Any, day: Any) -> None: ...


@pytest.mark.parametrize("call", [of_nobody.s(1), of_anything.s(1)])
def test_an_argument_that_is_missing_is_refused_at_the_call(call: Any) -> None:
    with pytest.raises(TypeError, match=r"has no argument '(nobody|number)'"):
        call.delay()

    assert not Task.objects.exists()


@pytest.mark.parametrize("in_what", [lambda t: t, lambda t: [{"x": (t,)}]])
def test_the_result_of_another_task_makes_no_key(in_what: Any) -> None:
    before = number.delay()

    with pytest.raises(TypeError, match="argument 'day' is the result of another task"):
        report.delay(in_what(before))

    assert report.using(unique="one").delay(in_what(before)).created
    assert Task.objects.count() == 2


def test_what_comes_from_a_chain_makes_no_key() -> None:
    for made in (
        chain(number.s(), report.s()),
        group(number.s() | report.s("x")),
        chain(number.s(), report.s()).delay,
    ):
        with pytest.raises(TypeError, match="argument 'day' is the result"):
            made() if callable(made) else made.delay()

    assert not Task.objects.exists()
    chain(number.s(), report.si("monday")).delay()
    assert Task.objects.get(name=report.name).unique_key == "report:monday:short"


@pytest.mark.parametrize("value", ["x" * 200, "nul \x00", "\ud800"])
def test_a_key_that_no_row_can_have_is_refused_at_the_call(value: str) -> None:
    with pytest.raises(ValueError, match="the unique key"):
        report.delay(value)

    assert not Task.objects.exists()


def test_what_has_no_such_part_is_refused_without_its_value() -> None:
    with pytest.raises(ValueError, match="cannot be made of the arguments") as caught:
        monthly.delay("a secret")  # type: ignore[arg-type]

    assert "a secret" not in str(caught.value)
    assert not Task.objects.exists()


def test_a_list_that_holds_itself_is_refused_as_ever() -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(ValueError, match=r"nested|itself|levels"):
        report.delay(endless)


@pytest.mark.django_db(transaction=True)
def test_a_subtask_has_its_key_by_the_template() -> None:
    @task("templates.parent")
    def parent(cqt: Any) -> Any:
        return [cqt.subtask(report, "a"), cqt.subtask(report, "a")]

    made = parent.delay()
    run_tasks()

    assert made.get(5) == ["a short", "a short"]


def test_a_serial_run_makes_its_keys_alike() -> None:
    @task("templates.serial", unique="{n}")
    def serial(cqt: Any, n: int) -> Any:
        return serial.delay(n + 1).created if n == 1 else n

    @task("templates.serial_missing")
    def missing(cqt: Any) -> None:
        of_nobody.delay(1)

    assert serial(1) is True
    with pytest.raises(TypeError, match="has no argument 'nobody'"):
        missing()
