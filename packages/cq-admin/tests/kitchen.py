"""A task with every annotation that a form has a field for, and what it was called with."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional
from uuid import UUID

from django.contrib.auth.models import Permission, User  # noqa: TC002

from cq import Limit, task

if TYPE_CHECKING:
    # Found by its name all the same.
    from django.contrib.auth.models import Group

OrderId = NewType("OrderId", int)


class Colour(enum.Enum):
    RED = "r"
    GREEN = "<b>g</b>"


#: By parameter: what is typed, and what the function gets.
TYPED: dict[str, tuple[Any, Any]] = {
    "whole": ("-7", -7),
    "number": ("2.5", 2.5),
    "price": ("10.50", Decimal("10.50")),
    "yes": ("true", True),
    "text": ("a 'b' <c>", "a 'b' <c>"),
    "lines": ("a\r\n\r\nb\r\n", "a\n\nb\n"),
    "day": ("2026-07-01", date(2026, 7, 1)),
    "clock": ("06:30", time(6, 30)),
    "moment": ("2026-07-01T06:30:15", datetime(2026, 7, 1, 11, 30, 15, tzinfo=UTC)),
    "length": ("1 02:30:00", timedelta(days=1, hours=2, minutes=30)),
    "ident": (
        "12345678-1234-5678-1234-567812345678",
        UUID("12345678-1234-5678-1234-567812345678"),
    ),
    "colour": ("GREEN", Colour.GREEN),
    "size": ("m", "m"),
    "maybe": ("", None),
    "perhaps": ("5", 5),
    "order": ("99", 99),
    "items": ('[1, {"$": "decimal", "v": "1.5"}]', [1, Decimal("1.5")]),
    "table": ('{"a": [null]}', {"a": [None]}),
    "anything": ('{"$": "tuple", "v": [1, 2]}', (1, 2)),
    "union": ('"x"', "x"),
}
GOT: list[tuple[tuple[Any, ...], dict[str, Any]]] = []


@task("kitchen.cook", queue="kitchen", retries=3)
def cook(
    cqt: Any,
    whole: int,
    number: float,
    price: Decimal,
    yes: bool,
    text: str,
    lines: str,
    day: date,
    clock: time,
    moment: datetime,
    length: timedelta,
    ident: UUID,
    colour: Colour,
    size: Literal["s", "m"],
    maybe: Optional[int],  # noqa: UP045
    perhaps: int | None,
    order: Annotated[OrderId, "of the shop"],
    items: list[Any],
    table: dict[str, Any],
    anything,  # type: ignore[no-untyped-def]
    union: int | str,
    user: User,
    permission: Permission,
    group: Group,
    *rest: int,
    note: str = "by <hand>",
    **more: Any,
) -> None:
    """Cook what is ordered.

    <script>alert(1)</script>
    """
    given = dict(locals())
    args = [v for k, v in given.items() if k not in ("cqt", "rest", "note", "more")]
    GOT.append(((*args, *rest), {"note": note, **more}))


@task("kitchen.defaults")
def with_defaults(
    cqt: Any,
    first: int,
    second: int = 5,
    third: str = "abc",
    fourth: list[int] | None = None,
    fifth: object = object(),
    /,
    *,
    sixth: bool = True,
) -> None: ...


@task("kitchen.secrets", redact=("card",))
def secrets(
    cqt: Any,
    order: str,
    card: str,
    api_token: str = "default-s3cret",  # noqa: S107
    settings: dict[str, Any] | None = None,
    private: Any = None,
) -> None: ...


@task("kitchen.unique", unique=lambda order: f"order:{order}")
def unique(cqt: Any, order: int) -> None: ...


@task("kitchen.remembered", unique="order:{order}", unique_for=90)
def remembered(cqt: Any, order: int) -> None: ...


@task("kitchen.debounced", unique="later:{order}", debounce=90)
def debounced(cqt: Any, order: int, note: str = "") -> None: ...


def _by_order(order: int) -> str:
    return f"order {order}"


@task(
    "kitchen.limited",
    limits=[
        Limit(concurrency=2, rate="5/m", key="order:{order}"),
        Limit(rate="9/s", burst=3, key=_by_order),
        Limit(concurrency=4),
    ],
    fair="{order}",
)
def limited(cqt: Any, order: int) -> None: ...


@task("kitchen.turns", fair=_by_order)
def turns(cqt: Any, order: int) -> None: ...


@task("kitchen.any_order")
def any_order(cqt: Any, order: int) -> None: ...


@task("kitchen.plain", atomic=False)
def plain(cqt: Any, value: Any = None) -> None: ...


@task("kitchen.anything")
def anything(*args: Any, **kwargs: Any) -> None: ...


@task("kitchen.hostile")
def hostile(
    cqt: Any,
    text: str = "</textarea><script>alert(1)</script>\u202e",
    n: Any = "'\"><b>",
) -> None:
    """</pre><script>alert(1)</script> \u202e"""
