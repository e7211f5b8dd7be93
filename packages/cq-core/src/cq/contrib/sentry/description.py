"""The description of a run in Sentry's events: its task, and nothing that is secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sentry_sdk
from sentry_sdk.scope import should_send_default_pii
from sentry_sdk.utils import capture_internal_exceptions

from cq.display.redaction import HIDDEN, Redaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentry_sdk.types import Event, Hint

#: Of their text; Sentry takes a megabyte for a whole event.
LONGEST_ARGUMENTS = 32 * 1024
#: Packages whose frames hold the arguments of a task, whatever that says of them.
_OWN = frozenset({"cq", "cq_channels", "cq_scheduler", "cq_admin", "asgiref"})


def queue_data(run: Any) -> dict[str, Any]:
    """Return what Sentry's page on queues goes by."""
    data = {
        "messaging.system": "cq",
        "messaging.message.id": str(run.id),
        "messaging.destination.name": run.queue,
        "messaging.message.retry.count": max(0, run.attempt - 1),
    }
    if (latency := _latency(run)) is not None:
        data["messaging.message.receive.latency"] = latency
    return data


def _latency(run: Any) -> float | None:
    """Return the milliseconds from when a task could run until it did."""
    waited = run.waited()
    return None if waited is None else float(waited.total_seconds() * 1000)


class Description:
    """What adds the task of a run to each event that is sent from within it."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def __call__(self, event: Event, hint: Hint) -> Event:
        # An error of it would become one of the task, whose transaction ends here.
        with capture_internal_exceptions():
            self._describe(event)
        return event

    def _describe(self, event: Event) -> None:
        run, redaction = self._run, Redaction(self._run.name)
        for value in _exceptions(event):
            value["value"] = redaction.text(str(value.get("value") or ""))
        for frame in _frames(event):
            _cleanse(frame, redaction)
        if event.get("type") in (None, "transaction"):
            about = {
                "task": run.name,
                "id": str(run.id),
                "root": str(run.root_id),
                "queue": run.queue,
                "attempt": run.attempt,
            }
            if _sends_arguments():
                about |= _arguments(run, redaction)
            event.setdefault("contexts", {})["cq"] = about


def _sends_arguments() -> bool:
    # Newer versions of the library ask for each kind of data by its own word.
    wanted: Any = sentry_sdk.get_client().options.get("data_collection") or {}
    if wanted.get("provided_by_user"):
        return bool(wanted.get("queues"))
    return should_send_default_pii()


def _arguments(run: Any, redaction: Redaction) -> dict[str, Any]:
    """Return the arguments as people may see them, and as they are stored."""
    if hasattr(run, "stored_text"):
        args, kwargs = run.stored_text("args"), run.stored_text("kwargs")
    else:
        args, kwargs = run.encoded
    if len(args) + len(kwargs) > LONGEST_ARGUMENTS:
        return {"args": f"{len(args) + len(kwargs)} characters: see the task itself"}
    try:
        return {
            "args": redaction.args(json.loads(args)),
            "kwargs": redaction.kwargs(json.loads(kwargs)),
        }
    except (ValueError, TypeError, RecursionError) as error:
        return {"args": f"they cannot be read: {type(error).__name__}"}


def _exceptions(event: Event) -> list[Any]:
    return list((event.get("exception") or {}).get("values") or ())


def _frames(event: Event) -> Iterator[dict[str, Any]]:
    threads = (event.get("threads") or {}).get("values") or ()
    for value in (*_exceptions(event), *threads):
        yield from (value.get("stacktrace") or {}).get("frames") or ()


def _cleanse(frame: dict[str, Any], redaction: Redaction) -> None:
    """Take the local variables of cq's own frames, and those with names of secrets."""
    if str(frame.get("module") or "").partition(".")[0] in _OWN:
        frame.pop("vars", None)
    variables = frame.get("vars") or {}
    for name in variables:
        if redaction.is_secret(name):
            variables[name] = str(HIDDEN)
