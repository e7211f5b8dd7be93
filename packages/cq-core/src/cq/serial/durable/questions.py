"""Questions in a serial run, of which nobody can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.durable.events.questions import checked_form
from cq.durable.messages import RAISES
from cq.errors import WaitError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta


class SerialAsks:
    """``cqt.ask()`` in a serial run."""

    if TYPE_CHECKING:
        name: str

        def _check_durable(self, verb: str) -> None: ...

    def ask(
        self,
        question: str,
        choices: Iterable[str],
        *,
        permission: str | None = None,
        timeout: timedelta | float | None = None,
        default: Any = RAISES,
    ) -> Any:
        """Raise WaitError: whoever called waits, and so nobody is asked."""
        checked_form(question, choices, permission)
        self._check_durable("ask")
        raise WaitError(
            f"{self.name} asks {question!r} in a serial run, of which nobody can be told; "
            "record it by .delay()"
        )

    async def aask(self, question: str, choices: Iterable[str], **options: Any) -> Any:
        return self.ask(question, choices, **options)
