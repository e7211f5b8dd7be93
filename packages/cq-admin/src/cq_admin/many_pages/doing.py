"""The recording of an operation by the page, and its first batch where all fits into it."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db import Error, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from cq.conf import conf
from cq.context import user as acting_user
from cq.execution.inline import claim_task, passing_lease, run_now
from cq.models import Task
from cq.operations import verbs
from cq.operations.cursor import Cursor
from cq.operations.reach import reaches_far
from cq.operations.recording import is_stepped, record
from cq.status import FINAL, Status
from cq.workflow.many import PIECE

from . import words

if TYPE_CHECKING:
    from uuid import UUID

    from cq.operations.operation import Operation
    from cq.operations.preview import Preview
    from cq.operations.verbs import Verb

logger = logging.getLogger("cq.admin")
#: In the address of the page, the operation that somebody takes further by it.
STEP = "operation"


def do(
    pages: Any, request: HttpRequest, operation: Operation, seen: Preview
) -> HttpResponse:
    """Record an operation with one entry in the history, and lead to where it is seen.

    What fits into a batch is done before. Raises ValueError for what cannot be done, and
    UniqueBusy while somebody else records the same.
    """
    using = conf.DATABASE
    here = is_stepped(using) or _fits(operation, seen)
    with (
        acting_user.acting(request.user),
        passing_lease(using) if here else nullcontext() as lease,
    ):
        with transaction.atomic(using=using):
            task = record(using, operation)
            if task.created:
                said = words.as_text(
                    operation.verb, operation.filter, seen.applies, operation.reason
                )
                pages.log_change(request, task, said)
            else:
                messages.info(request, _("The same is under way already: this is it."))
            # Before the commit, or a worker comes first.
            mine = lease and claim_task(using, lease.worker, task.pk)
        for claimed in mine or ():
            _run(request, lease, claimed)
    return lead(pages, request, operation.verb, task.pk)


def _fits(operation: Operation, seen: Preview) -> bool:
    """Tell whether all of it is no more than a batch."""
    if seen.applies is None or seen.capped or seen.applies > PIECE:
        return False
    if operation.verb is not verbs.REVOKE:
        return True
    using = conf.DATABASE
    return not reaches_far(using, operation.found(using).after(None, PIECE))


def do_next(request: HttpRequest, task_id: UUID) -> None:
    """Do the next batch of an operation, unless somebody else does."""
    using = conf.DATABASE
    with acting_user.acting(request.user), passing_lease(using) as lease:
        for claimed in claim_task(using, lease.worker, task_id):
            _run(request, lease, claimed)


def _run(request: HttpRequest, lease: Any, task: Any) -> None:
    try:
        run_now(lease, task)
    except Error:
        # It is recorded: somebody else goes on with it.
        logger.exception("operation %s could not be run here", task.pk)
        said = _("The database was in trouble; the operation goes on by itself.")
        messages.warning(request, said)


def lead(pages: Any, request: HttpRequest, verb: Verb, task_id: UUID) -> HttpResponse:
    """Lead to the page of an operation, or to the one that takes it further."""
    site = pages.admin_site.name
    task = Task.objects.using(conf.DATABASE).filter(pk=task_id).first()
    if task is not None and task.status == Status.QUEUED and is_stepped(conf.DATABASE):
        url = reverse(f"{site}:cq_task_many", args=[verb.name])
        return HttpResponseRedirect(f"{url}?{STEP}={task_id}")
    if task is not None:
        _say(request, verb, task)
    if pages.get_queryset(request).filter(pk=task_id).exists():
        return HttpResponseRedirect(reverse(f"{site}:cq_task_change", args=[task_id]))
    # A project that shows a part of the tasks only need not show this one.
    return HttpResponseRedirect(reverse(f"{site}:cq_task_changelist"))


def _say(request: HttpRequest, verb: Verb, task: Any) -> None:
    if task.status not in FINAL:
        said = _("It is done in the background. This page shows how far it is.")
        messages.info(request, said)
        return
    if task.status != Status.COMPLETE:
        return  # its page says what has happened
    cursor = Cursor.of(task.options)
    did = words.VERB_WORDS[verb.name].did % {"n": words.Count(cursor.changed)}
    messages.success(request, did)
    if cursor.refused:
        said = _("%(n)s could not be changed; the log says which, and why.")
        messages.warning(request, said % {"n": words.number(cursor.refused)})
