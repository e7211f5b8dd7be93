"""Templates: format strings that make a key of a call's arguments, by their names."""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING, Any, Protocol

from cq.codec import Handle

if TYPE_CHECKING:
    import inspect
    from collections.abc import Iterator

_CONTAINERS = (list, tuple, set, frozenset, dict)
#: Of a field such as ``order.pk`` or ``row[0]``: the argument.
_ARGUMENT = re.compile(r"[^.\[]*")


class Signed(Protocol):
    """A task, as far as a template looks at it."""

    @property
    def name(self) -> str: ...
    @property
    def signature(self) -> inspect.Signature: ...


class Template(str):
    """A format string over the arguments of a call; it is shown as it was written."""

    #: What it was given for, the option of `.using()` that is given in its place, and the
    #: arguments that it takes.
    what: str
    option: str
    names: tuple[str, ...]

    def __new__(cls, what: str, text: str, option: str | None = None) -> Template:
        """Raise ValueError for what is no format string over names.

        what: what it is given for, which is the option where that is not named.
        """
        made = super().__new__(cls, text)
        made.what, made.option = what, option or what
        made.names = tuple(dict.fromkeys(_names(what, text)))
        return made

    def key(
        self, definition: Signed, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> str:
        """Return the text that a call's arguments make.

        Raises TypeError for an argument that the call lacks, or whose value is not there
        yet, ValueError where its text cannot be made.
        """
        if not self.names:
            return self.format()
        given = _by_name(definition, args, kwargs)
        what = f"{definition.name}: {self.what} is {str(self)!r}"
        for name in self.names:
            if name not in given:
                raise TypeError(
                    f"{what}, but this call has no argument {name!r}; give it one, or "
                    f"give the text by .using({self.option}=...)"
                )
            if _waits(given[name]):
                raise TypeError(
                    f"{what}, but its argument {name!r} is the result of another task, "
                    f"which is not there yet; give the text by .using({self.option}=...)"
                )
        try:
            return self.format_map(given)
        except Exception as error:
            # Its text may have a value in it that nobody is to see.
            raise ValueError(
                f"{what}, which cannot be made of the arguments of this call "
                f"({type(error).__name__})"
            ) from error


def _names(what: str, text: str) -> Iterator[str]:
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(
            f"{what} is {text!r}, which is no format string ({error}); double a brace "
            "that is to be one"
        ) from None
    for _, place, form, conversion in pieces:
        if place is None:
            continue
        match = _ARGUMENT.match(place)
        name = match[0] if match else ""
        if not name.isidentifier() or conversion not in (None, "r", "s", "a"):
            shown = f"{place}!{conversion}" if conversion else place
            raise ValueError(
                f"{what} is {text!r}, where {{{shown}}} names no argument; name one, "
                "like {customer_id}, or double a brace that is to be one"
            )
        yield name
        yield from _names(what, form or "")


def _by_name(
    definition: Signed, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    bound = definition.signature.bind(*args, **kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    for parameter in definition.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            given |= given[parameter.name]
    return given


def _waits(value: Any) -> bool:
    """Tell whether there is a handle in a value, at any depth."""
    looked_at, open_ = set(), [value]
    while open_:
        found = open_.pop()
        if isinstance(found, Handle):
            return True
        if isinstance(found, _CONTAINERS) and id(found) not in looked_at:
            looked_at.add(id(found))
            open_ += found.values() if isinstance(found, dict) else found
    return False
