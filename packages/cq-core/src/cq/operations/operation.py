"""What an operation is to do, as the arguments of its task say it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cq.definitions.signatures import OPERATION
from cq.ids import read_id
from cq.text import LONGEST_ERROR, brief, unstorable

from .filter import TaskFilter
from .found import Found
from .verbs import VERBS, Verb

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

LONGEST_REASON = 500
LONGEST_ASKER = 200
#: Minutes that tasks are spread over: a week.
LONGEST_SPREAD = 7 * 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A verb, the tasks that it is for, and who wants it why; see `of` for what is wrong."""

    verb: Verb
    filter: TaskFilter
    #: What was recorded after this one is not touched; None: there was no task.
    newest: UUID | None
    #: How many tasks there were; None: it is not known.
    total: int | None = None
    reason: str = ""
    #: Who asked for it.
    by: str = ""
    #: Minutes over which the tasks begin, one after the other.
    spread: float = 0
    #: The priority, or the queue, that the tasks get.
    value: Any = None

    @classmethod
    def of(cls, given: Any) -> Operation:
        """Return what plain arguments say; raises ValueError for what cannot be done."""
        if not isinstance(given, dict):
            raise ValueError(f"the operation is {brief(given)}, but must be an object")
        unknown = sorted(set(map(str, given)) - set(_READ))
        if unknown:
            raise ValueError(
                f"the operation has {brief(unknown[0])}, which this release does not know"
            )
        missing = [name for name in ("verb", "filter", "newest") if name not in given]
        if missing:
            raise ValueError(f"the operation has no {missing[0]}")
        made = cls(**{name: _READ[name](value) for name, value in given.items()})
        made.check()
        return made

    def check(self) -> None:
        """Raise ValueError for what the verb does not take."""
        if self.verb.check is not None:
            self.verb.check(self.value)
        if self.spread and not self.verb.spreads:
            raise ValueError(f"{self.verb.name} cannot be spread over a time")
        if self.spread and self.total is None:
            raise ValueError(
                "there are too many tasks to be counted in time, so they cannot be "
                "spread; narrow the filter"
            )

    def as_json(self) -> dict[str, Any]:
        """Return it as plain arguments, which `of` reads."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        given["verb"] = self.verb.name
        given["filter"] = self.filter.as_json()
        given["newest"] = None if self.newest is None else self.newest.hex
        return given

    def found(self, using: str) -> Found:
        """Return the tasks that it is for."""
        return Found(using, self.filter, self.verb, self.newest)

    def starts(self, ids: list[UUID], before: int) -> dict[UUID, timedelta]:
        """Return how long from now each of these is to wait, behind so many before them."""
        if not self.spread or not self.total:
            return {}
        seconds = self.spread * 60
        # Some start together, or the statement would be as long as the list.
        together = -(-len(ids) // MOST_STARTS)
        parts: dict[UUID, timedelta] = {}
        for at, task_id in enumerate(sorted(ids)):
            place = min(self.total, before + at - at % together)
            parts[task_id] = timedelta(seconds=seconds * place / self.total)
        return parts

    def key(self) -> str:
        """Return what it has in common with those that do the same."""
        same = [self.verb.name, self.filter.as_json(), self.value]
        text = json.dumps(same, sort_keys=True)
        return f"{OPERATION}:{hashlib.sha256(text.encode()).hexdigest()}"

    def words(self) -> str:
        """Return it as text, for its log."""
        count = "" if self.total is None else f" of {self.total:,} tasks"
        by = f", asked by {self.by}" if self.by else ""
        chosen = json.dumps(self.filter.as_json())
        if self.filter.ids is not None:
            chosen = f"{len(self.filter.ids):,} by their ids"
        reason = f". {self.reason}" if self.reason else ""
        return f"{self.verb.name}{count}{by}: {chosen}{reason}"

    def revoked(self, task_id: UUID) -> str:
        """Return what revoked tasks have for an error."""
        by = f" by {self.by}" if self.by else ""
        reason = f" {self.reason}" if self.reason else ""
        return f"It was revoked{by} in operation {task_id}.{reason}"[:LONGEST_ERROR]

    def why(self, task_id: UUID) -> str:
        """Return what stands in the history of a task that was retried by it."""
        return f"In operation {task_id}. {self.reason}".rstrip()


#: Moments that the tasks of a batch are spread over.
MOST_STARTS = 100


# --- reading --------------------------------------------------------------------------


def _verb(given: Any) -> Verb:
    verb = VERBS.get(given) if isinstance(given, str) else None
    if verb is None:
        raise ValueError(
            f"the verb is {brief(given)}, but must be one of {', '.join(VERBS)}"
        )
    return verb


def _newest(given: Any) -> UUID | None:
    found = read_id(given)
    if given is not None and found is None:
        raise ValueError(f"newest is {brief(given)}, but must be the id of a task")
    return found


def _total(given: Any) -> int | None:
    if given is not None and (type(given) is not int or given < 0):
        raise ValueError(f"total is {brief(given)}, but must be a number of tasks")
    return given


def _text(what: str, longest: int) -> Callable[[Any], str]:
    def read(given: Any) -> str:
        if not isinstance(given, str) or len(given) > longest or unstorable(given):
            raise ValueError(
                f"{what} is {brief(given)}, but must be text of at most {longest} "
                "characters that every database stores"
            )
        return given

    return read


def _spread(given: Any) -> float:
    if type(given) not in (int, float) or not 0 <= given <= LONGEST_SPREAD:
        raise ValueError(
            f"spread is {brief(given)}, but must be a number of minutes, 0 to "
            f"{LONGEST_SPREAD:,}"
        )
    return float(given)


_READ: dict[str, Callable[[Any], Any]] = {
    "verb": _verb,
    "filter": TaskFilter.of,
    "newest": _newest,
    "total": _total,
    "reason": _text("reason", LONGEST_REASON),
    "by": _text("by", LONGEST_ASKER),
    "spread": _spread,
    "value": lambda given: given,
}
