"""Handles: objects that stand for results, in the arguments of calls and in what is returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

if TYPE_CHECKING:
    from cq.generics import R_co

    class Handle(Generic[R_co]):
        """An object that stands for the result of a task."""

else:

    class Handle:
        """An object that stands for the result of a task."""

        __slots__ = ()

        # A model is a handle. `Generic` would be one more base of it, and `Task[int]` no
        # class: nothing to look for with isinstance, nor to ask for `objects`.
        def __class_getitem__(cls, result: Any) -> type[Handle]:
            return cls
