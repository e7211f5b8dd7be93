"""The verb ``limits``: the named limits, what is set of them, and what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from cq.cli.asker import asked_by, note
from cq.cli.verb import Verb, add_format
from cq.conf import conf
from cq.limits.operating.changing import NUMBERS, reset_limit, set_limit
from cq.limits.operating.standing import Standing, standings

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from cq.cli.output import Output
    from cq.definitions.limits import Limit


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "limit", nargs="?", metavar="NAME", help="one of CQ_LIMITS; else all"
    )
    parser.add_argument("--rate", metavar="N/s", help='set it, such as "50/s" or "5/m"')
    parser.add_argument("--burst", type=int, metavar="N", help="set it, 1 to 1,000,000")
    parser.add_argument(
        "--concurrency", type=int, metavar="N", help="set it, 1 to 100,000"
    )
    parser.add_argument("--reason", help="shown wherever the limit is")
    parser.add_argument(
        "--by", metavar="WHO", help="who sets it (your login, and host)"
    )
    parser.add_argument(
        "--reset", action="store_true", help="take back what is set of it"
    )
    add_format(parser)


def limits(output: Output, options: dict[str, Any]) -> None:
    name, numbers = _asked(options)
    if options["reset"]:
        _reset(name)
    elif numbers:
        _set(name, numbers, options)
    found = standings(conf.DATABASE, name)
    if name is not None and not found and not options["reset"]:
        there = ", ".join(repr(one.name) for one in standings(conf.DATABASE)) or "none"
        raise CommandError(
            f"there is no limit {name!r} in CQ_LIMITS; there are: {there}"
        )
    if output.as_json:
        output.json({"limits": [_as_json(one) for one in found]})
        return
    if options["reset"]:
        output.line(f"limit {name!r} is as the settings say")
    elif numbers:
        output.line(f"limit {name!r} is set; it holds within a second")
    if found:
        rows = [_line(one) for one in found]
        output.table(tuple(rows[0]), [tuple(row.values()) for row in rows])
    elif not options["reset"]:
        output.line("CQ_LIMITS names no limit")


def _asked(options: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the name, and the numbers that are to be set; raises CommandError."""
    name = options["limit"]
    numbers = {n: options[n] for n in NUMBERS if options[n] is not None}
    if name is None and (numbers or options["reset"]):
        raise CommandError("name the limit: cq limits NAME --rate 50/s")
    if numbers and options["reset"]:
        raise CommandError("give numbers, or --reset; not both")
    for flag in ("reason", "by"):
        if options[flag] is not None and not numbers:
            raise CommandError(
                f"--{flag} is of what is set: give --rate, --burst or --concurrency, too"
            )
    return name, numbers


def _set(name: str | None, numbers: dict[str, Any], options: dict[str, Any]) -> None:
    assert name is not None
    by = options["by"] or asked_by("cq limits")
    try:
        set_limit(name, numbers, reason=options["reason"] or "", by=by)
    except ValueError as error:
        raise CommandError(str(error)) from None
    said = ", ".join(f"{number} {value}" for number, value in numbers.items())
    note("cq limits", f"limit {name!r}: {said}", 1)


def _reset(name: str | None) -> None:
    assert name is not None
    try:
        was_set = reset_limit(name)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if not was_set:
        raise CommandError(
            f"nothing is set of limit {name!r}; it is as the settings say"
        )
    note("cq limits", f"limit {name!r}: reset", 1)


def _as_json(one: Standing) -> dict[str, Any]:
    row = one.set
    return {
        "limit": one.name,
        **_numbers(one.now),
        "key": one.key,
        "running": one.running,
        "waiting": one.waiting,
        "more": one.more,
        "closed_until": one.closed_until,
        "settings": None if one.given is None else _numbers(one.given),
        "set": None if row is None else _numbers(row),
        "since": row and row.since,
        "by": (row and row.by) or None,
        "reason": (row and row.reason) or None,
    }


def _numbers(of: Any) -> dict[str, Any]:
    return {number: getattr(of, number, None) for number in NUMBERS}


def _line(one: Standing) -> dict[str, Any]:
    row = one.set
    more = "+" * one.more
    return {
        "limit": one.name,
        **{number: _cell(one, number) for number in NUMBERS},
        "running": f"{one.running:,}{more}",
        "waiting": f"{one.waiting:,}{more}",
        "closed until": one.closed_until,
        "since": row and row.since,
        "by": (row and row.by) or None,
        "reason": (row and row.reason) or None,
    }


def _cell(one: Standing, number: str) -> Any:
    """Return what holds, and behind it in parentheses what the settings say, if not that."""
    if one.given is None:
        return "not in CQ_LIMITS" if number == NUMBERS[0] else None
    now, given = (_shown(limit, number) for limit in (one.now, one.given))
    if one.set is None or getattr(one.set, number) is None:
        return now
    return f"{now} ({given or 'none'})"


def _shown(limit: Limit | None, number: str) -> Any:
    # What a burst is by default is worth to be seen.
    return getattr(limit, "bucket" if number == "burst" else number, None)


VERBS = (
    Verb("limits", "the named limits, and what is set of them", _arguments, limits),
)
