"""The error of a task as end users are told it: whether it worked, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from cq.codec.loaded import class_of
from cq.display.redaction import Redaction
from cq.live.state import LONGEST_ERROR
from cq.status import FAILED, Status
from cq.tables.queries import tasks

if TYPE_CHECKING:
    from cq.live.state import Reading


def public_error(reading: Reading) -> str | None:
    """Return why a task did not succeed, in words that say nothing of the code.

    The text of an exception is shown only where its class has ``public = True``.
    """
    row = reading.row
    if row.status not in FAILED:
        return None
    if row.status == Status.REVOKED:
        return _("It was cancelled")
    return _said(reading.using, row) or _("It did not work")


def _said(using: str, row: Any) -> str:
    if not _is_public(row.exception):
        return ""
    text = row.short_error
    if row.cause is not None:
        # Its own text names the task that it began with; that one has what was raised.
        began = tasks(using).filter(pk=row.cause, exception=row.exception)
        text = began.values_list("error", flat=True).first()
    return Redaction(row.name).text(text or "")[:LONGEST_ERROR].strip()


def _is_public(path: str | None) -> bool:
    # What a row names is looked up among what is loaded, and never imported.
    kind = class_of(path) if path else None
    return kind is not None and getattr(kind, "public", False) is True
