"""What the enqueuing processes ask for that is durable, by weight; and what they send."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.db import transaction
from journal import SENT
from work import steps

from cq import AlreadySettled, publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from workload import Client

#: Seconds after which it is no wonder if who was to get it has given up: he waits
#: for longer, but it may take its time until what was sent is committed.
IN_TIME = 8.0
#: Seconds that what is published is kept: longer than any queue of a busy machine.
KEPT = 900.0


def orders(client: Client) -> int:
    """Approved by most, refused by some; some are revoked, and some get no answer."""
    count = client.random.randint(1, 3)
    made = client.enqueue(
        steps.order.s(count, client.seconds()), result=list(range(count))
    )
    yes = client.random.random() < 0.8
    if client.random.random() < 0.95:
        # Two of one key: the second does not count.
        letters = [({"yes": yes, "number": n}, "answer") for n in range(2)]
        send_later(client, made, "approval", letters, in_time=yes)
    if client.random.random() < 0.15:
        client.revoke_later(made)
    return 1 + count


def trips(client: Client) -> int:
    count = client.random.randint(1, 4)
    how = client.random.choice(["raised", "below", "collected"])
    made = client.enqueue(steps.trip.s(count, client.seconds(), how))
    if client.random.random() < 0.2:
        client.revoke_later(made)
    return 3 + count


def mailboxes(client: Client) -> int:
    count = client.random.randint(2, 5)
    made = client.enqueue(steps.mailbox.s(count), count=count)
    # Each twice, as a webhook may come.
    letters = [(n, n) for n in range(count) for _ in range(2)]
    send_later(client, made, "letter", letters)
    return 1


def subscribers(client: Client) -> int:
    topic = f"topic {client.random.getrandbits(60)}"
    some = client.random.randint(2, 4)
    made = [client.enqueue(steps.subscriber.s(topic)) for _ in range(some)]
    began = time.monotonic()

    def publish_it() -> None:
        for n in range(2):
            publish(topic, n, key="once", keep=KEPT)
        if time.monotonic() - began < IN_TIME:
            for task in made:
                client.journal.write(SENT, task.pk)

    client.later(client.random.uniform(0.0, 2.0), publish_it)
    return some


def stocktakings(client: Client) -> int:
    count = client.random.randint(10, 100)
    chunk = client.random.randint(3, 20)
    client.enqueue(steps.stocktaking.s(count, chunk), result=count, count=count)
    return 1


def begun_anew(client: Client) -> int:
    of = client.random.randint(2, 5)
    client.enqueue(steps.rounds.s(of), result=of, count=of)
    return 1


def errands(client: Client) -> int:
    times = client.random.randint(0, 2)
    client.enqueue(steps.errands.s(client.seconds(), times), result=times)
    return 1


def journeys(client: Client) -> int:
    made = client.enqueue(steps.journey.s(client.seconds()))
    send_later(client, made, "word", [(0, "a"), (1, "a")])
    if client.random.random() < 0.2:
        client.revoke_later(made)
    return 1


def patchworks(client: Client) -> int:
    count = client.random.randint(2, 5)
    client.enqueue(
        steps.patchwork.s(count, client.seconds()), result=count, count=count
    )
    return 1


def send_later(
    client: Client,
    task: Any,
    name: str,
    letters: list[tuple[Any, object]],
    *,
    in_time: bool = True,
) -> None:
    """Send all letters, each with its key; in a transaction, or in one of its own.

    in_time: whether to note that all of them were there in time.
    """
    began = time.monotonic()
    rolls_back = client.random.random() < 0.3

    def send() -> None:
        try:
            if rolls_back:
                unsent(task, name)
            for payload, key in letters:
                task.send(name, payload, key=key)
        except AlreadySettled:
            return
        if in_time and time.monotonic() - began < IN_TIME:
            client.journal.write(SENT, task.pk)

    client.later(client.random.uniform(0.0, 2.0), send)


def unsent(task: Any, name: str) -> None:
    """Send what nobody may get."""
    with transaction.atomic():
        task.send(name, "of a transaction that rolls back", key="unsent")
        transaction.set_rollback(True)


#: By weight, beside those of `workload`.
ACTIONS: dict[Callable[[Client], int], int] = {
    orders: 12,
    trips: 5,
    mailboxes: 5,
    subscribers: 3,
    stocktakings: 6,
    begun_anew: 5,
    errands: 5,
    journeys: 5,
    patchworks: 4,
}
