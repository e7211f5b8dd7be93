"""The colours that programs give their text for a terminal, as classes of HTML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.utils.html import format_html
from django.utils.safestring import mark_safe

from .html import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.utils.safestring import SafeString

#: "Select graphic rendition"; what else begins with an escape is shown as it stands.
_COLOUR = re.compile("\x1b\\[([0-9;]{0,40})m")
_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


def plain(text: str) -> str:
    """Return text without its colours."""
    return _COLOUR.sub("", text) if "\x1b" in text else text


def coloured(text: str) -> SafeString:
    """Return text as HTML, escaped, with the colours of its letters as classes."""
    if "\x1b" not in text:
        return format_html("{}", visible(text))
    return mark_safe("".join(_pieces(text)))  # noqa: S308


def _pieces(text: str) -> Iterator[SafeString]:
    bold, colour = False, ""
    parts = _COLOUR.split(text)
    for at, part in enumerate(parts):
        if at % 2:
            bold, colour = _changed(part, bold, colour)
        elif part:
            classes = [f"cq-ansi-{colour}"] * bool(colour) + ["cq-ansi-bold"] * bold
            shown = visible(part)
            if classes:
                html = '<span class="{}">{}</span>'
                yield format_html(html, " ".join(classes), shown)
            else:
                yield format_html("{}", shown)


def _changed(codes: str, bold: bool, colour: str) -> tuple[bool, str]:
    numbers = iter([int(code[:4] or 0) for code in codes.split(";")])
    for number in numbers:
        if number == 0:
            bold, colour = False, ""
        elif number in (1, 22):
            bold = number == 1
        elif 30 <= number <= 37 or 90 <= number <= 97:
            colour = _NAMES[number % 10]
        elif number == 39:
            colour = ""
        elif number in (38, 48):
            # Of 256 colours, or of all: none of ours, and its numbers mean nothing else.
            for _ in range({5: 1, 2: 3}.get(next(numbers, 0), 0)):
                next(numbers, None)
    return bold, colour
