"""A notice: one thing that needs somebody, with the links to look at it and to act."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.html import format_html
from django.utils.translation import ngettext

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.utils.safestring import SafeString

#: Of one kind; of more it is said how many.
MOST_OF_A_KIND = 5

Link = tuple[str, Any]


class Notice(NamedTuple):
    """What is said, and where to go: (address, label), without those for others."""

    text: SafeString | str
    links: list[Link]

    @classmethod
    def of(cls, text: Any, *links: Link, **values: Any) -> Notice:
        """Return a notice; values: what its text has in braces."""
        shown = format_html(text, **values) if values else format_html("{}", text)
        return cls(shown, [link for link in links if link[0]])


def several(notices: Sequence[Notice], number: int | None = None) -> Iterator[Notice]:
    """Give the first of a kind, and how many there are besides.

    number: how many there are, where these are only the first.
    """
    yield from notices[:MOST_OF_A_KIND]
    rest = (len(notices) if number is None else number) - MOST_OF_A_KIND
    if rest > 0:
        text = ngettext("And %(n)s more like it.", "And %(n)s more like it.", rest)
        yield Notice.of(text % {"n": rest})
