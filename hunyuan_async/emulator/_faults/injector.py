"""Chooses the faults of an emulator, and logs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs

from hunyuan_async.emulator._faults.kinds import Place
from hunyuan_async.emulator._faults.rules import Fault, Occasion, choose


@attrs.frozen
class Injected:
    """A fault that was injected.

    Attributes:
        at: When, on the loop's clock.
        place: What met it.
        fault: The rule by which it was.
        number: How many it was, as `Fault.first` counts.
        task_id: The task that a look or a download asked for; empty for a submit or a connection.
    """

    at: float
    place: Place
    fault: Fault
    number: int
    task_id: str = ""

    @property
    def kind(self) -> str:
        """What it was."""
        return self.fault.kind


@attrs.define
class Injector:
    """Chooses the faults.

    Attributes:
        faults: The rules.
        seed: Decides what is left to chance.
        injected: What was injected, in order.
    """

    faults: Sequence[Fault]
    seed: str
    injected: list[Injected] = attrs.field(factory=list, init=False)
    _numbers: Counter[tuple[Place, str]] = attrs.field(factory=Counter, init=False)
    _started_at: float | None = attrs.field(default=None, init=False)

    def start(self, now: float) -> None:
        """Let time count from here, unless it does already."""
        self._started_at = now if self._started_at is None else self._started_at

    def covers(self, place: Place) -> bool:
        """Whether any fault can happen at *place*."""
        return any(place in fault.places for fault in self.faults)

    def peek(self, place: Place, now: float, task_id: str = "", task: int | None = None) -> Injected | None:
        """What the next request or connection is to meet."""
        assert self._started_at is not None
        number = self._numbers[place, task_id] + 1
        fault = choose(self.faults, Occasion(place, number, task, now - self._started_at), self.seed)
        return None if fault is None else Injected(now, place, fault, number, task_id)

    def take(self, place: Place, now: float, task_id: str = "", task: int | None = None) -> Injected | None:
        """Count a request or a connection, and return what it is to meet; whoever injects that logs it."""
        chosen = self.peek(place, now, task_id, task)
        self._numbers[place, task_id] += 1
        return chosen
