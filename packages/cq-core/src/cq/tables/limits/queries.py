"""The way to the rows of limits: base querysets of their tables, by database alias."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps

if TYPE_CHECKING:
    from django.db import models

    from .rows import LaneRow, LimitKeyRow, LimitRow, PlaceRow


def lanes(using: str) -> models.QuerySet[LaneRow]:
    model: type[LaneRow] = apps.get_model("cq", "Lane")
    return model._base_manager.using(using).order_by()


def places(using: str) -> models.QuerySet[PlaceRow]:
    model: type[PlaceRow] = apps.get_model("cq", "Place")
    return model._base_manager.using(using).order_by()


def limit_keys(using: str) -> models.QuerySet[LimitKeyRow]:
    model: type[LimitKeyRow] = apps.get_model("cq", "LimitKey")
    return model._base_manager.using(using).order_by()


def limits_set(using: str) -> models.QuerySet[LimitRow]:
    """What was set of named limits, in no order."""
    model: type[LimitRow] = apps.get_model("cq", "Limit")
    return model._base_manager.using(using).order_by()
