"""The error of a Django result, whose class is never imported."""

from __future__ import annotations

from cq.codec.loaded import class_of, named

from .api import TaskError


class RowError(TaskError):
    """The error that a row tells of; what a row names is looked up, not imported."""

    __slots__ = ()

    @property
    def exception_class(self) -> type[BaseException]:
        """The class of the exception.

        Raises ImportError if it is not loaded in this process, ValueError if it is no
        exception, as Django's own does.
        """
        path = self.exception_class_path
        found = class_of(path)
        if found is None and named(path) is None:
            raise ImportError(
                f"{path!r} is not loaded in this process, and cq imports nothing that a "
                "row names; import its module first, or use exception_class_path"
            )
        if found is None or not issubclass(found, BaseException):
            # In Django's words, for who looks for them.
            raise ValueError(f"{path!r} does not reference a valid exception.")
        return found
