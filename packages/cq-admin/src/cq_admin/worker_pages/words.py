"""What may be asked of a worker, in words for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from cq.tables.worker_rows import Request

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Asking:
    """One request: its button, what comes of it, and who may ask it."""

    request: Request
    #: Of the app `cq`.
    permission: str
    label: Any
    #: The title of the page that asks before; None: it harms nobody.
    question: Any
    #: What comes of it.
    sentences: Sequence[Any]
    #: What is said afterwards, with the worker's address.
    said: Any
    #: What stands in the history.
    logged: Any


ASKINGS = (
    Asking(
        Request.QUIET,
        "control_worker",
        _("Quiet"),
        _("Have it claim nothing more?"),
        (
            _("What it runs goes on. What it has claimed and not begun is given back."),
            _(
                "It stays as it is then, and there is no way back but Restart: its slots "
                "stay empty."
            ),
        ),
        _("%(worker)s will claim nothing more. It hears of it with its heartbeat."),
        _("Quieted."),
    ),
    Asking(
        Request.RESTART,
        "control_worker",
        _("Drain and restart"),
        _("Have another process take its place?"),
        (
            _("It claims nothing more, and another process starts at once."),
            _("What it runs goes on, however long that takes. Then it ends."),
        ),
        _("%(worker)s will be replaced. It hears of it with its heartbeat."),
        _("Asked to drain and restart."),
    ),
    Asking(
        Request.STACK,
        "view_stack",
        _("Stack"),
        None,
        (),
        _("Where what %(worker)s runs is in its code has been asked for."),
        _("Asked for the stacks of what it runs."),
    ),
)
