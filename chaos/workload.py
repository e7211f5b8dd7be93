"""What the enqueuing processes ask for, by weight; each returns how many rows it makes."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, InterfaceError, transaction
from journal import COMMITTED, MADE, REVOKED, ROLLED_BACK, Journal
from stepped import asking
from work import tasks

from cq import chain, group, queues
from cq.db.clock import database_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random


class OnPurpose(Exception):
    """Rolls a transaction back."""


@dataclass
class Client:
    """One enqueuing process: its chances, its journal, and what it means to do later.

    scale: of the seconds that tasks take.
    """

    random: Random
    journal: Journal
    scale: float = 1.0
    #: By the monotonic clock; the number tells apart what is meant for one moment.
    errands: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _number: int = 0

    def seconds(self) -> float:
        """Mostly short, now and then long enough to be killed in the middle."""
        kind = self.random.random()
        longest = 0.02 if kind < 0.75 else 0.5 if kind < 0.97 else 4.0
        return round(self.random.uniform(0, longest) * self.scale, 3)

    def enqueue(self, call: Any, **facts: Any) -> Any:
        """Half of them in autocommit, half in a transaction with a COMMIT of its own."""
        if self.random.random() < 0.5:
            made = call.delay()
            self.journal.write(COMMITTED, made.pk, **facts)
            return made
        with transaction.atomic():
            made = call.delay()
            self.journal.write(MADE, made.pk, **facts)
        self.journal.write(COMMITTED, made.pk)
        return made

    def later(self, seconds: float, errand: Callable[[], None]) -> None:
        """Do something once the seconds are over, until the database lets it."""
        self._number += 1
        at = time.monotonic() + seconds
        heapq.heappush(self.errands, (at, self._number, errand))

    def run_errands(self) -> None:
        """Do what is due; raises what the database says, and does it again then."""
        while self.errands and self.errands[0][0] <= time.monotonic():
            errand = heapq.heappop(self.errands)[2]
            try:
                errand()
            except (DatabaseError, InterfaceError):
                self.later(0.5, errand)
                raise

    def revoke_later(self, task: Any) -> None:
        def revoke() -> None:
            if task.revoke("The chaos run revoked it."):
                self.journal.write(REVOKED, task.pk)

        self.later(self.random.uniform(0.0, 1.0), revoke)


def plain(client: Client) -> int:
    client.enqueue(tasks.write.s(client.seconds(), client.seconds()), result="written")
    return 1


def outside(client: Client) -> int:
    """Without a transaction, on threads and on the loop."""
    kind = client.random.choice(
        [
            tasks.at_most_once,
            tasks.at_least_once,
            tasks.coroutine,
            tasks.patient_coroutine,
        ]
    )
    client.enqueue(kind.s(client.seconds()), result="done")
    return 1


def coroutine_in_transaction(client: Client) -> int:
    client.enqueue(tasks.async_write.s(client.seconds()), result="written")
    return 1


def raising(client: Client) -> int:
    kind = client.random.choice([tasks.flaky, tasks.flaky_outside])
    times = client.random.randint(1, 2)
    client.enqueue(kind.s(times), result="at last")
    return 1


def failing(client: Client) -> int:
    """One that fails, and its errorback."""
    with transaction.atomic():
        failed = tasks.fails.delay()
        client.journal.write(MADE, failed.pk)
        handler = failed.errorback(tasks.handle)
        client.journal.write(MADE, handler.pk, result="handled")
    client.journal.write(COMMITTED, failed.pk)
    client.journal.write(COMMITTED, handler.pk)
    return 2


def overdue(client: Client) -> int:
    client.enqueue(tasks.too_slow.s())
    return 1


def in_bulk(client: Client) -> int:
    count = client.random.randint(10, 60)
    with transaction.atomic():
        made = list(tasks.nothing.delay_many([()] * count))
        for task in made:
            client.journal.write(MADE, task.pk)
    for task in made:
        client.journal.write(COMMITTED, task.pk)
    return count


def trees(client: Client) -> int:
    width, depth = client.random.choice([(3, 1), (8, 1), (2, 2), (3, 2), (2, 3)])
    client.enqueue(tasks.tree.s(width, depth), result=width)
    return sum(width**level for level in range(depth + 1))


def open_trees(client: Client) -> int:
    width = client.random.randint(2, 6)
    client.enqueue(tasks.open_tree.s(width), result=width)
    return 1 + width


def fans(client: Client) -> int:
    n = client.random.randint(2, 12)
    client.enqueue(tasks.fan_in.s(n), result=n * (n - 1) // 2)
    return n + 2


def chains(client: Client) -> int:
    n = client.random.randint(0, 99)
    if client.random.random() < 0.5:
        client.enqueue(tasks.returns_chain.s(n), result=n + 4)
        return 3
    call = chain(tasks.leaf.s(n), tasks.add.s(2), tasks.add.s(3))
    client.enqueue(call, result=n + 5)
    return 4


def groups(client: Client) -> int:
    n = client.random.randint(2, 8)
    call = group([tasks.leaf.s(i) for i in range(n)])
    client.enqueue(call, result=list(range(n)))
    return n + 1


def revoked(client: Client) -> int:
    """Queued, running, or waiting for its subtasks when that comes."""
    call = client.random.choice(
        [
            tasks.write.s(client.seconds(), 1.5 * client.scale),
            tasks.at_least_once.s(1.5 * client.scale),
            tasks.coroutine.s(1.5 * client.scale),
            tasks.tree.s(3, 2),
            tasks.write.using(run_after=timedelta(seconds=1)).s(),
        ]
    )
    client.revoke_later(client.enqueue(call))
    return 1


def unique(client: Client) -> int:
    key = f"key {client.random.randint(1, 5)}"
    call = tasks.write.using(unique=key).s(client.seconds())
    client.enqueue(call, result="written")
    return 1


def timed(client: Client) -> int:
    seconds = timedelta(seconds=client.random.uniform(0.2, 4.0))
    if client.random.random() < 0.5:
        client.enqueue(tasks.write.using(run_after=seconds).s(), result="written")
    else:
        client.enqueue(tasks.write.using(expires=seconds).s(), result="written")
    return 1


def limited(client: Client) -> int:
    """A customer's, of whom there are 200; some have more to do than others."""
    key = str(int(200 * client.random.random() ** 3))
    client.enqueue(tasks.limited.s(key, client.seconds()), result="done")
    return 1


def metered(client: Client) -> int:
    client.enqueue(tasks.metered.s(), result="done")
    return 1


def paused(client: Client) -> int:
    """In a queue that is paused now and then, for a moment."""
    if client.random.random() < 0.1:
        until = database_now("default") + timedelta(seconds=client.random.uniform(1, 4))
        queues.pause("paused", reason="chaos", until=until)
    key = str(int(200 * client.random.random()))
    limited = tasks.limited.using(queue="paused").s(key, 0.01)
    call = client.random.choice([tasks.pausable.s(), limited])
    client.enqueue(call, result="done")
    return 1


def rolled_back(client: Client) -> int:
    """Recorded, with a workflow around it, and undone: none of it may run."""
    made: list[Any] = []
    try:
        with transaction.atomic():
            made = [tasks.write.delay(), tasks.leaf.delay(1)]
            made.append(made[1].chain(tasks.add, (1,)))
            for task in made:
                client.journal.write(MADE, task.pk)
            time.sleep(client.random.uniform(0, 0.05))
            raise OnPurpose
    except OnPurpose:
        for task in made:
            client.journal.write(ROLLED_BACK, task.pk)
    return 0


def partly_rolled_back(client: Client) -> int:
    """A savepoint is undone, the transaction around it commits."""
    with transaction.atomic():
        kept = tasks.leaf.delay(7)
        client.journal.write(MADE, kept.pk, result=7)
        try:
            with transaction.atomic():
                undone = tasks.write.delay()
                client.journal.write(MADE, undone.pk)
                raise OnPurpose
        except OnPurpose:
            client.journal.write(ROLLED_BACK, undone.pk)
    client.journal.write(COMMITTED, kept.pk)
    return 1


#: By weight: out of about a hundred and fifty.
ACTIONS: dict[Callable[[Client], int], int] = {
    plain: 24,
    outside: 18,
    coroutine_in_transaction: 5,
    raising: 6,
    failing: 3,
    overdue: 1,
    in_bulk: 3,
    trees: 6,
    open_trees: 4,
    fans: 4,
    chains: 6,
    groups: 4,
    revoked: 5,
    unique: 3,
    timed: 4,
    limited: 14,
    metered: 6,
    paused: 4,
    rolled_back: 4,
    partly_rolled_back: 2,
    **asking.ACTIONS,
}
