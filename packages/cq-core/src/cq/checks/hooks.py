"""The checks of what a project puts around its tasks: it is imported where they run."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register

from cq.conf import conf, problem
from cq.hooks import carriers, middleware


@register("cq")
def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """cq.E040: what CQ_MIDDLEWARE names is no middleware."""
    if problem("MIDDLEWARE", conf.MIDDLEWARE):
        return []
    found = [middleware.problem(path) for path in conf.MIDDLEWARE]
    hint = "Each run would fail. Correct its dotted name, or remove it."
    return [Error(wrong, hint=hint, id="cq.E040") for wrong in found if wrong]


@register("cq")
def check_carriers(**kwargs: Any) -> list[CheckMessage]:
    """cq.E041: what CQ_CONTEXT names is no carrier, or two have one name."""
    if problem("CONTEXT", conf.CONTEXT):
        return []
    hint = "Each .delay() would fail. Correct it, or remove it."
    return [
        Error(wrong, hint=hint, id="cq.E041")
        for wrong in carriers.problems(list(conf.CONTEXT))
    ]
