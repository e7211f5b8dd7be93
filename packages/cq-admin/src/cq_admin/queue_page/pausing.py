"""The pages that ask before a queue, or the tasks of a name, are paused or resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from cq import queues
from cq.conf import conf
from cq.db.clock import database_now
from cq.errors import CQError
from cq.tables.queries import pauses
from cq.tables.worker_rows import LONGEST_REASON, PauseRow
from cq.text import unstorable
from cq_admin.display.html import named, visible
from cq_admin.display.pauses import pause as pause_in_words
from cq_admin.display.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.urls import URLPattern

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

#: Queues and tasks that one page pauses or resumes.
MOST_AT_ONCE = 50


class ResumeForm(forms.Form):
    """Why something is resumed."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=LONGEST_REASON,
        widget=forms.TextInput({"class": "vTextField", "dir": "auto"}),
        help_text=gettext_lazy("It stands in the history, with your name."),
    )


class PauseForm(ResumeForm):
    """Why something is paused, and until when."""

    until = forms.DateTimeField(
        label=gettext_lazy("Until"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text=gettext_lazy("Empty: until somebody resumes it."),
    )

    def clean_until(self) -> Any:
        until = self.cleaned_data["until"]
        now = database_now(conf.DATABASE)
        if until is not None and until <= now:
            raise forms.ValidationError(_("That moment has passed."))
        if until is not None and until >= now + queues.LONGEST_PAUSE:
            raise forms.ValidationError(_("That is more than ten years from now."))
        return until


class PausePages(ModelAdmin):
    """The two pages, below the list of the queues."""

    def may_pause(self, request: HttpRequest) -> bool:
        """Tell whether somebody may pause and resume."""
        allowed = request.user.has_perm("cq.pause_queue")
        return allowed and self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        views: dict[str, Callable[..., HttpResponse]] = {
            "pause": self._pause,
            "resume": self._resume,
        }
        own = [
            path(
                f"{verb}/",
                self.admin_site.admin_view(self._guarded(view)),
                name=f"cq_queue_{verb}",
            )
            for verb, view in views.items()
        ]
        return own + super().get_urls()

    def pause_url(self, verb: str, **of: str) -> str:
        """Return the address of the page that pauses or resumes a queue, or a task."""
        url = reverse(f"{self.admin_site.name}:cq_queue_{verb}")
        return f"{url}?{urlencode(of)}"

    def _guarded(self, view: Callable[..., HttpResponse]) -> Any:
        @require_http_methods(["GET", "HEAD", "POST"])
        def guarded(request: HttpRequest) -> HttpResponse:
            # Before the look-up: who may not pause learns nothing of what there is.
            if not self.may_pause(request):
                raise PermissionDenied
            found = [
                (kind, name)
                for kind in (PauseRow.QUEUE, PauseRow.TASK)
                for name in request.GET.getlist(kind)
            ]
            if not 0 < len(found) <= MOST_AT_ONCE or any(
                unstorable(name) for _kind, name in found
            ):
                raise Http404("No queue and no task is named, or too many are.")
            return view(request, found)

        return guarded

    def _pause(self, request: HttpRequest, of: list[tuple[str, str]]) -> HttpResponse:
        form = PauseForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            given: dict[str, Any] = {
                **form.cleaned_data,
                "by": request.user.get_username(),
            }
            try:
                with transaction.atomic(using=conf.DATABASE):
                    for kind, name in of:
                        queues.pause(**{**given, kind: name})
            except (ValueError, CQError) as error:
                form.add_error(None, visible(error))
            else:
                said = _("Paused. %(reason)s")
                self._note(request, self._rows(of), said, given["reason"])
                message = _("It is paused. What runs goes on.")
                return self._back(request, message)
        return self._asking(request, form, of, _("Pause"), _PAUSING)

    def _resume(self, request: HttpRequest, of: list[tuple[str, str]]) -> HttpResponse:
        form = ResumeForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            rows = self._rows(of)
            for kind, name in of:
                queues.resume(**{kind: name})
            self._note(request, rows, _("Resumed. %(reason)s"), **form.cleaned_data)
            return self._back(request, _("It is resumed. Workers start what waits."))
        return self._asking(request, form, of, _("Resume"), _RESUMING)

    def _rows(self, of: list[tuple[str, str]]) -> list[PauseRow]:
        rows = pauses(conf.DATABASE).filter(name__in=[name for _kind, name in of])
        return [row for row in rows if (row.kind, row.name) in of]

    def _note(
        self, request: HttpRequest, rows: list[PauseRow], said: str, reason: str
    ) -> None:
        for row in rows:
            logged = (said % {"reason": visible(reason)}).rstrip()
            self.log_change(request, row, logged)

    def _back(self, request: HttpRequest, message: str) -> HttpResponse:
        self.message_user(request, message, messages.SUCCESS)
        return HttpResponseRedirect(
            reverse(f"{self.admin_site.name}:cq_queue_changelist")
        )

    def _asking(
        self,
        request: HttpRequest,
        form: forms.Form,
        of: list[tuple[str, str]],
        label: str,
        sentences: Any,
    ) -> HttpResponse:
        now = database_now(conf.DATABASE)
        known = {(row.kind, row.name): row for row in self._rows(of)}
        context = {
            **self.admin_site.each_context(request),
            "title": label,
            "trail": Trail.to(self, label),
            "opts": self.opts,
            "media": self.media,
            "form": form,
            "label": label,
            "sentences": sentences,
            "cq_names": [
                (
                    kind == PauseRow.QUEUE,
                    named(name),
                    pause_in_words(row, now)
                    if (row := known.get((kind, name)))
                    else "",
                )
                for kind, name in of
            ],
            "queues_url": reverse(f"{self.admin_site.name}:cq_queue_changelist"),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "cq_admin/pause.html", context)


_PAUSING = (
    gettext_lazy(
        "Workers start nothing of it within about a second. What runs goes on."
    ),
    gettext_lazy("What is called meanwhile is recorded, and waits. Nothing is lost."),
)
_RESUMING = (gettext_lazy("Workers start what waits there at once."),)
