"""References among stored values: rows of the database that a text names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def models_in(node: Any) -> set[str]:
    """Return the labels of the models whose rows a JSON value names, as they stand.

    Nothing is looked up: a label may be of no model at all.
    """
    return {str(label) for label in _labels(node)}


def _labels(node: Any) -> Iterator[Any]:
    # No recursion: this was typed by somebody, and may be as deep as JSON allows.
    left = [node]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left += node
        elif isinstance(node, dict):
            if node.get("$") == "model":
                stored = node.get("v")
                yield stored[0] if isinstance(stored, list) and stored else stored
            left += node.values()
