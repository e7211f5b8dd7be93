"""Figures in words: rates, changes and estimates, each number with its unit."""

from __future__ import annotations

from datetime import timedelta

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from cq_admin.display.html import EMPTY, span


def number(value: float) -> str:
    """Show a number: whole, or with one decimal below ten."""
    whole = value == round(value) or abs(value) >= 10
    return number_format(
        round(value) if whole else round(value, 1), force_grouping=True
    )


def at_least(value: int, more: bool) -> str:
    """Show a number; more: there may be more."""
    return f"{number(value)}+" if more else number(value)


def rate(a_minute: float | None) -> str:
    """Show how many there are in a minute."""
    if a_minute is None:
        return EMPTY
    return _unit(_("%(n)s/min"), number(a_minute))


def growth(a_minute: float | None) -> str:
    """Show how many more, or less, there are each minute."""
    if a_minute is None:
        return EMPTY
    sign = "+" if a_minute > 0 else ""
    return _unit(_("%(n)s/min"), f"{sign}{number(a_minute)}")


def change(now: float, before: float) -> str:
    """Show by how much something has changed; of what is new there is no share."""
    if not before:
        return _("new") if now else EMPTY
    percent = round((now / before - 1) * 100)
    sign = "+" if percent > 0 else ""
    return _unit("%(n)s %%", f"{sign}{number(percent)}")


def change_share(now: float, before: float) -> float | None:
    """Return by what share something has changed, to be put in order; new: the most."""
    if not before:
        return float("inf") if now else None
    return now / before - 1


def share(part: float, whole: float) -> str:
    """Show a part of a whole in percent."""
    if not whole:
        return EMPTY
    return _unit("%(n)s %%", number_format(round(part / whole * 100, 1)))


def about(seconds: float | None) -> str:
    """Show an estimate of a length of time, which has a tilde."""
    if seconds is None:
        return EMPTY
    return f"~{span(timedelta(seconds=seconds))}"


def _unit(text: str, n: str) -> str:
    # A number and its unit stay on one line.
    return (text % {"n": n}).replace(" ", "\xa0")
