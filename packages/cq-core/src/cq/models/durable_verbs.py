"""The verbs of a task's steps: inside its own function, and of who sends it something."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from cq.durable import keeping, messages
from cq.durable.alone import behind_others
from cq.durable.messages import RAISES
from cq.durable.options import options_of
from cq.durable.results import results
from cq.durable.steps import steps_of
from cq.durable.verbs import Using
from cq.runs import stopping
from cq.tables.durable.queries import steps as step_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.durable.steps import Steps
    from cq.runs.run import Run
    from cq.tables.durable.rows import StepRow


class DurableVerbs:
    """The steps of a task: ``cqt.step()``, ``sleep()``, ``wait_for()`` and their kind."""

    _run: Run | None
    if TYPE_CHECKING:
        pk: Any

        @property
        def _using(self) -> str: ...

    # --- steps ------------------------------------------------------------------------

    def step(
        self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """Call a function in a transaction that also keeps its result; return that.

        No rerun calls it again, and what it has written to the database happens once.
        Its arguments are not kept, but have to be the same in a rerun. `function` may be
        a coroutine function, or a task, which is called with `cqt`.

        Raises what the function has raised, StepMismatch where an earlier run came to
        something else under this name, TypeError in an atomic task, within another step,
        and on another thread, CodecError for arguments or a result that the codec refuses.
        """
        return self.using().step(name, function, *args, **kwargs)

    def each(
        self,
        name: str,
        rows: QuerySet[Any],
        function: Callable[[list[Any]], Any],
        chunk: int = 1000,
    ) -> int:
        """Call a function with all rows of a query, `chunk` at a time; how many there were.

        What it writes and the place that it has come to commit together: each row once.
        Raises TypeError where the order is not by columns that are unique together.
        """
        return self.using().each(name, rows, function, chunk)

    def using(self, **options: Any) -> Using:
        """Return what has `step`, `each` and `subtask` with options for that one.

        retries: how often its function is called again, by default not at all. backoff:
        as that of a task. key: what tells it from others of its name, in the place of a
        number. atomic: False calls it outside of a transaction, at least once. undo: a
        task that takes the step back, given its result, if this durable one ends badly.

        Raises TypeError for what is no option, ValueError for a value it can't have.
        """
        return Using(self, options_of(options))

    def now(self) -> datetime:
        """Return the present moment; in a rerun that of the first run."""
        return keeping.now(self._steps("now"))

    def uuid(self) -> UUID:
        """Return a random UUID; in a rerun that of the first run."""
        return keeping.uuid(self._steps("uuid"))

    def random(self) -> float:
        """Return a random number of 0 to 1; in a rerun that of the first run."""
        return keeping.number(self._steps("random"))

    def version(self, name: str, number: int) -> int:
        """Return `number`, or what it was for the run that came here first."""
        return keeping.version(self._steps("version"), name, number)

    @property
    def steps(self) -> QuerySet[StepRow]:
        """What it has done, in its order: rows of :class:`cq.models.Step`."""
        return step_rows(self._using).filter(task=self.pk).order_by("pk")

    # --- waiting ----------------------------------------------------------------------

    def sleep(
        self, name: str, *, until: datetime | None = None, **length: float
    ) -> None:
        """Give the slot back, and go on later: ``sleep("cool-off", days=3)``.

        until: an aware datetime; else the words of a timedelta. The moment is that of the
        first run which came here. Raises ValueError for a naive or negative one, TypeError
        in a task that is not durable.
        """
        span = keeping.length_of(length)
        keeping.sleep(self._durable_steps("sleep"), name, until, span, "")

    def wait_for(
        self,
        name: str | None = None,
        *,
        topic: str | None = None,
        timeout: timedelta | float | None = None,
        default: Any = RAISES,
    ) -> Any:
        """Give the slot back until something is sent under a name; return what was sent.

        topic: in the place of a name: what `cq.publish` sends to all that wait for it.
        timeout: seconds, or a timedelta. default: what it returns then; without one it
        raises WaitTimeout. One message is taken by one wait, the oldest first. Raises
        TypeError in a task that is not durable.
        """
        what, kind = messages.name_of(name, topic)
        steps = self._durable_steps("wait_for")
        return messages.wait_for(
            steps, what, timeout=timeout, default=default, kind=kind
        )

    def results(self, handles: Iterable[Any], *, errors: str = "raise") -> list[Any]:
        """Give the slot back until these tasks have settled; return their results.

        In the order of the handles. errors: "raise" raises TaskFailed of the first that
        did not succeed; "return" puts it in the place of the result, and a subtask is
        dealt with by that: it does not make this task INCOMPLETE.

        Raises TypeError for what is no handle, and in a task that is not durable,
        CycleError where one of them waits for this task, RowGone where one was deleted.
        """
        return results(self._durable_steps("results"), handles, errors=errors)

    def send(self, name: str, payload: Any = None, *, key: object = None) -> bool:
        """Send something to it, which its `wait_for` of that name returns.

        It is there with the commit of the open transaction, and kept if nobody waits for
        it yet. key: a second one of the same key does not count. Returns whether this one
        counts. Raises AlreadySettled where it is seen settled, CodecError for what cannot
        be stored.
        """
        return messages.send(self._using, self, name, payload, key)  # type: ignore[arg-type]

    # --- the same for coroutines ------------------------------------------------------

    async def astep(
        self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """As `step`, for a coroutine; awaits a coroutine function."""
        return await self.using().astep(name, function, *args, **kwargs)

    async def aeach(
        self,
        name: str,
        rows: QuerySet[Any],
        function: Callable[[list[Any]], Any],
        chunk: int = 1000,
    ) -> int:
        """As `each`, for a coroutine; the function may be a coroutine function."""
        return await self.using().aeach(name, rows, function, chunk)

    async def asleep(
        self, name: str, *, until: datetime | None = None, **length: float
    ) -> None:
        """As `sleep`, for a coroutine."""
        sleep = partial(self.sleep, name, until=until, **length)
        await self._behind_steps("sleep()", sleep)

    async def await_for(self, name: str | None = None, **options: Any) -> Any:
        """As `wait_for`, for a coroutine."""
        wait_for = partial(self.wait_for, name, **options)
        return await self._behind_steps("wait_for()", wait_for)

    async def aresults(
        self, handles: Iterable[Any], *, errors: str = "raise"
    ) -> list[Any]:
        """As `results`, for a coroutine."""
        found: list[Any] = await self._behind_steps(
            "results()", partial(self.results, handles, errors=errors)
        )
        return found

    async def asend(
        self, name: str, payload: Any = None, *, key: object = None
    ) -> bool:
        """As `send`, from a coroutine."""
        return await sync_to_async(partial(self.send, name, payload, key=key))()

    async def _behind_steps(self, verb: str, call: Callable[[], Any]) -> Any:
        """Call what is no function's step; TypeError once such a one beside it has ended."""
        await behind_others(self._run, verb)
        return await sync_to_async(call)()

    # --- where it runs ----------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Inside its function: whether the worker that runs it has been told to stop.

        For one that takes long: what still runs when the drain is over is handed back or
        LOST. Asks no database. False where no worker runs it.
        """
        run = self._run
        return run is not None and stopping.is_stopping(run.claim.worker)

    def _steps(self, verb: str) -> Steps:
        """Return the steps of the present run; raises TypeError where it can have none."""
        run = self._run
        if run is None:
            raise TypeError(f"{verb}() is for the function of a task, while it runs")
        if run.atomic:
            raise TypeError(
                f"{verb}() was called in an atomic task, all of which is one step "
                "already; make it @task(durable=True), or atomic=False"
            )
        return steps_of(run)

    def _durable_steps(self, verb: str) -> Steps:
        run = self._run
        if run is not None and not run.durable:
            raise TypeError(
                f"{verb}() gives the slot back, and the function is called again behind "
                "it; make it @task(durable=True)"
            )
        return self._steps(verb)

    def _is_news(self) -> bool:
        """Tell whether a line is to be logged, which no earlier run has said."""
        run = self._run
        return run is None or not run.durable or steps_of(run).is_news()
