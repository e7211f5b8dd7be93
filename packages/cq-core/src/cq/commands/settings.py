"""The verb ``settings``: the settings in effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings

from cq.cli.verb import Verb, add_format
from cq.conf import SETTINGS, conf, problem
from cq.definitions.keys import named

if TYPE_CHECKING:
    from cq.cli.output import Output

#: In the place of what only some may know.
HIDDEN = "(hidden)"


def settings(output: Output, options: dict[str, Any]) -> None:
    rows = []
    for name, setting in SETTINGS.items():
        value: Any = getattr(conf, name)
        wrong = problem(name, value)
        if setting.is_secret and isinstance(value, str):
            value = HIDDEN
        given = hasattr(django_settings, f"CQ_{name}")
        rows.append(
            {
                "name": f"CQ_{name}",
                "value": _shown(value),
                "default": setting.default,
                "from": "settings" if given else "default",
                "problem": wrong,
                "help": setting.help,
            }
        )
    if output.as_json:
        output.json(rows)
        return
    columns = ("name", "value", "from", "help")
    output.table(
        columns,
        [
            (r["name"], repr(r["value"]), r["from"], r["problem"] or r["help"])
            for r in rows
        ],
    )


def _shown(value: Any) -> Any:
    """Return the value of a setting as JSON has it: functions are shown by their names."""
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, dict):
        return {name: _shown(of_it) for name, of_it in value.items()}
    return named(value) if callable(value) else value


VERBS = (Verb("settings", "the settings in effect", add_format, settings),)
