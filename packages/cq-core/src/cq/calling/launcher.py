"""The launcher of a task: what ``.delay()`` and its kind record, with which options."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from cq.conf import conf
from cq.definitions.options import in_seconds
from cq.definitions.signatures import Call, Callee
from cq.generics import P, R_co
from cq.tracebacks import forget_locals

from .canvas import ON_THE_LOOP, Signature, check_changes, launch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Unpack

    from cq.definitions.option_types import CallOptions
    from cq.definitions.registry import Definition
    from cq.models import Task
    from cq.models.handles import Handles


class Launcher(Callee[P, R_co]):
    """A task with options: what ``.using()`` returns."""

    def __init__(self, definition: Definition, changes: dict[str, Any]) -> None:
        self.definition = definition
        check_changes(definition, changes)
        self.changes = in_seconds(changes)

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> Task[R_co]:
        """Record a call, to start at the commit of the open transaction; its handle.

        Raises TypeError for arguments that don't fit the function, CodecError for
        those that cannot be stored, ValueError for a queue that ``CQ_QUEUES`` lacks,
        UniqueBusy when a unique key is held by a transaction that doesn't end.
        """
        try:
            self.definition.check_arguments(args, kwargs)
            return launch(Call(self.definition, args, kwargs, self.changes))
        except BaseException as error:
            del args, kwargs
            forget_locals(error)
            raise

    async def adelay(self, /, *args: P.args, **kwargs: P.kwargs) -> Task[R_co]:
        """As `delay`, from a coroutine."""
        try:
            # Not as arguments of its own: it has one named `self`.
            return await sync_to_async(partial(self.delay, *args, **kwargs))()
        except BaseException as error:
            del args, kwargs
            forget_locals(error)
            raise

    def delay_many(self, arguments: Iterable[Sequence[Any]]) -> Handles[Task[R_co]]:
        """Record a call for each tuple of arguments, all or none of them."""
        from cq.enqueue import bulk
        from cq.models.handles import Handles
        from cq.serial import workflow
        from cq.serial.sets import SerialHandles

        if workflow.current_serial() is not None:
            calls = (
                Call(self.definition, tuple(args), {}, self.changes)
                for args in arguments
            )
            return cast("Handles[Task[R_co]]", SerialHandles(map(launch, calls)))
        using, definition = conf.DATABASE, self.definition
        try:
            recorded = bulk.record_many(using, definition, arguments, self.changes)
            return Handles(recorded)
        except SynchronousOnlyOperation:
            raise RuntimeError(ON_THE_LOOP) from None
        except BaseException as error:
            del arguments
            forget_locals(error)
            raise

    async def adelay_many(
        self, arguments: Iterable[Sequence[Any]]
    ) -> Handles[Task[R_co]]:
        """As `delay_many`, from a coroutine."""
        from cq.execution import inline

        many = await sync_to_async(self.delay_many)(arguments)
        if inline.runs_here():
            # They have run, and this is the last moment to read what came of it.
            await sync_to_async(many.looked_at)()
        return many

    def s(self, /, *args: Any, **kwargs: Any) -> Signature[R_co]:
        """Return a call that is not made yet; a chain may put a result before it."""
        return Signature(self.definition, args, kwargs, self.changes)

    def si(self, /, *args: Any, **kwargs: Any) -> Signature[R_co]:
        """As `s`, but a chain leaves the arguments alone."""
        return Signature(self.definition, args, kwargs, self.changes, immutable=True)

    def using(self, **options: Unpack[CallOptions]) -> Launcher[P, R_co]:
        """Return the task with other options; see :class:`cq.definitions.options.Options`.

        Raises TypeError for what is no option, ValueError for a value it can't have.
        """
        return Launcher(self.definition, {**self.changes, **options})
