"""A workflow without a row: a task called like a function, with the same outcomes.

What can run does so when it is made, and keeps its outcome; what waits for a task that
is open runs when that settles. The first failure is raised, as itself, by the call that
started it all, once the function and the errorbacks have run.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import sync_to_async

from cq.definitions.signatures import AnyCall, Call, as_call, frozen
from cq.errors import AlreadySettled, CycleError, TaskFailed
from cq.lifecycle import rules
from cq.runs.failures import for_log
from cq.runs.run import current
from cq.status import FAILED, FINAL, Status
from cq.workflow.revocation import REVOKED

from . import cycles, unique
from .call import run_attempts
from .handle import SerialHandle
from .plan import SerialPlan
from .report import SerialReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .plan import After

logger = logging.getLogger("cq.serial")


class SerialTask(SerialReport):
    """The double of :class:`cq.models.Task`: what `cqt` is in a serial run."""

    #: Whether its failure is raised where it was called; else, at the top, it is logged.
    is_called = False

    def subtask(self, what: Any, /, *args: Any, **kwargs: Any) -> SerialTask:
        """Run a task under this one; return its handle.

        Raises AlreadySettled when this one has settled, TypeError when the arguments
        don't fit, CycleError when it would wait for itself.
        """
        self.check_claim()
        return _start(as_call(what, args, kwargs), self)

    def chain(
        self,
        what: Any,
        /,
        *args: Any,
        when: str = rules.WHEN_COMPLETE,
        **kwargs: Any,
    ) -> SerialTask:
        """Run a task after this one has settled, under the same parent.

        when: "complete", "failed" or "settled".
        """
        rules.check_when(when)
        self.check_claim()
        call = as_call(what, args, kwargs)
        if when == rules.WHEN_FAILED:
            call = frozen(call)
        return _start(call, self.parent, [(self, when)])

    def errorback(self, what: Any, /, *args: Any, **kwargs: Any) -> SerialTask:
        """Run a task if this one does not succeed; it finds why in `cqt.previous`."""
        self.check_claim()
        call = frozen(as_call(what, args, kwargs))
        return _start(call, self.parent, [(self, rules.WHEN_FAILED)])

    async def asubtask(self, what: Any, /, *args: Any, **kwargs: Any) -> SerialTask:
        return await sync_to_async(self.subtask)(what, *args, **kwargs)

    async def achain(self, what: Any, /, *args: Any, **kwargs: Any) -> SerialTask:
        return await sync_to_async(self.chain)(what, *args, **kwargs)

    async def aerrorback(self, what: Any, /, *args: Any, **kwargs: Any) -> SerialTask:
        return await sync_to_async(self.errorback)(what, *args, **kwargs)

    def revoke(self, reason: str = REVOKED, *, compensate: bool = True) -> bool:
        with _worked_off():
            return super().revoke(reason, compensate=compensate)

    def after_settled(self) -> None:
        self._take_back()
        _ready.get().extend(self.following)
        self.following = []
        parent = self.parent
        if parent is not None and self.counted and not self.undone:
            parent.child_settled(self)
            if parent.status == Status.WAITING and parent.open_children <= 0:
                _settle(parent)

    def _take_back(self) -> None:
        """Call what takes back its steps where it ended badly, newest first."""
        undos, self.undos = self.undos, []
        if self.status in FAILED and not self.undone:
            for undo in reversed(undos):
                launch(undo)


# --- the ways in --------------------------------------------------------------------------


def current_serial() -> SerialTask | None:
    """Return the serial run that this code belongs to."""
    task = current.get()
    return task if isinstance(task, SerialTask) else None


def call(definition: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a task here and now; return its result, or raise the first failure."""
    task = _start(Call(definition, args, kwargs), None, is_called=True)
    if not task.created:
        raise CycleError(
            f"{task.name} would wait for {task!r}, which has its unique key and goes on "
            "in this very thread"
        )
    if task.status not in FINAL:
        task.undone = True
        raise CycleError(
            f"{task.name} would wait for {task.upstream!r}, which is not done"
        )
    if task.raised is not None:
        # The arguments are on this frame, too, and go with the exception.
        del args, kwargs
        raise for_log(task.raised)
    if task.status in FAILED:
        raise TaskFailed(task)
    return task.result


def launch(
    what: AnyCall, announce: Callable[[SerialTask], object] | None = None
) -> SerialTask:
    """Do what ``.delay()`` does in a serial run: its failure is logged, not raised.

    announce: is called with the task before it runs.
    """
    return _start(what, None, announce=announce)


def _start(
    what: AnyCall,
    parent: SerialHandle | None,
    after: Sequence[After] = (),
    is_called: bool = False,
    announce: Callable[[SerialTask], object] | None = None,
) -> SerialTask:
    """Make a call, with all that it is made of; then run of it what can run."""
    with unique.kept():
        plan = SerialPlan(SerialTask)
        task = plan.add(what, parent, after)
        if plan.live is not None:
            return _again(cast("SerialTask", plan.live))
        task.is_called = is_called
        _run(plan, task, announce)
        return task


def _again(live: SerialTask) -> SerialTask:
    """Return a handle of a live run, for a call that has made none."""
    handle = _Again.__new__(_Again)
    handle.__dict__ = live.__dict__
    return handle


class _Again(SerialTask):
    """A second handle of one run."""

    created = False


def _run(
    plan: SerialPlan[SerialTask],
    task: SerialTask,
    announce: Callable[[SerialTask], object] | None,
) -> None:
    parent = task.parent
    if parent is not None:
        if parent.status in FINAL:
            raise AlreadySettled(
                f"task {parent.id} has settled; nothing can be added under it any more"
            )
        cycles.check(task, parent, plan.outside())
    for upstream in plan.outside():
        if not isinstance(upstream, SerialHandle):
            upstream.wait()  # a row, which runs elsewhere
    # Nothing before this line leaves a trace.
    for key, one in plan.keys.items():
        unique.take(key, one)
    for one in plan.tasks:
        if one.parent is not None:
            one.put_under(one.parent)
    maker = current_serial()
    if maker is not None:
        maker.made += plan.tasks
    if announce is not None:
        announce(task)
    with _worked_off():
        for one in plan.tasks:
            _advance(one)


# --- going on -----------------------------------------------------------------------------


#: What may run now that something has settled. A long chain is a loop, no recursion.
_ready: ContextVar[deque[SerialHandle]] = ContextVar("cq_serial_ready")


@contextlib.contextmanager
def _worked_off() -> Iterator[None]:
    """Run what follows from a block before it ends."""
    ready: deque[SerialHandle] = deque()
    token = _ready.set(ready)
    try:
        yield
    finally:
        try:
            while ready:
                _advance(ready.popleft())
        finally:
            _ready.reset(token)


def _advance(task: Any) -> None:
    """Run a task, or end it, if all that it depends on has settled."""
    if task.status != Status.PENDING or task.undone:
        return
    for upstream, _ in task.depends_on:
        if upstream.status not in FINAL:
            upstream.following.append(task)
            return
    unmet = [(u, w) for u, w in task.depends_on if not rules.comes_true(w, u.status)]
    if not unmet:
        try:
            run_attempts(task, task.call)
        finally:
            if task.status not in FINAL:
                _go_on(task)
    elif any(rules.is_needless(when, upstream.status) for upstream, when in unmet):
        task.settle(Status.SKIPPED)
    else:
        upstream = unmet[0][0]
        task.raised = getattr(upstream, "raised", None)
        task.failed_by(upstream, rules.predecessor_reason(upstream))
        task.settle(Status.INCOMPLETE)


def _go_on(task: SerialTask) -> None:
    if task.open_children > 0:
        task.wait_for_children()
    else:
        _settle(task)


def _settle(task: Any) -> None:
    task.settle(task.outcome or Status.COMPLETE)
    if task.raised is not None and task.parent is None and not task.is_called:
        logger.error("%s raised", task.name, exc_info=for_log(task.raised))
