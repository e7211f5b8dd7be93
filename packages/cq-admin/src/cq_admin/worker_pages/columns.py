"""What the list and the page of a worker show of it, by the database's clock."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from cq.conf import conf
from cq.tables.worker_rows import PauseRow, Request, WorkerState
from cq.workers.liveness import live_among, serves
from cq.workers.pauses import in_force
from cq_admin.display.html import EMPTY, named, span, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.utils.safestring import SafeString


def silence(worker: Any) -> timedelta:
    """Return how long ago it was heard of, at the moment when its row was read."""
    age: timedelta = worker.now - worker.last_seen
    return max(age, timedelta())


def is_silent(worker: Any) -> bool:
    """Tell whether it is taken for dead; on SQLite a lock may tell that it is not."""
    if silence(worker) <= timedelta(seconds=conf.LEASE):
        return False
    return not live_among(conf.DATABASE, [worker], worker.now)


def last_seen(worker: Any) -> SafeString:
    """Show whether it is alive, when it was heard of, and what it was told."""
    tone, word = _state(worker)
    age = _("%(span)s ago") % {"span": span(silence(worker))}
    shown = format_html(
        '<span class="cq-state cq-state-{}">{}</span> {}', tone, word, age
    )
    notes = format_html_join(
        "", '<div class="cq-quiet">{}</div>', ((note,) for note in _notes(worker))
    )
    return format_html("{}{}", shown, notes)


def _state(worker: Any) -> tuple[str, str]:
    if is_silent(worker):
        return "bad", _("silent")
    if worker.state == WorkerState.DRAINING:
        return "notable", _("draining")
    if worker.state == WorkerState.QUIET:
        return "notable", _("quiet")
    return "good", _("alive")


def _notes(worker: Any) -> list[str]:
    if is_silent(worker):
        said = _(
            "The sweep of another worker gives back what it ran, or says that it is lost."
        )
        return [said]
    asked = {
        Request.QUIET.value: _("asked to claim nothing more, and has not heard it yet"),
        Request.RESTART.value: _("asked to restart, and has not heard it yet"),
    }
    return [asked[worker.asked]] if worker.asked in asked else []


def queues(worker: Any, paused: Iterable[str]) -> SafeString:
    """Show which queues it serves, and which of those are paused."""
    served = named(worker.served_queues) if worker.queues is not None else _("all")
    held = [name for name in paused if serves(worker, name)]
    if not held:
        return format_html("{}", served)
    names = format_html_join(", ", "{}", ((named(name),) for name in held))
    note = '{} <div class="cq-quiet">{}: {}</div>'
    return format_html(note, served, _("paused"), names)


def paused_queues() -> list[str]:
    """Return the queues that are paused; one statement."""
    rows = in_force(conf.DATABASE).filter(kind=PauseRow.QUEUE)
    return sorted(rows.values_list("name", flat=True))


def versions(worker: Any) -> str:
    """Show what it runs on."""
    found = worker.versions if isinstance(worker.versions, dict) else {}
    named = [f"{visible(name)}\xa0{visible(found[name])}" for name in sorted(found)]
    return ", ".join(named) or EMPTY


def memory(worker: Any) -> str:
    """Show what it had in memory at its last heartbeat."""
    return EMPTY if worker.memory is None else filesizeformat(worker.memory)
