"""The verbs by which the function of a task asks people."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from cq.durable.events.questions import ask
from cq.durable.messages import RAISES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from cq.durable.steps import Steps


class Asks:
    """``cqt.ask()``: a wait with a form."""

    if TYPE_CHECKING:

        def _durable_steps(self, verb: str) -> Steps: ...
        async def _behind_steps(self, verb: str, call: Callable[[], Any]) -> Any: ...

    def ask(
        self,
        question: str,
        choices: Iterable[str],
        *,
        permission: str | None = None,
        timeout: timedelta | float | None = None,
        default: Any = RAISES,
    ) -> Any:
        """Give the slot back until somebody answers a question; return their choice.

        They do in the admin, by a link of `cq.answer_url`, or by ``manage.py cq answer``.
        question: a text of at most 200 characters, and so are the choices. permission: of
        who answers in the admin, ``"shop.refund_order"``; by default that to retry tasks.
        timeout: seconds, or a timedelta. default: what it returns then; without one it
        raises WaitTimeout.

        Raises TypeError in a task that is not durable, TypeError and ValueError for a
        question, choices or a permission that it can't have.
        """
        return ask(
            self._durable_steps("ask"),
            question,
            choices,
            permission=permission,
            timeout=timeout,
            default=default,
        )

    async def aask(self, question: str, choices: Iterable[str], **options: Any) -> Any:
        """As `ask`, for a coroutine."""
        ask = partial(self.ask, question, choices, **options)
        return await self._behind_steps("ask()", ask)
