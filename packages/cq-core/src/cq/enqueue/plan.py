"""The plan of a workflow: the rows and edges of a call and of all that it is made of.

Drafts are gathered first and written together (:mod:`cq.enqueue`), so a group of ten
thousand costs ten INSERTs, and a refusal anywhere leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cq import codec
from cq.conf import conf
from cq.definitions import lanes
from cq.definitions.options import check_queue
from cq.definitions.retention import stored_memory, stored_ttl
from cq.definitions.signatures import (
    CHAIN,
    GROUP,
    AnyCall,
    Call,
    ChainCall,
    GroupCall,
    encoded,
    row_options,
)
from cq.definitions.tags import stored
from cq.errors import CodecError, DepthError
from cq.hooks.context import KEY, captured, overridden
from cq.hooks.sending import Sendings, sendings
from cq.ids import uuid7
from cq.lifecycle import DEADLINE
from cq.status import Status
from cq.tables.queries import task_model
from cq.tables.rows import EdgeRow
from cq.workflow import cycles

from .drafts import Draft
from .moments import delay, is_later, may_have_come, put_off
from .place import After, Place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from cq.hooks.context import Context
    from cq.runs.run import Run


@dataclass(eq=False)
class Plan:
    """The tasks and edges that are to be recorded together."""

    using: str
    place: Place = field(default_factory=Place)
    drafts: list[Draft] = field(default_factory=list)
    edges: list[tuple[UUID, UUID, int | None, str]] = field(default_factory=list)
    #: Drafts that depend on what was recorded before, and may have settled.
    looks: list[UUID] = field(default_factory=list)
    #: Drafts whose time has come by this host's clock; the database's decides.
    due: list[UUID] = field(default_factory=list)
    #: Tasks that stand for unique calls, by the ids of the drafts not written.
    standing_for: dict[UUID, UUID] = field(default_factory=dict)
    #: How many of the drafts are directly under `place.parent`.
    children: int = 0
    #: The run that they are subtasks of.
    run: Run | None = None
    #: What all of them take along, see :mod:`cq.hooks.context`; None: nothing.
    context: Context | None = field(default_factory=captured)
    #: What carriers have open until all of them are committed; None: nothing.
    sendings: Sendings | None = field(default_factory=sendings)
    #: Whether some of the drafts have tags, and whether those depend on the arguments.
    is_tagged: bool = False
    tags_differ: bool = False
    #: Whether the INSERT is to say when the task was submitted.
    read_submitted: bool = False

    # --- gathering --------------------------------------------------------------------

    def add(
        self,
        call: AnyCall,
        place: Place | None = None,
        after: Sequence[After] = (),
        previous: Any = None,
    ) -> Draft:
        """Add a call, and what it is made of; return the draft that stands for it."""
        if place is None:
            place = self.place
            self.children += place.parent is not None
        if isinstance(call, Call):
            if previous is not None:
                call = call.after(previous)
            else:
                call.definition.check_arguments(call.args, call.kwargs)
        if isinstance(call, GroupCall):
            return self._group(call, place, after, previous)
        if isinstance(call, ChainCall):
            return self._chain(call, place, after, previous)
        return self._call(call, place, after, previous)

    def add_again(self, like: Draft, call: Call) -> Draft:
        """Add a call that differs from that of `like` in its arguments alone."""
        call.definition.check_arguments(call.args, call.kwargs)
        args, _, handles = encoded(call.args, {})
        if handles or self.tags_differ or not like.is_plain:
            return self.add(call)
        # A str itself is nothing that the garbage collector has to look at.
        draft = like.again(uuid7(), str(args))
        self.drafts.append(draft)
        return draft

    def _call(
        self, call: Call, place: Place, after: Sequence[After], previous: Any
    ) -> Draft:
        options = call.options
        check_queue(options.queue)
        if place.depth > conf.MAX_TREE_DEPTH:
            raise DepthError(
                f"{call.definition.name} would be {place.depth} levels below the "
                f"top-level task; CQ_MAX_TREE_DEPTH is {conf.MAX_TREE_DEPTH}"
            )
        args, kwargs, handles = encoded(call.args, call.kwargs)
        task_id = uuid7()
        draft = Draft(
            id=task_id,
            name=call.definition.name,
            args=args,
            kwargs=kwargs,
            queue=options.queue,
            priority=options.priority,
            status=Status.QUEUED,
            parent_id=place.parent,
            root_id=place.root or task_id,
            depth=place.depth,
            rerun_lost=options.reruns_when_lost,
            run_after=options.run_after,
            expires=options.expires,
            previous_id=previous.id if previous is not None else None,
            unique_key=call.unique_key() if options.unique else None,
            result_ttl=stored_ttl(options.result_ttl),
            options=row_options(call),
        )
        if options.deadline is not None:
            # In the row in any case: what wakes it, or hands it over, has not its code.
            draft.expires = timedelta(seconds=options.deadline)
            draft.options = {**(draft.options or {}), DEADLINE: True}
        self._keep_context(draft, options.context)
        if draft.unique_key:
            draft.kept_key = draft.unique_key
            draft.unique_for = stored_memory(options)
            draft.options = {**(draft.options or {}), "unique": draft.unique_key}
        self._keep_release(draft)
        if options.limits or options.fair is not None:
            _keep_lane(draft, call)
        if options.tags:
            self.tags_differ = self.tags_differ or callable(options.tags)
            self._keep_tags(draft, place, call.tags(handles))
        elif place.tags:
            self._keep_tags(draft, place)
        self._link(draft, handles, after)
        if options.debounce and draft.unique_key and not conf.SERIAL:
            put_off(draft, options.debounce)
        elif options.delay:
            delay(draft, options.delay)
        if is_later(draft.run_after):
            draft.status = Status.PENDING
            if may_have_come(draft.run_after):
                self.due.append(task_id)
        self.drafts.append(draft)
        return draft

    def _keep_context(self, draft: Draft, changes: Context | None) -> None:
        """Put the context among what a row keeps for its runner."""
        context = self.context
        if changes is not None:
            context = overridden(context, changes)
        if self.sendings is not None:
            context = self.sendings.stored(context, draft)
        if context is not None:
            draft.options = {**(draft.options or {}), KEY: context}

    def _keep_release(self, draft: Draft) -> None:
        if release := conf.RELEASE:
            draft.options = {**(draft.options or {}), "release": release}

    def _keep_tags(self, draft: Draft, place: Place, own: Sequence[str] = ()) -> None:
        if tags := stored(draft.name, place.tags, own):
            draft.options = {**(draft.options or {}), **tags}
            self.is_tagged = True

    def _link(
        self, draft: Draft, handles: list[codec.Handle], after: Sequence[After]
    ) -> None:
        """Add the edges of a draft; a handle among the arguments is one."""
        when = {link.task.id: link.when for link in after}
        injected = set()
        upstream: list[Any] = []
        for position, given in enumerate(handles):
            if not isinstance(given, (Draft, task_model())):
                raise CodecError(
                    f"{draft.name}: {given!r} is the handle of a serial run and has "
                    "no row to depend on; pass its .result"
                )
            injected.add(given.id)
            upstream.append(given)
            self._edge(
                draft, given, position, when.get(given.id, EdgeRow.WHEN_COMPLETE)
            )
        for link in after:
            if link.task.id not in injected:
                upstream.append(link.task)
                self._edge(draft, link.task, None, link.when)
        if not upstream:
            return
        draft.status = Status.PENDING
        outside = [u for u in upstream if not isinstance(u, Draft)]
        if outside:
            self.looks.append(draft.id)
            # What a group or a chain of the plan itself waits for is what its parent
            # waits for: the plan's place is the lowest that anybody can wait for yet.
            above = self.place.parent
            foreign = {u.id for u in outside if u.parent_id != above}
            if above is not None and foreign:
                cycles.check(self.using, above, foreign, draft.name)

    def _edge(
        self, draft: Draft, upstream: Any, position: int | None, when: str
    ) -> None:
        draft.open_edges += 1
        self.edges.append((draft.id, upstream.id, position, when))

    def _container(self, name: str, place: Place, previous: Any) -> Draft:
        task_id = uuid7()
        container = Draft(
            id=task_id,
            name=name,
            args="[]",
            kwargs="{}",
            queue="default",
            priority=0,
            status=Status.WAITING,
            parent_id=place.parent,
            root_id=place.root or task_id,
            depth=place.depth,
            previous_id=previous.id if previous is not None else None,
        )
        self._keep_context(container, None)
        self._keep_release(container)
        if place.tags:
            self._keep_tags(container, place)
        self.drafts.append(container)
        return container

    def _group(
        self, call: GroupCall, place: Place, after: Sequence[After], previous: Any
    ) -> Draft:
        group = self._container(GROUP, place, previous)
        group.result = codec.group_marker(group.id)
        group.open_children = len(call.members)
        under = Place.under(group)
        for member in call.members:
            self.add(member, under, after, previous)
        if not call.members:
            # Nothing will settle it, so it runs: cq.group returns the empty list.
            group.status = Status.QUEUED
            group.result = None
            self._link(group, [], after)
        return group

    def _chain(
        self, call: ChainCall, place: Place, after: Sequence[After], previous: Any
    ) -> Draft:
        chain = self._container(CHAIN, place, previous)
        chain.open_children = len(call.steps)
        under = Place.under(chain)
        last: Any = previous
        for number, step in enumerate(call.steps):
            links = after if number == 0 else [After(last)]
            last = self.add(step, under, links, last)
        chain.result_from = last.id
        return chain


def _keep_lane(draft: Draft, call: Call) -> None:
    """Keep what a call is limited by, and by what it takes turns; raises what these do."""
    kept = lanes.stored(call.limits(), call.fair_key())
    if kept and not conf.SERIAL:
        draft.options = {**(draft.options or {}), **kept}
        draft.lane = lanes.lane_of(draft.name, kept)
