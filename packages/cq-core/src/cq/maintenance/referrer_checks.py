"""The system check of a project's keys to cq's rows: which of them keep rows from going."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Warning, register
from django.db.models.deletion import DO_NOTHING, PROTECT, RESTRICT

from cq.conf import conf
from cq.tables import referrers

_RULES = {PROTECT: "PROTECT", RESTRICT: "RESTRICT"}


@register("cq")
def check_referrers(**kwargs: Any) -> list[CheckMessage]:
    """cq.W030: a foreign key keeps rows of cq from being deleted when their time is over."""
    found: list[CheckMessage] = []
    for model in apps.get_app_config("cq").get_models():
        for relation in referrers.relations(model, conf.DATABASE):
            rule = relation.field.remote_field.on_delete
            if rule is DO_NOTHING:
                told = "DO_NOTHING, and the database enforces it"
            elif rule in _RULES:
                told = _RULES[rule]
            else:
                continue
            found.append(
                Warning(
                    f"{relation.field} points at {model._meta.label} with "
                    f"on_delete={told}.",
                    hint=(
                        "What it points at is never pruned, nor is the rest of its "
                        "tree. Use null=True, on_delete=models.SET_NULL and "
                        "db_constraint=False."
                    ),
                    obj=relation.referrer,
                    id="cq.W030",
                )
            )
    return found
