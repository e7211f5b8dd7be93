"""Carriers for ``CQ_CONTEXT``: a language, a time zone, a tenant, what is logged, who clicked.

A carrier has a `name`, a function `capture()` that gives a JSON value, or None for
nothing, and a function `enter(value)` that gives a context manager.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.utils import timezone as zones
from django.utils import translation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

__all__ = ["contextvars", "language", "structlog", "tenant", "timezone", "user"]


class language:
    """The language that is active where a task is called."""

    name = "language"

    @staticmethod
    def capture() -> str | None:
        return translation.get_language()

    @staticmethod
    def enter(value: str) -> AbstractContextManager[Any]:
        """Activate it; raises ValueError for one that there is no translation of."""
        # What is so already is not set again, which takes longer than a short task.
        if value is not None and translation.get_language() == value:
            return _AS_IT_IS
        if not isinstance(value, str) or not translation.check_for_language(value):
            raise ValueError(f"there is no language {value!r}")
        return translation.override(value)


_AS_IT_IS = nullcontext()


class timezone:
    """The time zone that is active where a task is called; a mere offset is not carried."""

    name = "timezone"

    @staticmethod
    def capture() -> str | None:
        key: str | None = getattr(zones.get_current_timezone(), "key", None)
        return key

    @staticmethod
    def enter(value: str) -> AbstractContextManager[Any]:
        """Activate it; raises ValueError or ZoneInfoNotFoundError for an unknown one."""
        if not isinstance(value, str):
            raise ValueError(f"there is no time zone {value!r}")
        return zones.override(value)


class tenant:
    """The schema of django-tenants that the default database is at where a task is called."""

    name = "tenant"
    #: The connection that it sets is its thread's.
    thread_sensitive = True

    @staticmethod
    def capture() -> str | None:
        schema: str | None = getattr(connection, "schema_name", None)
        return schema or None

    @staticmethod
    def enter(value: str) -> AbstractContextManager[Any]:
        """Enter the schema; raises ValueError for what is no name of one."""
        from django_tenants.utils import schema_context

        # It becomes a part of a statement.
        if not isinstance(value, str) or not _SCHEMA.fullmatch(value):
            raise ValueError(f"there is no schema {value!r}")
        entered: AbstractContextManager[Any] = schema_context(value)
        return entered


_SCHEMA = re.compile(r"(?!pg_)\w[\w-]{0,62}")


class contextvars:
    """Some of the project's own ContextVars, each with a JSON value, by their names.

    It is made in a module of the project, ``request = contextvars("request", REQUEST_ID)``,
    and that is named in ``CQ_CONTEXT``. Raises ValueError for two variables of one name.
    """

    def __init__(self, name: str, *variables: ContextVar[Any]) -> None:
        self.name = name
        self._variables = {variable.name: variable for variable in variables}
        if len(self._variables) < len(variables):
            raise ValueError(f"two variables of the carrier {name!r} have one name")

    def capture(self) -> dict[str, Any] | None:
        values = {name: var.get(None) for name, var in self._variables.items()}
        return {n: v for n, v in values.items() if v is not None} or None

    def enter(self, value: dict[str, Any]) -> AbstractContextManager[None]:
        """Set them, but those that there are no more; raises AttributeError for no dict."""
        known = self._variables
        return _Set([(known[n], v) for n, v in value.items() if n in known])


class _Set:
    """A ``with`` block in which context variables have values."""

    __slots__ = ("_tokens", "_values")

    def __init__(self, values: list[tuple[ContextVar[Any], Any]]) -> None:
        self._values = values

    def __enter__(self) -> None:
        self._tokens = [(variable, variable.set(v)) for variable, v in self._values]

    def __exit__(self, *_: object) -> None:
        for variable, token in reversed(self._tokens):
            variable.reset(token)


class structlog:
    """What structlog has bound by its `contextvars`; what is no JSON becomes text."""

    name = "structlog"

    @staticmethod
    def capture() -> dict[str, Any] | None:
        from structlog.contextvars import get_contextvars

        bound, of_run = dict(get_contextvars()), _of_run.get()
        if of_run is not None:
            # A subtask has its own, and the caller's are what they were.
            own, before = of_run
            for name in [n for n, value in own.items() if bound.get(n) == value]:
                del bound[name]
            bound = {**before, **bound}
        return {str(name): _as_json(value) for name, value in bound.items()} or None

    @staticmethod
    def enter(value: dict[str, Any]) -> AbstractContextManager[Any]:
        from structlog.contextvars import bound_contextvars

        bound: AbstractContextManager[Any] = bound_contextvars(**value)
        return bound


#: What `cq.contrib.structlog.middleware` has bound, and what it has hidden by that.
_of_run: ContextVar[tuple[dict[str, Any], dict[str, Any]] | None] = ContextVar(
    "cq_structlog", default=None
)


@contextmanager
def bound_to_run(own: dict[str, Any]) -> Iterator[None]:
    """Bind values in structlog that are the present run's, and not carried on."""
    from structlog.contextvars import bound_contextvars, get_contextvars

    found = get_contextvars()
    token = _of_run.set((own, {name: found[name] for name in own if name in found}))
    try:
        with bound_contextvars(**own):
            yield
    finally:
        _of_run.reset(token)


def _as_json(value: Any) -> Any:
    return (
        value if value is None or type(value) in (str, int, float, bool) else str(value)
    )


_acting: ContextVar[Any] = ContextVar("cq_acting_user", default=None)


class user:
    """The primary key of the user who acts: who clicked in the admin, or whom a site names."""

    name = "user"
    #: Who retries a task is who acts in it from then on.
    captured_at_retry = True

    @staticmethod
    def capture() -> Any:
        return _acting.get()

    @staticmethod
    def enter(value: Any) -> AbstractContextManager[None]:
        return _Set([(_acting, value)])

    @staticmethod
    def acting(user: Any) -> AbstractContextManager[None]:
        """Name who acts within the block: a user, or None, or an anonymous one for nobody."""
        pk = getattr(user, "pk", None)
        return _Set([(_acting, pk if pk is None or isinstance(pk, int) else str(pk))])
