"""Several values in one parameter of an address: ``status=FAILURE,LOST``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_VALUE = re.compile(r"((?:[^\\,]|\\.|\\$)*)(?:,|$)", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\,])")
#: More than anybody chooses; an address has no bound of its own.
MOST_VALUES = 200


def split(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the values of a parameter, each once; it may be there several times."""
    found: dict[str, None] = {}
    for text in texts:
        for match in _VALUE.finditer(text):
            if match[1]:
                found[_ESCAPED.sub(r"\1", match[1])] = None
    return tuple(found)[:MOST_VALUES]


def joined(values: Iterable[str]) -> str:
    """Return the text that `split` makes these values of. A name may have a comma."""
    return ",".join(re.sub(r"([\\,])", r"\\\1", value) for value in values)
