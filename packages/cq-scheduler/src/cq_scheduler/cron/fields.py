"""The five fields of a cron line, and what each may hold.

A field is read into the few numbers that it means before anything is made of it: what
comes out is as short as the field's own range, whatever was written.
"""

from __future__ import annotations

import re


class CronError(ValueError):
    """The refusal of a line or its zone; the message names the field and the reason."""


_TERM = re.compile(r"(?:(\*)|(\d+|[A-Z]+)(?:-(\d+|[A-Z]+))?)(?:/(\d+))?", re.ASCII)


class Field:
    """One field: its bounds, its names, and how it is read into numbers."""

    def __init__(
        self, name: str, low: int, high: int, usage: str, names: str = ""
    ) -> None:
        self.name = name
        self.low = low
        self.high = high
        self.usage = usage
        self.names = {text: low + i for i, text in enumerate(names.split())}

    def read(self, text: str) -> str:
        """Return the field in plain numbers, for croniter; raises CronError."""
        return self.render(self.union(text.split(",")))

    def render(self, values: set[int]) -> str:
        """Return numbers as a field, as short as it can be."""
        if len(values) == self.high - self.low + 1:
            return "*"
        return ",".join(map(str, sorted(values)))

    def union(self, terms: list[str]) -> set[int]:
        """Return the numbers of all terms; raises CronError."""
        return set().union(*map(self.values, terms))

    def values(self, term: str) -> set[int]:
        """Return the numbers of a value, a range, or steps of one; raises CronError."""
        match = _TERM.fullmatch(term)
        if match is None:
            instead = "*" if term == "?" else self.usage
            raise self.refuse(f"{term!r} is not valid", instead)
        star, first, last, step = match.groups()
        low, high = self.low, self.high
        if not star:
            low = self.number(first)
            if last:
                high = self.number(last)
            elif not step:
                high = low
        if low > high and last == "SUN":
            high = 7  # FRI-SUN
        if low > high:
            raise self.refuse(f"{term!r} runs backwards", self._around(term))
        if step and not int(step):
            raise self.refuse(f"{term!r} has a step of 0")
        return set(range(low, high + 1, int(step or 1)))

    def number(self, text: str) -> int:
        """Return a number or the number of a name; raises CronError out of bounds."""
        value = int(text) if text.isdigit() else self.names.get(text)
        if value is None or not self.low <= value <= self.high:
            raise self.refuse(f"{text} is not valid")
        return value

    def refuse(self, reason: str, instead: str = "") -> CronError:
        """Return the error that names this field, and what to write `instead`."""
        return CronError(f"{self.name}: {reason}; use {instead or self.usage}")

    def _around(self, term: str) -> str:
        """Return a range that goes over the end, as the two that it means."""
        if "/" in term:
            return self.usage
        first, last = term.split("-")
        bottom, top = str(self.low), str(self.high)
        if first in self.names:
            bottom, top = next(iter(self.names)), list(self.names)[-1]
        head = first if first == top else f"{first}-{top}"
        return f"{head},{bottom if last == bottom else f'{bottom}-{last}'}"


class _DayOfMonth(Field):
    """The field that knows the last day, the last weekday and the nearest weekday."""

    def read(self, text: str) -> str:
        if text == "LW":
            return "31W"  # croniter's nearest weekday stays in the month
        if match := re.fullmatch(r"(\d+)W|W(\d+)", text):
            return f"{self.number(match[1] or match[2])}W"
        terms = text.split(",")
        if len(terms) > 1 and "W" in text:
            raise self.refuse(f"{text!r} has a W in a list, and it has to stand alone")
        days = self.render(self.union([term for term in terms if term != "L"]))
        if days == "*" or "L" not in terms:
            return days
        return f"{days},L" if days else "L"


class _DayOfWeek(Field):
    """The field that counts days within a month, and has two numbers for Sunday."""

    def render(self, values: set[int]) -> str:
        return "*" if len(values) == 7 else super().render(values)

    def read(self, text: str) -> str:
        terms = text.split(",")
        counted = [term for term in terms if "#" in term or "L" in term]
        if not counted:
            return super().read(text)
        if len(counted) < len(terms):
            raise self.refuse(f"{text!r} mixes # or L with plain days")
        return ",".join(sorted(set().union(*map(self.counted, terms))))

    def counted(self, term: str) -> set[str]:
        """Return a term with # or L in croniter's form; raises CronError."""
        if match := re.fullmatch(r"([^/*#]+)#([1-5])", term):
            return {f"{day}#{match[2]}" for day in self.values(match[1])}
        if match := re.fullmatch(r"L([0-7])", term):
            return {f"L{int(match[1]) % 7}"}
        if match := re.fullmatch(r"([0-7])L", term):
            raise self.refuse(f"{term!r} is not valid", f"L{match[1]}")
        raise self.refuse(f"{term!r} is neither like FRI#2 nor like L5")

    def values(self, term: str) -> set[int]:
        return {day % 7 for day in super().values(term)}


#: In the order of a line.
FIELDS = (
    Field("minute", 0, 59, "0-59"),
    Field("hour", 0, 23, "0-23"),
    _DayOfMonth("day of month", 1, 31, "1-31, L, LW or 15W"),
    Field(
        "month",
        1,
        12,
        "1-12 or JAN-DEC",
        "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC",
    ),
    _DayOfWeek("day of week", 0, 7, "0-7 or SUN-SAT", "SUN MON TUE WED THU FRI SAT"),
)
