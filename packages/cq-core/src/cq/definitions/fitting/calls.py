"""The misfits of a call: which parameters of its task keep it from being made."""

from __future__ import annotations

from inspect import Parameter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from cq.definitions.registry import Definition

BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class Misfit(NamedTuple):
    """A parameter for which a call does not fit, and why."""

    parameter: str
    problem: str


def misfits(definition: Definition, count: int, names: Collection[str]) -> list[Misfit]:
    """Return why a call with so many arguments by position, and these by name, fails."""
    if definition.takes((None,) * count, dict.fromkeys(names)):
        return []
    parameters = list(definition.signature.parameters.values())
    return [*_too_many(parameters, count, names), *_too_few(parameters, count, names)]


def _too_many(
    parameters: list[Parameter], count: int, names: Collection[str]
) -> Iterator[Misfit]:
    kinds = {p.kind for p in parameters}
    by_position = [p for p in parameters if p.kind in BY_POSITION]
    if Parameter.VAR_POSITIONAL not in kinds:
        for number in range(len(by_position), count):
            yield Misfit(f"argument {number + 1}", "has no parameter")
    given = {p.name for p in by_position[:count]}
    by_name = {p.name for p in parameters if p.kind in BY_NAME}
    for name in names:
        if name in by_name & given:
            yield Misfit(name, "is given twice")
        elif name not in by_name and Parameter.VAR_KEYWORD not in kinds:
            yield Misfit(name, "is no parameter")


def _too_few(
    parameters: list[Parameter], count: int, names: Collection[str]
) -> Iterator[Misfit]:
    by_position = [p.name for p in parameters if p.kind in BY_POSITION]
    by_name = {p.name for p in parameters if p.kind in BY_NAME}
    given = {*by_position[:count], *by_name.intersection(names)}
    for parameter in parameters:
        if is_required(parameter) and parameter.name not in given:
            yield Misfit(parameter.name, "is missing")


def is_required(parameter: Parameter) -> bool:
    """Tell whether each call has to give it."""
    is_one = parameter.kind in (*BY_POSITION, Parameter.KEYWORD_ONLY)
    return is_one and parameter.default is Parameter.empty
