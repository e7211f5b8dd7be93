"""Who may watch which task, or the whole, and what they see. For threads: it asks the database."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from django.utils.translation import get_language_from_request

from cq.live.state import Reading
from cq.live.whole import Whole
from cq.tables.queries import task_model

from .by_token import by_token
from .pages import has_pages, pages_for
from .sight import FORBIDDEN, GONE, Denied, Sight

if TYPE_CHECKING:
    from collections.abc import Hashable
    from uuid import UUID

    from cq.live.whole import WholeReading


#: The model whose page it is, and whose permission it needs.
_PAGES = {Whole.OVERVIEW: "overview", Whole.WORKERS: "worker"}


@dataclass(frozen=True, slots=True)
class Viewer:
    """The user of a session, as the database has it now; None: nobody is logged in."""

    user: Any = None
    #: Of the texts that they are shown.
    language: str = ""

    @property
    def key(self) -> str | None:
        return None if self.user is None else str(self.user.pk)

    def sight(self, task_id: UUID) -> Sight:
        """Return what they see of a task, as the admin would. Raises Denied."""
        user = self.user
        if user is None or not user.is_active or not user.has_perm("cq.view_task"):
            raise Denied(FORBIDDEN)
        request = HttpRequest()
        request.user = user
        found = list(pages_for(request, task_model()))
        if not found:
            if not user.is_staff or has_pages(task_model()):
                raise Denied(FORBIDDEN)
            return _whole(user.has_perm("cq.view_task_log"))
        for pages in found:
            rows = pages.get_queryset(request)
            allowed = getattr(pages, "has_view_log_permission", None)
            log = allowed(request) if allowed else user.has_perm("cq.view_task_log")
            if not rows.query.where:
                return _whole(log)
            if rows.filter(pk=task_id).exists():
                return _narrowed(
                    log, rows, (pages.admin_site.name, user.__class__, user.pk)
                )
        raise Denied(GONE)

    def sight_of_whole(self, whole: Whole) -> Sight:
        """Return what they see of the whole, as its page would. Raises Denied."""
        user = self.user
        may = f"cq.view_{_PAGES[whole]}"
        if user is None or not user.is_active or not user.has_perm(may):
            raise Denied(FORBIDDEN)
        request = HttpRequest()
        request.user = user
        model = apps.get_model("cq", _PAGES[whole])
        found = list(pages_for(request, model))
        if not found and (not user.is_staff or has_pages(model)):
            raise Denied(FORBIDDEN)
        # Who is shown some of the workers only does not learn how many there are.
        numbers = not found or any(
            not pages.get_queryset(request).query.where for pages in found
        )

        def state(reading: WholeReading, after: int | None) -> dict[str, Any]:
            return reading.state(numbers=numbers)

        def etag(reading: WholeReading, after: int | None) -> str:
            return reading.etag

        return Sight(("whole", numbers), state, etag)


def _whole(log: bool) -> Sight:
    def state(reading: Reading, after: int | None) -> dict[str, Any]:
        return reading.state(after, log=log)

    return Sight(("staff", log), state, partial(Reading.etag, log=log))


def _narrowed(log: bool, rows: Any, who: Hashable) -> Sight:
    ids = rows.order_by().values("pk")

    def state(reading: Reading, after: int | None) -> dict[str, Any]:
        narrow = lambda lines: lines.filter(task__in=ids)  # noqa: E731
        return reading.state(after, log=log, narrow=narrow)

    return Sight(("narrowed", log, who), state, partial(Reading.etag, log=log))


def viewer_of(scope: Any) -> Viewer:
    """Return the user of a socket, whose session and row are read anew."""
    user = _user_of(scope)
    logged_in = user is not None and user.is_authenticated
    return Viewer(user if logged_in else None, _language_of(scope))


def person_of(scope: Any) -> Hashable:
    """Return what all sockets of one person in one browser have in common. Asks nothing."""
    session, user = scope.get("session"), scope.get("user")
    key = None if session is None else session.session_key
    # Users of another class may have the same key.
    return key, user.__class__, getattr(user, "pk", None), _language_of(scope)


def _user_of(scope: Any) -> Any:
    session, user = scope.get("session"), scope.get("user")
    if session is not None:
        if session.session_key is None:
            return None
        engine = import_module(settings.SESSION_ENGINE)
        request: Any = SimpleNamespace(session=engine.SessionStore(session.session_key))
        return get_user(request)
    if user is not None and user.is_authenticated:
        # Of a project that knows its users by other means than a session.
        return type(user)._default_manager.filter(pk=user.pk).first()
    return None


def _language_of(scope: Any) -> str:
    request = HttpRequest()
    request.COOKIES = scope.get("cookies", {})
    for name, value in scope.get("headers", ()):
        if name == b"accept-language":
            request.META["HTTP_ACCEPT_LANGUAGE"] = value.decode("latin1")
    return get_language_from_request(request)


def sight_of(viewer: Viewer, subject: UUID | Whole, token: str | None) -> Sight:
    """Return what a user, or who has the token, sees of what is watched. Raises Denied."""
    if isinstance(subject, Whole):
        # A token names one task, whatever else is asked for with it.
        if token is not None:
            raise Denied(GONE)
        return viewer.sight_of_whole(subject)
    if token is not None:
        return by_token(token, subject, viewer.key, viewer.language)
    return viewer.sight(subject)
