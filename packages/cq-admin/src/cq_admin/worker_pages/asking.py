"""The buttons of a worker: each asks something of it, by its row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, transaction
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from cq.conf import conf
from cq.db import error_codes
from cq.ids import read_id
from cq.tables.worker_rows import Request
from cq.workers import requests
from cq_admin.display.html import named, span, visible
from cq_admin.display.trail import Trail
from cq_admin.verb_pages.asking import LONGEST_REASON

from .columns import is_silent, silence
from .stacks import Awaited
from .words import ASKINGS, Asking

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.urls import URLPattern

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class WhyForm(forms.Form):
    """The reason for which somebody asks something of a worker."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=LONGEST_REASON,
        widget=forms.TextInput({"class": "vTextField", "dir": "auto"}),
        help_text=gettext_lazy(
            "It stands in the history of the worker, with your name."
        ),
    )


class AskingPages(ModelAdmin):
    """A page, or only a button, for each request that workers answer."""

    def has_asking_permission(
        self, request: HttpRequest, asking: Asking, obj: Any = None
    ) -> bool:
        """Tell whether somebody may ask that of a worker."""
        allowed = request.user.has_perm(f"cq.{asking.permission}")
        return allowed and self.has_view_permission(request, obj)

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<int:object_id>/{asking.request.value}/",
                self.admin_site.admin_view(self._asking_view(asking)),
                name=f"cq_worker_{asking.request.value}",
            )
            for asking in ASKINGS
        ]
        return own + super().get_urls()

    def buttons(self, request: HttpRequest, worker: Any) -> list[dict[str, Any]]:
        """Return what this worker may be asked by this user, where it would hear it."""
        if is_silent(worker):
            return []
        return [
            {
                "label": asking.label,
                "url": self._url(asking.request.value, worker),
                "asks": asking.question is not None,
            }
            for asking in ASKINGS
            if asking.request.value in (worker.answers or ())
            and self.has_asking_permission(request, asking, worker)
        ]

    def stack_url(self, request: HttpRequest, worker: Any) -> str:
        """Return where the page of a task asks for its stack; nothing if it may not."""
        asking = next(one for one in ASKINGS if one.request is Request.STACK)
        answers = asking.request.value in (worker.answers or ())
        allowed = self.has_asking_permission(request, asking, worker)
        if not (answers and allowed) or is_silent(worker):
            return ""
        return self._url(asking.request.value, worker)

    def _url(self, page: str, worker: Any) -> str:
        return reverse(f"{self.admin_site.name}:cq_worker_{page}", args=[worker.pk])

    def _asking_view(self, asking: Asking) -> Any:
        methods = ["POST"] if asking.question is None else ["GET", "HEAD", "POST"]

        @require_http_methods(methods)
        def view(request: HttpRequest, object_id: int) -> HttpResponse:
            # Before the look-up: who may not ask learns nothing of what there is.
            if not self.has_asking_permission(request, asking):
                raise PermissionDenied
            return self._limited(  # type: ignore[attr-defined,no-any-return]
                request, lambda: self._ask_of(request, asking, object_id)
            )

        return view

    def _ask_of(
        self, request: HttpRequest, asking: Asking, object_id: int
    ) -> HttpResponse:
        worker: Any = self.get_object(request, str(object_id))
        if worker is None:
            raise Http404(f"There is no worker {object_id}.")
        if not self.has_asking_permission(request, asking, worker):
            raise PermissionDenied
        return self._ask(request, asking, worker)

    def _ask(self, request: HttpRequest, asking: Asking, worker: Any) -> HttpResponse:
        form = WhyForm(request.POST if request.method == "POST" else None)
        refused = _refused(asking, worker)
        if request.method == "POST" and not refused and form.is_valid():
            awaited = Awaited(worker.pk) if asking.request is Request.STACK else None
            refused = _try_to_ask(asking, worker)
            if not refused:
                self._note(request, asking, worker, form.cleaned_data["reason"])
                if awaited is not None and not awaited.came():
                    said = _("It has not answered yet. Load this page again soon.")
                    self.message_user(request, said, messages.WARNING)
                return HttpResponseRedirect(self._back(request, worker))
        url, heading = self._url("change", worker), named(worker.address)
        context = {
            **self.admin_site.each_context(request),
            "title": asking.question or asking.label,
            "heading": heading,
            "trail": Trail.to(self, asking.label, (url, heading)),
            "opts": self.opts,
            "media": self.media,
            "worker_url": url,
            "asking": asking,
            "form": form,
            "refused": refused,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "cq_admin/ask_worker.html", context)

    def _note(
        self, request: HttpRequest, asking: Asking, worker: Any, reason: str
    ) -> None:
        logged = f"{asking.logged} {visible(reason)}".rstrip()
        self.log_change(request, worker, logged)
        said = asking.said % {"worker": visible(worker.address)}
        self.message_user(request, said, messages.SUCCESS)

    def _back(self, request: HttpRequest, worker: Any) -> str:
        """Return the address of the page whose button it was: of a task, or the worker."""
        task = read_id(request.POST.get("task"))
        if task is None:
            return self._url("change", worker)
        return reverse(f"{self.admin_site.name}:cq_task_change", args=[task])


def _refused(asking: Asking, worker: Any) -> str:
    """Return why a worker would not do what it is asked; nothing where it would."""
    if is_silent(worker):
        words = {"span": span(silence(worker))}
        return _("It has been silent for %(span)s, and would not hear of it.") % words
    if asking.request.value not in (worker.answers or ()):
        return _("A process of its kind does not do that.")
    if asking.request is Request.STACK and not worker.running:
        return _("It runs nothing now.")
    return ""


def _try_to_ask(asking: Asking, worker: Any) -> str:
    """Ask it; return why that could not be done; nothing where it was."""
    using = conf.DATABASE
    try:
        # Of its own: where it fails, what is around it can still read.
        with transaction.atomic(using=using):
            if requests.ask(using, worker.pk, asking.request):
                return ""
    except OperationalError as error:
        # SQLite has one lock for all writers, and says the latter.
        if not (
            error_codes.is_lock_timeout(error)
            or error_codes.is_snapshot_conflict(error)
        ):
            raise
        return _("The database is busy with something else. Try again soon.")
    return _("It has not heard yet what it was asked last. Try again soon.")
