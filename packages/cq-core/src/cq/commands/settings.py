"""The verb ``settings``: the settings in effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings

from cq.cli.verb import Verb, add_format
from cq.conf import SETTINGS, conf, problem

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
                "value": sorted(value) if isinstance(value, set) else value,
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


VERBS = (Verb("settings", "the settings in effect", add_format, settings),)
