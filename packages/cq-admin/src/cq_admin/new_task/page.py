"""What a form of a task shows, and what becomes of it: the task, or what is in its way."""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from django.utils.translation import gettext as _

from cq.codec import StandsForResult
from cq.conf import conf
from cq.context import user as acting_user
from cq.definitions.signatures import Call, encoded
from cq.display.redaction import Redaction
from cq.enqueue import record
from cq.errors import CQError
from cq.status import OPEN, Status
from cq.workflow import obstacles
from cq_admin.display.html import visible

from .call import (
    arguments,
    as_stored,
    given_options,
    refusal,
    results_of,
    stored_options,
)
from .form import ArgumentsForm, OptionsForm
from .parameters import Parameters, Unreadable, parameters_of
from .rows import Asker

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
    from django.http import HttpRequest

    from cq.definitions.registry import Definition
    from cq.models import Task
    from cq.workflow.obstacles import Obstacle

LONGEST_DOCSTRING = 4_000


class NewTask:
    """A task to be made, or to be made again from another one, and its form.

    task: the one that is made again. sees_args: whether its arguments are for who asks;
    else they are kept as they are.
    """

    def __init__(
        self,
        request: HttpRequest,
        site: AdminSite,
        definition: Definition,
        task: Task | None = None,
        *,
        sees_args: bool = True,
    ) -> None:
        self.request, self.definition, self.task = request, definition, task
        self.redaction = Redaction(definition.name)
        results = None if task is None else results_of(conf.DATABASE, task.pk)
        self.asker = Asker(request, site, results)
        self.keeps_all = task is not None and not sees_args
        #: Why there is nothing to be made, and the task that is in the way.
        self.refused = ""
        self.obstacle: Obstacle | None = None
        self.data = request.POST if request.method == "POST" else None

    # --- what is shown ----------------------------------------------------------------

    @property
    def docstring(self) -> str:
        text = inspect.getdoc(self.definition.function) or ""
        return visible(text[:LONGEST_DOCSTRING])

    @cached_property
    def parameters(self) -> Parameters:
        return parameters_of(self.definition, self.task)

    @cached_property
    def arguments(self) -> ArgumentsForm | None:
        """The form of its arguments; None where there is nothing to be typed."""
        if self.keeps_all or self.refused:
            return None
        return ArgumentsForm(
            self.parameters.all, self.definition, self.redaction, self.asker, self.data
        )

    @cached_property
    def options(self) -> OptionsForm:
        like: Any = self.definition.options if self.task is None else self.task
        initial = {"queue": like.queue, "priority": like.priority}
        return OptionsForm(self.data, initial=initial)

    def look(self) -> None:
        """Find out whether the stored call can be made again at all."""
        task = self.task
        if task is None:
            return
        kept = task.options if isinstance(task.options, dict) else {}
        if kept.get("takes_result"):
            self.refused = _("It only takes the result of another task.")
            return
        try:
            parameters_of(self.definition, task)
        except Unreadable:
            self.refused = _("What is stored of its arguments can't be read.")

    # --- what becomes of it -----------------------------------------------------------

    def record(self) -> Task | None:
        """Record the task, acting as who asks; None where something is wrong with it."""
        forms = [f for f in (self.arguments, self.options) if f is not None]
        # Each is asked, so that all that is wrong is said.
        valid = [form.is_valid() for form in forms]
        if self.refused or not all(valid):
            return None
        with acting_user.acting(self.request.user):
            try:
                call = self._call()
            except (CQError, TypeError, ValueError) as error:
                self._refuse(error)
                return None
            if self._is_in_order(call):
                return self._recorded(call)
            return None

    def _call(self) -> Call[Any]:
        """Return the call; raises CQError for arguments that can't be read, or stored."""
        if self.arguments is None:
            assert self.task is not None
            args, kwargs = as_stored(self.task, conf.DATABASE)
        else:
            args, kwargs = arguments(self.parameters.all, self.arguments.values())
        changes: dict[str, Any] = {}
        if self.task is not None:
            changed = self.arguments is not None
            changes = stored_options(self.definition, self.task, changed)
        changes |= given_options(self.definition, self.options.cleaned_data)
        return Call(self.definition, args, kwargs, changes)

    def _is_in_order(self, call: Call[Any]) -> bool:
        """Tell whether a row can be made of a call, and would start some time."""
        problem = refusal(call)
        if problem is None and (failed := _failed(call)) is not None:
            self.obstacle = obstacles.Obstacle(failed.pk, failed.name, failed.status)
            problem = _("The task whose result is an argument of it has not succeeded.")
        if problem is not None:
            self.options.add_error(None, visible(problem))
        return problem is None

    def _recorded(self, call: Call[Any]) -> Task | None:
        again_of = None if self.task is None else self.task.pk
        try:
            task: Any = record(conf.DATABASE, call, again_of=again_of)
        except (CQError, TypeError, ValueError) as error:
            self._refuse(error)
            return None
        if task.created or _replaced(call, task):
            return cast("Task", task)
        self.obstacle = obstacles.Obstacle(task.pk, task.name, task.status)
        text = _(
            "Its unique key belongs to another task that is not done. Revoke that one, "
            "or wait for it."
        )
        if task.done:
            text = _(
                "Another task with its unique key has settled not long ago, and that key "
                "is remembered for a while."
            )
        self.options.add_error(None, text)
        return None

    def _refuse(self, error: Exception) -> None:
        hides = self.keeps_all or isinstance(error, StandsForResult)
        text = _("What is stored of its arguments can't be read.")
        self.options.add_error(None, text if hides else visible(error))


def _replaced(call: Call[Any], task: Task) -> bool:
    """Tell whether a call that made no task has given one that waits its arguments."""
    return call.options.debounce is not None and not task.done


def _failed(call: Call[Any]) -> Any:
    """Return the task, if any, for which the call would never start."""
    *_texts, handles = encoded(call.args, call.kwargs)
    for task in handles:
        if task.status not in OPEN | {Status.COMPLETE}:  # type: ignore[attr-defined]
            return task
    return None
