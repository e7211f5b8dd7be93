"""The faults of a run: planned by its seed, begun and ended in their time."""

from __future__ import annotations

import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from faults import KINDS, Skipped, plan
from report import say

if TYPE_CHECKING:
    import argparse

    from faults import Fault, World

#: Seconds without faults before the run ends: the last one is to be felt.
CALM = 5.0


class Mistreatment:
    """The faults that a world is given, and what came of them."""

    def __init__(self, options: argparse.Namespace, world: World) -> None:
        self.options = options
        self.world = world
        self.done: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.errors: list[str] = []

    def run(self, began: float) -> None:
        """Begin and end the faults until the minutes are over; `began`: monotonic."""
        planned = self._plan()
        ends: list[tuple[float, int, Fault]] = []
        end = began + self.options.minutes * 60
        while time.monotonic() < end or ends:
            now = time.monotonic()
            if ends and (now >= ends[0][0] or now >= end):
                _, _, fault = ends.pop(0)
                self._guarded(fault.end, fault)
                say(f"{now - began:7.1f} s  {fault.name}: over")
            elif planned and now >= began + planned[0][0] and now < end:
                _, fault = planned.pop(0)
                self._begin(fault, began)
                if fault.seconds and not fault.blocks:
                    ends.append((now + fault.seconds, len(ends), fault))
                    ends.sort(key=lambda item: item[:2])
            else:
                time.sleep(0.05)

    def _plan(self) -> list[tuple[float, Fault]]:
        kinds = [kind for kind in KINDS if not kind.impossible(self.world)]
        if self.options.only:
            parts = self.options.only.split(",")
            kinds = [k for k in kinds if any(part in k.name for part in parts)]
        seconds = self.options.minutes * 60 - CALM
        planned = plan(kinds, Random(self.options.seed), seconds, self.options.every)
        say(f"seed {self.options.seed}, {len(planned)} faults planned:")
        for at, fault in planned:
            say(f"  {at:6.1f} s  {fault}")
        return planned

    def _begin(self, fault: Fault, began: float) -> None:
        at = time.monotonic() - began
        try:
            told = self._guarded(fault.begin, fault)
        except Skipped as why:
            self.skipped[fault.name] += 1
            fault.seconds = 0.0
            say(f"{at:7.1f} s  {fault.name}: skipped, {why}")
        else:
            self.done[fault.name] += 1
            say(f"{at:7.1f} s  {fault.name}: {told}")

    def _guarded(self, act: Any, fault: Fault) -> Any:
        """A fault that itself fails must not end the run, nor be taken for one."""
        try:
            return act(self.world)
        except Skipped:
            raise
        except Exception as error:
            self.errors.append(f"{fault.name}: {type(error).__name__}: {error}")
            raise Skipped(f"{type(error).__name__}: {error}") from error
