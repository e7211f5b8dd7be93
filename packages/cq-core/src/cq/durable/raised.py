"""What a step has raised: kept as text, and made again where its class allows it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from cq import codec
from cq.conf import conf
from cq.errors import CodecError, StepFailed
from cq.runs.failures import describe

if TYPE_CHECKING:
    from .kept import Kept


def keep(step: Kept, error: Exception) -> None:
    """Write an error down in its step."""
    failure = describe(error)
    step.error, step.exception = failure.error, failure.exception
    step.traceback = failure.traceback
    try:
        limits = {"size_limit": conf.SIZE_LIMIT, "depth_limit": conf.DEPTH_LIMIT}
        step.result = codec.encode(error.args, **limits)
    except CodecError:
        step.result = None


def raised_by(step: Kept) -> Exception:
    """Return the error of a step: of its own class, or StepFailed.

    A class is never imported for it: what is not loaded already could be anything.
    """
    error = _again(step)
    if error is None:
        error = StepFailed(f"step {str(step)!r} raised {step.exception}: {step.error}")
    error.add_note(
        f"Step {str(step)!r} raised it in an earlier run:\n{step.traceback or ''}"
    )
    return error


def _again(step: Kept) -> Exception | None:
    kind = _class_of(step.exception or "")
    if kind is None:
        return None
    for args in _arguments(step):
        try:
            error = kind(*args)
            if str(error) == step.error:
                return error
        except Exception:  # noqa: S112  # it wants other arguments
            continue
    return None


def _arguments(step: Kept) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    if step.result is not None:
        with contextlib.suppress(CodecError, TypeError):
            found.append(tuple(codec.decode(step.result)))
    return [*found, (step.error,), ()]


def _class_of(path: str) -> type[Exception] | None:
    """Return an exception's class, where its module is loaded."""
    module, _, name = path.rpartition(".")
    while True:
        found: Any = sys.modules.get(module or "builtins")
        if found is not None:
            break
        # A class within another.
        module, _, outer = module.rpartition(".")
        if not module:
            return None
        name = f"{outer}.{name}"
    for part in name.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    if isinstance(found, type) and issubclass(found, Exception):
        return found
    return None
