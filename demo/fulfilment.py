"""Runs an order, kills its worker in each of its steps, and counts what came of them."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from rich.table import Table
from shop.models import Entry
from shop.orders import PARCELS, fulfil

from cq.models import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from workers import Crew

PATIENCE = 90.0  # seconds
ORDER = 1
#: Not in the second parcel: it waits for SQLite's one write lock, which the first has.
KILLED_IN = ("charge", "reserve", PARCELS[0], "mail")


def show(console: Console, crew: Crew) -> bool:
    """Show it; True when the effect of each step is there once."""
    fulfilment = Fulfilment(console, crew)
    console.print(
        "\nAn order is one function of several steps. Now a worker is killed in each.\n"
    )
    try:
        order = fulfilment.run()
    except TimeoutError as error:
        console.print(f"[bold red]{error}[/]")
        return False
    return report(console, order, fulfilment)


class Fulfilment:
    """One order, and two workers for it: when the one dies, the other has it in seconds."""

    def __init__(self, console: Console, crew: Crew) -> None:
        self.console = console
        self.crew = crew
        self.end = time.monotonic() + PATIENCE

    def run(self) -> Task[str]:
        """Return the order, which has ended. Raises TimeoutError."""
        self._man()
        order = fulfil.delay(ORDER, KILLED_IN)
        for step in KILLED_IN:
            if step == PARCELS[0]:
                self._kill_while_it_waits(order)
            self._kill_in(order, step)
        self._until(lambda: self._row(order).done, "its end")
        return self._row(order)

    def begun(self, step: str) -> list[int]:
        """Return the processes that have begun a step, as they have printed it."""
        found = re.findall(
            rf"order {ORDER}: {step} begun by (\d+)\n", self.crew.log.read_text()
        )
        return [int(pid) for pid in found]

    def _man(self) -> None:
        while len(self.crew.workers) < 2:
            self.crew.start()

    def _kill_in(self, order: Task[str], step: str) -> None:
        self._until(lambda: bool(self.begun(step)), step)
        # The step takes long, so it is not over.
        group = os.getpgid(self.begun(step)[0])
        for worker in [w for w in self.crew.workers if w.pid == group]:
            self.crew.kill(worker)
            self._tell(step, f"worker {worker.pid} was killed (SIGKILL) in it")
        if step != KILLED_IN[-1]:
            self._man()

    def _kill_while_it_waits(self, order: Task[str]) -> None:
        waiting = Task.objects.waiting_for("approval").filter(pk=order.pk)
        self._until(waiting.exists, "approval")
        for worker in list(self.crew.workers):
            self.crew.kill(worker)
        order.send("approval", {"by": "ann"})
        self._tell("approval", "all workers were killed; ann has approved without one")
        self._man()

    def _tell(self, step: str, what: str) -> None:
        self.console.print(f"  {step:<12}[bold red]{what}[/]")

    def _until(self, happened: Callable[[], bool], what: str) -> None:
        while not happened():
            if time.monotonic() > self.end:
                raise TimeoutError(
                    f"the order has not come to {what} in {PATIENCE:g} s"
                )
            time.sleep(0.05)

    @staticmethod
    def _row(order: Task[str]) -> Task[str]:
        return Task.objects.get(pk=order.pk)


def report(console: Console, order: Task[str], fulfilment: Fulfilment) -> bool:
    """Show how often each step was begun, and how often it was done."""
    console.print(f"\nThe order is [bold]{order.status}[/]: {order.result!r}")
    table = Table(
        "  step", "begun", "done", box=None, pad_edge=False, padding=(0, 4, 0, 0)
    )
    once = True
    for step in ("charge", "reserve", *PARCELS, "mail"):
        done = Entry.objects.filter(order=ORDER, what=step).count()
        once = once and done == 1
        table.add_row(f"  {step}", str(len(fulfilment.begun(step))), f"[bold]{done}[/]")
    console.print(table)
    return once and order.status == Task.STATUS_COMPLETE
