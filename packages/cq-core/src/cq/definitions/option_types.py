"""The options of ``@task`` and ``.using()``, as type checkers see them.

What a name means, and what is refused when it is given, stands in
:class:`cq.definitions.options.Options`; a test compares the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from .backoff import RetryOn
    from .limits import Limit

    Moment = datetime | timedelta
    Span = float | timedelta
    Spans = Span | Sequence[Span]


class _Options(TypedDict, total=False):
    atomic: bool
    queue: str
    priority: int
    run_after: Moment | None
    delay: Span | None
    expires: Moment | None
    timeout: Span | None
    deadline: Span | None
    retries: int
    result_ttl: Span | str | None
    unique: str | Callable[..., str | None] | None
    unique_for: Span | None
    unique_for_failed: bool
    debounce: Span | None
    limits: Sequence[Limit | str]
    fair: str | Callable[..., str | None] | None
    on_lost: Literal["retry", "fail"] | None
    log_limit: int | None
    context: dict[str, Any] | None
    tags: Sequence[str] | Callable[..., Sequence[str] | None]


class CallOptions(_Options, total=False):
    """The options of ``.using()``: a row keeps them, so none of them is code."""

    backoff: Spans | None


class TaskOptions(_Options, total=False):
    """The options of ``@task``, beside its name."""

    backoff: (
        Spans | Callable[[int], float] | Callable[[int, BaseException], float] | None
    )
    retry_on: RetryOn
    durable: bool
    schedulable: bool
    redact: Sequence[str]
