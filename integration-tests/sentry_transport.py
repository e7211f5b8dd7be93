"""A transport of Sentry's library that keeps what it is to send."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sentry_sdk
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentry_sdk.envelope import Envelope

DSN = "https://key@sentry.invalid/1"


class Kept(Transport):
    """A transport that keeps what it is to send."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[tuple[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            self.items.append((item.headers["type"], item.payload.json))

    def of(self, kind: str) -> list[Any]:
        return [found for type_, found in self.items if type_ == kind]

    @property
    def errors(self) -> list[Any]:
        return self.of("event")

    @property
    def transactions(self) -> list[Any]:
        return self.of("transaction")

    def process(self, function: Any) -> Any:
        (found,) = [t for t in self.transactions if t["transaction"] == function.name]
        return found


@contextmanager
def initialised() -> Iterator[Callable[..., Kept]]:
    """Give a function that initialises the library, and undo that behind the block."""

    def init(**options: Any) -> Kept:
        kept = Kept()
        defaults: dict[str, Any] = {
            "dsn": DSN,
            "transport": kept,
            # Nothing that is patched for good: Django, and http.client.
            "default_integrations": False,
            "auto_enabling_integrations": False,
            "integrations": [
                LoggingIntegration(),
                DedupeIntegration(),
                ThreadingIntegration(),
            ],
            "traces_sample_rate": 1.0,
        }
        sentry_sdk.init(**{**defaults, **options})
        return kept

    before = sentry_sdk.get_isolation_scope().fork()
    with sentry_sdk.scope.use_isolation_scope(before):
        yield init
    sentry_sdk.get_global_scope().set_client(None)
