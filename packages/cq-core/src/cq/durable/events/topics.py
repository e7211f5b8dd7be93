"""Publishing: something is sent to all tasks that wait for its topic."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async

from cq import codec
from cq.conf import conf
from cq.db.clock import Moment
from cq.durable.committing import behind_commit, inserted
from cq.durable.keeping import seconds_of
from cq.durable.names import checked_key, checked_name
from cq.tables.durable.queries import publications
from cq.text import brief
from cq.workflow.events.topics import deliver

#: For how long a key counts once.
KEYS_COUNT_FOR = timedelta(days=7)
LONGEST = timedelta(days=365)


def publish(
    topic: str,
    payload: Any = None,
    *,
    key: object = None,
    keep: timedelta | float | None = None,
) -> bool:
    """Send something to all tasks that ``wait_for(topic=...)``; whether it counts.

    It reaches those that wait as the open transaction commits, and with `keep` those that
    come to wait within that time as well, each once. key: a second one of the same key
    does not count, for seven days, or for `keep` if that is longer.

    keep: seconds, or a timedelta of up to 365 days. Raises TypeError and ValueError for a
    topic, a key or a time, CodecError for what cannot be stored.
    """
    checked_name(topic, "a topic")
    kept_key = None if key is None else checked_key(key)
    length, using = _length(keep), conf.DATABASE
    limits = {"size_limit": conf.SIZE_LIMIT, "depth_limit": conf.DEPTH_LIMIT}
    text = codec.encode(payload, path="payload", **limits)
    rows = publications(using)
    if kept_key is not None:
        same = rows.filter(topic=topic, key=kept_key)
        # One whose time is over, and which nobody has deleted so far, is no other.
        same.filter(delivered=True, over__lt=Moment()).delete()
        if same.exists():
            return False
    remembered = KEYS_COUNT_FOR if kept_key is not None else timedelta()
    row = rows.model(
        topic=topic,
        key=kept_key,
        payload=text,
        published=Moment(),
        until=Moment(after=length) if length else None,
        over=Moment(after=max(length, remembered)),
    )
    counts = inserted(rows, row)
    behind_commit(using, partial(deliver, using, topic))
    return counts


async def apublish(topic: str, payload: Any = None, **options: Any) -> bool:
    """As `publish`, from a coroutine."""
    return await sync_to_async(partial(publish, topic, payload, **options))()


def _length(keep: object) -> timedelta:
    """Return for how long something is kept; raises TypeError and ValueError."""
    if keep is None:
        return timedelta()
    seconds = seconds_of("keep", keep)
    if not 0 < seconds <= LONGEST.total_seconds():
        raise ValueError(
            f"keep is {brief(keep)}, but must be more than 0 and at most "
            f"{LONGEST.days} days"
        )
    return timedelta(seconds=seconds)
