"""The tags of a call: text of the project's own by which its task is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.text import brief, unstorable

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_TAG = 100
#: Of one task, with those that it takes from its parent.
MOST_TAGS = 10
WANTED = (
    f"a list of at most {MOST_TAGS} texts of 1 to {LONGEST_TAG} characters that every "
    'database stores (no NUL, no half of a surrogate pair), like ["order:4711"]'
)
#: The keys that they have among what a row keeps for its runner: a task's own, and those
#: of its parent, which a task beside it has, too.
KEY = "tags"
FROM_PARENT = "tags_from_parent"


def is_tag(value: object) -> bool:
    """Tell whether a value can be a tag."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= LONGEST_TAG
        and unstorable(value) is None
    )


def are_tags(value: object) -> bool:
    """Tell whether a value can be the tags of a task."""
    # A single text is a sequence of its letters, and a set has no order.
    return (
        isinstance(value, (list, tuple))
        and len(value) <= MOST_TAGS
        and all(map(is_tag, value))
    )


def checked(name: str, given: Any) -> tuple[str, ...]:
    """Return what a task named `name` was given for tags; raises ValueError."""
    if given is None:
        return ()
    if not are_tags(given):
        raise ValueError(f"{name}: tags is {brief(given)}, but must be {WANTED}")
    return tuple(dict.fromkeys(given))


def stored(
    name: str, from_parent: Sequence[str], own: Sequence[str]
) -> dict[str, list[str]]:
    """Return what a row keeps of tags; raises ValueError for too many together."""
    own = [tag for tag in own if tag not in from_parent]
    if len(from_parent) + len(own) > MOST_TAGS:
        raise ValueError(
            f"{name} takes {len(from_parent)} tags from its parent and has {len(own)} of "
            f"its own, {brief(own)}, but may have {MOST_TAGS} together; give it, or its "
            "parent, fewer"
        )
    kept = {KEY: own} if own else {}
    return {**kept, FROM_PARENT: list(from_parent)} if from_parent else kept


def with_tags(name: str, options: Any, above: Sequence[str]) -> dict[str, Any]:
    """Return what a row keeps once it has other tags from its parent; as `stored`."""
    kept = options if isinstance(options, dict) else {}
    rest = {key: v for key, v in kept.items() if key not in (KEY, FROM_PARENT)}
    together = tuple(dict.fromkeys((*above, *tags_from_parent(kept))))
    return {**rest, **stored(name, together, _read(kept, KEY))}


def tags_from_parent(options: Any) -> tuple[str, ...]:
    """Return the tags that a task has from its parent, by what its row keeps."""
    return _read(options, FROM_PARENT)


def tags_of(options: Any) -> tuple[str, ...]:
    """Return the tags of a task by what its row keeps, those of its parent first."""
    if not options:
        return ()
    return _read(options, FROM_PARENT) + _read(options, KEY)


def _read(options: Any, key: str) -> tuple[str, ...]:
    found = options.get(key) if isinstance(options, dict) else None
    # Anybody may have written it who has the database.
    return tuple(found) if found and are_tags(found) else ()
