"""The plan of a serial call: the tasks that it is made of, checked before any of them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cq.conf import conf
from cq.definitions import registry
from cq.definitions.options import check_queue
from cq.definitions.signatures import (
    CHAIN,
    GROUP,
    RESULTS,
    AnyCall,
    Call,
    GroupCall,
    encoded,
    row_options,
)
from cq.definitions.tags import stored, tags_of
from cq.errors import DepthError
from cq.hooks.context import KEY, captured, overridden
from cq.lifecycle import rules

from . import cycles, unique
from .handle import SerialHandle

if TYPE_CHECKING:
    from collections.abc import Sequence

H = TypeVar("H", bound=SerialHandle)

#: What a task follows, and how that has to settle.
After = tuple[SerialHandle, str]


class SerialPlan(Generic[H]):
    """Tasks that are made together; nobody knows of them until all of them fit."""

    def __init__(self, make: type[H]) -> None:
        self.tasks: list[H] = []
        #: The unique keys that its tasks take, and the live run that all of it stands for.
        self.keys: dict[str, SerialHandle] = {}
        self.live: SerialHandle | None = None
        self._make = make
        self._context = captured()

    def outside(self) -> list[Any]:
        """Return what its tasks depend on that was there before."""
        ours = {task.id for task in self.tasks}
        return [u for t in self.tasks for u, _ in t.depends_on if u.id not in ours]

    def add(
        self,
        what: AnyCall,
        parent: SerialHandle | None,
        after: Sequence[After] = (),
        previous: Any = None,
    ) -> H:
        """Add a call, and what it is made of; return the task that stands for it.

        Raises TypeError, ValueError, CodecError and DepthError, as recording it does.
        """
        previous = after[0][0] if after else previous
        if isinstance(what, GroupCall) and not what.members:
            # Nothing would settle it, so it runs: cq.group returns the empty list.
            what = Call(registry.get(GROUP), immutable=True)
        if isinstance(what, Call):
            return self._add_call(what, parent, after, previous)
        is_group = isinstance(what, GroupCall)
        task = self._make(GROUP if is_group else CHAIN, parent, previous)
        task.wait_for_children()
        _keep_tags(task)
        self.tasks.append(task)
        if isinstance(what, GroupCall):
            task.is_group = True
            for member in what.members:
                self.add(member, task, after, previous)
            return task
        for step in what.steps:
            task.source = self.add(step, task, after, previous)
            after = [(task.source, rules.WHEN_COMPLETE)]
        return task

    def _add_call(
        self,
        what: Call,
        parent: SerialHandle | None,
        after: Sequence[After],
        previous: Any,
    ) -> H:
        if previous is not None:
            what = what.after(previous)
        else:
            what.definition.check_arguments(what.args, what.kwargs)
        check_queue(what.options.queue)
        # Nothing of them is kept here; but a key that is none fails here, too.
        what.limits()
        what.fair_key()
        task = self._make(what.definition.name, parent, previous, what.options)
        if task.depth > conf.MAX_TREE_DEPTH:
            raise DepthError(
                f"{task.name} would be {task.depth} levels below the top-level task; "
                f"CQ_MAX_TREE_DEPTH is {conf.MAX_TREE_DEPTH}"
            )
        key = what.unique_key()
        live = None if key is None else self.keys.get(key) or unique.holder(key)
        if live is None and key is not None:
            self.keys[key] = task
        elif live is not None and parent is not None:
            # As a row: one that waits for the live one, and takes over its result.
            cycles.check(task, parent, [live])
            what, after = Call(registry.get(RESULTS), (live,)), ()
        elif live is not None:
            self.live = live
        self._call(task, what, after)
        self.tasks.append(task)
        return task

    def _call(self, task: H, what: Call, after: Sequence[After]) -> None:
        args, kwargs, handles = encoded(what.args, what.kwargs)
        task.call, task.encoded, task.upstream = what, (args, kwargs), list(handles)
        task.options = row_options(what)
        if (release := conf.RELEASE) is not None:
            task.options = {**(task.options or {}), "release": release}
        if self._context is not None or what.options.context is not None:
            context = overridden(self._context, what.options.context or {})
            task.options = {**(task.options or {}), KEY: context or {}}
        _keep_tags(task, what.tags(handles))
        when = {upstream.id: condition for upstream, condition in after}
        given = {upstream.id for upstream in task.upstream}
        task.depends_on = [
            *((u, when.get(u.id, rules.WHEN_COMPLETE)) for u in task.upstream),
            *((u, condition) for u, condition in after if u.id not in given),
        ]


def _keep_tags(task: SerialHandle, own: Sequence[str] = ()) -> None:
    """Put its tags, and those of its parent, where a row keeps them."""
    above = () if task.parent is None else tags_of(task.parent.options)
    if tags := stored(task.name, above, own):
        task.options = {**(task.options or {}), **tags}
