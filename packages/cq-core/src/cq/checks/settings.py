"""The checks of settings, which ask no database."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DEFAULT_DB_ALIAS

from cq.conf import SETTINGS, conf, problem

_SIBLINGS = ("cq_channels", "cq_scheduler", "cq_admin")


@register("cq")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """cq.E001: a setting has a wrong value. cq.W001: there is no such setting."""
    found: list[CheckMessage] = []
    for name in sorted(n for n in dir(settings) if n.startswith("CQ_")):
        short = name.removeprefix("CQ_")
        if short not in SETTINGS:
            close = get_close_matches(short, SETTINGS, 1)
            hint = f"Did you mean CQ_{close[0]}?" if close else "Remove it."
            found.append(
                Warning(f"There is no setting {name}.", hint=hint, id="cq.W001")
            )
        elif message := problem(short, getattr(settings, name)):
            found.append(Error(message, hint=SETTINGS[short].help, id="cq.E001"))
    return found


@register("cq")
def check_lease(**kwargs: Any) -> list[CheckMessage]:
    """cq.E002: a worker would be taken for dead between two heartbeats."""
    if problem("LEASE", conf.LEASE) or problem("HEARTBEAT", conf.HEARTBEAT):
        return []
    if conf.LEASE >= 2 * conf.HEARTBEAT:
        return []
    return [
        Error(
            f"CQ_LEASE is {conf.LEASE:g} s, but CQ_HEARTBEAT {conf.HEARTBEAT:g} s.",
            hint="Give the lease at least two heartbeats; 15 and 2 are the defaults.",
            id="cq.E002",
        )
    ]


@register("cq")
def check_time_zones(**kwargs: Any) -> list[CheckMessage]:
    """cq.E006: moments are kept without their time zone."""
    if settings.USE_TZ:
        return []
    return [
        Error(
            "USE_TZ is False, and cq keeps moments with their time zone.",
            hint="Set USE_TZ = True: by a clock that daylight saving sets back, a worker "
            "would be dead for an hour, and no schedule would know its time.",
            id="cq.E006",
        )
    ]


@register("cq")
def check_database(**kwargs: Any) -> list[CheckMessage]:
    """cq.E003: no such database. cq.W002: not the one that the site writes to."""
    alias = conf.DATABASE
    if not isinstance(alias, str) or alias not in settings.DATABASES:
        return [
            Error(
                f"CQ_DATABASE is {alias!r}, which is not in DATABASES.",
                hint=f"Use one of {', '.join(settings.DATABASES)}.",
                id="cq.E003",
            )
        ]
    if alias == DEFAULT_DB_ALIAS:
        return []
    return [
        Warning(
            f"Tasks are kept in {alias!r}, not in the site's default database.",
            hint=(
                "The two cannot commit together: a task is recorded when the default "
                "database's transaction commits, and atomic tasks are exactly once for "
                f"writes to {alias!r} only."
            ),
            id="cq.W002",
        )
    ]


@register("cq")
def check_siblings(**kwargs: Any) -> list[CheckMessage]:
    """cq.W003: a part is installed but not listed in INSTALLED_APPS."""
    return [
        Warning(
            f"{name.replace('_', '-')} is installed, but {name!r} is not in "
            "INSTALLED_APPS.",
            hint=f"Add {name!r} after 'cq', or uninstall it.",
            id="cq.W003",
        )
        for name in _SIBLINGS
        if find_spec(name) is not None and not apps.is_installed(name)
    ]
