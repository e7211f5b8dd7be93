"""The view ``/metrics`` for Prometheus; wants ``cq-core[prometheus]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.http import HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cq.conf import conf, problem
from cq.db import missing_tables
from cq.metrics import read
from cq.metrics.exposition import exposition

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["metrics"]

TEXT = "text/plain; charset=utf-8"


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the figures of all queues and workers; for GET and HEAD.

    Names of tasks and queues are nobody else's business: it wants the token of
    ``CQ_METRICS_TOKEN`` as a bearer token, and shows nothing while there is none. Raises
    ImproperlyConfigured when the setting is wrong, and `cq.metrics.exposition.ExtraMissing`
    without the extra.
    """
    refused = _refusal(request)
    if refused is not None:
        return refused
    try:
        samples = read()
    except Error as error:
        # For Prometheus the target is down then; it says nothing to those who get mail
        # of each 500.
        reason = missing_tables.remedy(error, conf.DATABASE) or error
        why = f"the database {conf.DATABASE!r} cannot be read: {reason}\n"
        return HttpResponse(why, status=503, content_type=TEXT)
    text, content_type = exposition(samples, request.headers.get("Accept", ""))
    return HttpResponse(text, content_type=content_type)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the answer to who may not see it; None for who may."""
    token = conf.METRICS_TOKEN
    if wrong := problem("METRICS_TOKEN", token):
        raise ImproperlyConfigured(wrong)
    if token is False:
        return None
    if token is None:
        text = (
            "Nobody may see these metrics: CQ_METRICS_TOKEN is not set. Set it to a "
            "secret that Prometheus sends as a bearer token, or to False where your own "
            "code or network decides who comes here.\n"
        )
        return HttpResponse(text, status=403, content_type=TEXT)
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and constant_time_compare(given.strip(), token):
        return None
    refused = HttpResponse("Wants a bearer token.\n", status=401, content_type=TEXT)
    refused["WWW-Authenticate"] = 'Bearer realm="cq metrics"'
    return refused
