"""A schedule in words, in the language of who reads them."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cron_descriptor  # type: ignore[import-untyped]
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.html import format_html
from django.utils.translation import get_language, to_locale
from django.utils.translation import gettext as _

from cq_admin.display.html import moment, span

if TYPE_CHECKING:
    from collections.abc import Callable

_LOCALES = Path(cron_descriptor.__file__).parent / "locale"
_ENGLISH = "en_US"
#: By their English names, as the library leaves them in every language.
_NAMES = {name._args[0]: name for name in (*WEEKDAYS.values(), *MONTHS.values())}  # type: ignore[attr-defined]


def words(row: Any, reading: Callable[[str], Any]) -> list[str]:
    """Return the sentences for a valid schedule.

    reading: gives the parts of a cron line, as cq-scheduler reads it.
    """
    said: list[str] = []
    if row.at is not None:
        said.append(format_html(_("Once, at {}"), moment(row.at)))
    elif row.interval is not None:
        said.append(_("Every %s") % span(row.interval, exact=True))
    else:
        said += _about_line(reading(row.crontab), get_language() or "en")
    if row.jitter:
        said.append(
            _("Up to %s late, always by the same.")
            % span(timedelta(seconds=row.jitter), exact=True)
        )
    return said


@lru_cache(maxsize=1024)
def cron_words(line: str, language: str) -> str:
    """Return what a valid line of five fields means; the line where that fails."""
    try:
        text = cron_descriptor.get_description(line, _options(language))
    except Exception:  # another parser than ours: what it can't read is shown as it is
        return line
    return re.sub(r"\b[A-Z][a-z]+\b", lambda m: str(_NAMES.get(m[0], m[0])), text)


def _options(language: str) -> Any:
    wanted = {"locale_code": _locale(language), "use_24hour_time_format": True}
    try:
        return cron_descriptor.Options(**wanted)
    except TypeError:  # version 1, which django-celery-beat wants
        options = cron_descriptor.Options()
        for name, value in wanted.items():
            setattr(options, name, value)
        return options


@lru_cache
def _locale(language: str) -> str:
    """Return the library's name of the nearest language that it has."""
    known = sorted(path.stem for path in _LOCALES.glob("*.mo"))
    scripts = {"zh_Hans": "zh_CN", "zh_Hant": "zh_TW"}
    locale = to_locale(language)
    locale = scripts.get(locale, locale)
    if locale in known:
        return locale
    short = locale.partition("_")[0]
    if short == "en":
        return _ENGLISH
    return next((k for k in known if k.startswith(f"{short}_")), _ENGLISH)


def _about_line(line: Any, language: str) -> list[str]:
    """Say what a line means; one by one what its two day fields say.

    The library's own word between them is "and" or "or" by version and language, and
    not by what cron makes of it.
    """

    def said(day: str, weekday: str) -> str:
        fields = (line.minute, line.hour, day, line.month, weekday)
        return cron_words(" ".join(fields), language)

    days = [] if line.days == ("*",) else [said(day, "*") for day in line.days]
    weekdays = [] if line.weekdays == ("*",) else [said("*", d) for d in line.weekdays]
    sentences = [*days, *weekdays] or [said("*", "*")]
    if days and weekdays and line.both:
        return [
            *sentences,
            _("The days of the month and of the week both have to match."),
        ]
    if len(sentences) > 1:
        return [*sentences, _("A match of one is enough.")]
    return sentences
