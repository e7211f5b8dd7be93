"""Runs the import, kills its worker half-way, and counts what came of it."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from shop.models import Product
from shop.tasks import LINES, PARTS, import_catalogue, import_part

from cq.models import Task

if TYPE_CHECKING:
    from rich.console import Console
    from workers import Crew

PATIENCE = 50.0  # seconds


def show(console: Console, crew: Crew) -> bool:
    """Show it; True when nothing was lost or doubled."""
    worker = crew.start()
    console.print(f"Worker [bold]{worker.pid}[/] started. It imports a catalogue.\n")
    job = import_catalogue.delay()
    killed = None
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
    ) as bar:
        line = bar.add_task("import", total=PARTS)
        shown, end = 0, time.monotonic() + PATIENCE
        while not job.done and time.monotonic() < end:
            time.sleep(0.1)
            job.refresh_from_db()
            said = list(job.logs.filter(number__gt=shown))
            for entry in said:
                bar.console.print(f"  [dim]{entry.number:>3}  {entry.message}[/]")
            shown = said[-1].number if said else shown
            done = _parts(job).filter(status=Task.STATUS_COMPLETE).count()
            bar.update(line, completed=done)
            running = _parts(job).filter(status=Task.STATUS_RUNNING)
            if killed is None and done >= PARTS // 2 and running.exists():
                killed = worker.pid
                crew.kill(worker)
                bar.console.print(
                    f"\n[bold red]Worker {killed} was killed (SIGKILL) after "
                    f"{done} parts.[/]"
                )
                worker = crew.start()
                bar.console.print(f"Worker [bold]{worker.pid}[/] started.\n")
    job.refresh_from_db()
    return _report(console, job, killed)


def _parts(job: Task) -> object:
    return job.subtasks.filter(name=import_part.name)


def _report(console: Console, job: Task, killed: int | None) -> bool:
    numbers = Counter(Product.objects.values_list("number", flat=True))
    wanted = PARTS * LINES
    lost = wanted - len(numbers)
    doubled = sum(count > 1 for count in numbers.values())
    again = _parts(job).filter(losses__gt=0).count()
    console.print(f"\nThe import is [bold]{job.status}[/]: {job.result!r}")
    console.print(
        f"  products wanted {wanted}, lost [bold]{lost}[/], doubled [bold]{doubled}[/]\n"
        f"  parts that ran again because worker {killed} died under them: {again}\n"
        f"  lines in the log of the import: {job.logs.count()}"
    )
    return job.status == Task.STATUS_COMPLETE and not lost and not doubled
