"""The verbs by which a task is withdrawn, and what it did is taken back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from cq.workflow import revocation

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.durable.verbs import Using


class TakesBack:
    """``revoke()``, and ``cqt.compensate()`` for what a revocation is to take back."""

    if TYPE_CHECKING:
        pk: Any

        @property
        def _using(self) -> str: ...
        def using(self, **options: Any) -> Using: ...
        async def _behind_steps(self, verb: str, call: Callable[[], Any]) -> Any: ...

    def revoke(
        self, reason: str = revocation.REVOKED, *, compensate: bool = True
    ) -> bool:
        """Withdraw it and what is open below it; False when it had settled.

        compensate: whether a durable one takes back the steps that it did by their
        `undo`, for which it is WAITING then. False also ends what is at that already.
        """
        won = revocation.revoke_from_here(
            self._using, self.pk, reason, compensate=compensate
        )
        self.refresh_from_db()  # type: ignore[attr-defined]
        return won

    def compensate(self, undo: Any, /, *args: Any, **kwargs: Any) -> None:
        """Have a task called with these arguments if this durable one ends badly.

        For what was done by no step; a step has ``cqt.using(undo=...)``. Like a step it is
        kept once, and its arguments have to be the same in a rerun. Raises TypeError for
        what is no task, for arguments that don't fit, and in a task that is not durable,
        CodecError for arguments that cannot be stored.
        """
        self.using().compensate(undo, *args, **kwargs)

    async def arevoke(
        self, reason: str = revocation.REVOKED, *, compensate: bool = True
    ) -> bool:
        """As `revoke`, from a coroutine."""
        call = partial(self.revoke, reason, compensate=compensate)
        return await sync_to_async(call)()

    async def acompensate(self, undo: Any, /, *args: Any, **kwargs: Any) -> None:
        """As `compensate`, for a coroutine."""
        keep = partial(self.compensate, undo, *args, **kwargs)
        await self._behind_steps("compensate()", keep)
