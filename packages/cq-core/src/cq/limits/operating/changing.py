"""What operators set of named limits, in place of what the settings say, and take back.

Workers read what is set each half second (:mod:`cq.limits.overrides`). Lanes that a limit
holds are opened behind the commit, so that its keys are looked at again; a worker that holds
one by what was set before finds that out behind its own commit, and opens it again.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import connections, transaction

from cq.conf import conf
from cq.db.clock import database_now
from cq.db.transactions import at_once
from cq.definitions.limits import Limit, named_limits
from cq.tables.limits.queries import lanes, limits_set
from cq.tables.worker_rows import LONGEST_BY, LONGEST_REASON
from cq.text import brief, named_by, remark
from cq.workers import doorbell

from .naming import held_lanes, literal_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from cq.tables.limits.rows import LimitRow

#: What can be set.
NUMBERS = ("rate", "burst", "concurrency")
#: Lanes that one transaction opens.
_LANES_AT_ONCE = 200


def set_limit(
    name: str, numbers: Mapping[str, Any], *, reason: str = "", by: object = ""
) -> LimitRow | None:
    """Set some of rate, burst and concurrency of a named limit; return what is set of it.

    numbers: by name, as `Limit` takes them; None: as the settings say, again. What is not
    among them stays as it was set. Where nothing is left that is set, its row goes, and
    None is returned. It holds within a second, or in a transaction within one of its
    commit; what runs goes on.

    reason: up to 1,000 characters. by: who sets it, such as ``request.user``; kept as text,
    of 200 characters.

    Raises ValueError for a name that ``CQ_LIMITS`` lacks, and for numbers that are no
    limit, alone or with what the settings say; nothing is set then. TypeError for what is
    no number's name, or no text.
    """
    limit = _known(name)
    for number in numbers:
        if number not in NUMBERS:
            raise TypeError(f"{brief(number)} is none of {', '.join(NUMBERS)}")
    said = remark("reason", reason, LONGEST_REASON)
    using = conf.DATABASE
    with at_once(using):
        row = limits_set(using).select_for_update().filter(name=name).first()
        row = row or limits_set(using).model(name=name)
        for number, value in numbers.items():
            setattr(row, number, value)
        _check(row, limit)
        row.reason, row.by = said, named_by(by, LONGEST_BY)
        row.since = database_now(using)
        found = _write(using, row)
        _look_again(using, name)
    return found


def reset_limit(name: str) -> bool:
    """Take back what is set of a named limit; False: nothing was.

    Raises ValueError for a name that ``CQ_LIMITS`` lacks, unless something is set of it.
    """
    using = conf.DATABASE
    with transaction.atomic(using=using):
        was_set = limits_set(using).filter(name=name).delete()[0] > 0
        if not was_set:
            _known(name)
        _look_again(using, name)
    return was_set


def _known(name: str) -> Limit:
    found = named_limits().get(name)
    if found is not None:
        return found
    there = ", ".join(map(repr, named_limits())) or "none"
    raise ValueError(
        f"there is no limit {brief(name)} in CQ_LIMITS; there are: {there}; a limit that a "
        "task has by Limit(...) is set in its code"
    )


def _check(row: LimitRow, limit: Limit) -> None:
    """Raise ValueError where what is set, and what the settings say besides, is no limit."""
    together = {
        number: getattr(limit if getattr(row, number) is None else row, number)
        for number in NUMBERS
    }
    Limit(**together)


def _write(using: str, row: LimitRow) -> LimitRow | None:
    of = limits_set(using).filter(name=row.name)
    if all(getattr(row, number) is None for number in NUMBERS):
        of.delete()
        return None
    unique = None if connections[using].vendor == "mysql" else ["name"]
    limits_set(using).bulk_create(
        [row],
        update_conflicts=True,
        update_fields=[*NUMBERS, "reason", "by", "since"],
        unique_fields=unique,
    )
    return of.get()


# --- what a limit holds is looked at again --------------------------------------------


def _look_again(using: str, name: str) -> None:
    """Have workers look again at what a limit holds, once that is committed."""
    transaction.on_commit(partial(_open, using, name), using=using)


def _open(using: str, name: str) -> None:
    limit = named_limits().get(name)
    key = None if limit is None else literal_key(limit)
    # At once: among very many that others hold it takes a while to find the rest, which has
    # another key from before that was changed in the settings.
    opened = 0 if key is None else _open_held(using, name, key)
    opened += _open_held(using, name)
    if not opened:
        doorbell.ring(using, [(doorbell.LANES, "")])


def _open_held(using: str, name: str, key: str | None = None) -> int:
    """Open the lanes that a limit holds, and ring for them; how many. key: that holds them."""
    queue, opened = "", 0
    found: list[int] = []
    for lane in held_lanes(using, key):
        if name not in lane.names:
            continue
        queue, opened = lane.queue, opened + 1
        found.append(lane.pk)
        if len(found) == _LANES_AT_ONCE:
            _open_some(using, found)
            found.clear()
    _open_some(using, found)
    if opened:
        doorbell.ring(using, [(doorbell.LANES, queue)])
    return opened


def _open_some(using: str, ids: Sequence[int]) -> None:
    """Open lanes that are held. Those that do not fit are held again by who looks."""
    if connections[using].vendor == "mysql":
        # One by one: it locks rows in an order of its own, and others lock several.
        for pk in ids:
            lanes(using).filter(pk=pk).update(held_by=None)
        return
    with transaction.atomic(using=using):
        # In the order in which their rows are made, see `cq.limits.newcomers`.
        rows = lanes(using).filter(pk__in=ids).order_by("queue", "priority", "lane")
        locked = list(rows.select_for_update().values_list("pk", flat=True))
        lanes(using).filter(pk__in=locked).update(held_by=None)
