"""``{% load cq %}``: the bar of a task on a project's own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html

from cq.conf import conf
from cq.live.socket import socket_address
from cq.live.state import read
from cq.progress import token as tokens
from cq.progress.element import TEMPLATE, Look, context_of

if TYPE_CHECKING:
    from django.template import Context
    from django.utils.safestring import SafeString

register = template.Library()


@register.inclusion_tag(TEMPLATE, takes_context=True)
def cq_progress(
    context: Context,
    task: Any,
    log: bool = False,
    cancel: bool = False,
    label: str = "",
    redirect: str = "",
    refresh: bool = False,
    htmx: bool = False,
    max_age: float = 3600,
    user: Any = None,
) -> dict[str, Any]:
    """Show how far a task is; nothing where there is none.

    log: with the lines that were said with ``public=True``. cancel: with a button that
    cancels it. redirect: an address of this site, to which the page goes when it has
    worked. refresh: with a link "reload", for pages without JavaScript. htmx: htmx asks
    for it again. max_age, user: of the token, see ``task.token()``.
    """
    reading = read(conf.DATABASE, task.pk) if task else None
    if reading is None:
        return {}
    text = task.token(max_age=max_age, log=log, cancel=cancel, user=user)
    # Of a RequestContext; without the context processor the name is not there.
    request = getattr(context, "request", None) or context.get("request")
    look = Look.of(request, label, redirect, refresh)
    back = "" if request is None else request.get_full_path()
    return context_of(
        reading,
        text,
        tokens.read(text),
        look,
        htmx=htmx,
        back=back,
        socket=socket_address(request),
    )


@register.simple_tag
def cq_progress_assets() -> SafeString:
    """Return what keeps the bars of a page up to date, once in its head."""
    return format_html(
        '<link rel="stylesheet" href="{}"><script type="module" src="{}"></script>',
        static("cq/progress.css"),
        static("cq/progress.js"),
    )
