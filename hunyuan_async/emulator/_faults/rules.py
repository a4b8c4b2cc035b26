"""Which requests meet a fault: the rules, as written in Python or in a JSON file."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, cast

import attrs

from hunyuan_async.emulator._faults.kinds import Place
from hunyuan_async.emulator._faults.table import KINDS

Check = Callable[[object, "attrs.Attribute[Any]", Any], None]


@attrs.frozen
class Occasion:
    """A connection or a request, as rules see it.

    Attributes:
        place: What it is.
        number: How many it is, from 1: of all connections or submits, of the looks at one task, of its downloads.
        task: Which task it is about, by the order of acceptance from 1; None for a submit or a connection.
        elapsed: Seconds since the emulator was first started.
    """

    place: Place
    number: int
    task: int | None
    elapsed: float


def _places(at: Place | Sequence[Place]) -> tuple[Place, ...]:
    return tuple(at) if isinstance(at, list | tuple) else (cast("Place", at),)


def _number(low: float, high: float = math.inf, *, whole: bool = False, optional: bool = False) -> Check:
    """Check that a field is a number in a range."""
    noun = f"a {'whole ' if whole else ''}number {f'from {low} to {high}' if high < math.inf else f'of at least {low}'}"

    def check(fault: object, field: attrs.Attribute[Any], value: object) -> None:
        if optional and value is None:
            return
        if not isinstance(value, int if whole else int | float) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"{field.name} must be {noun}, not {value!r}")

    return check


@attrs.frozen
class Fault:
    """A rule by which requests meet a fault; of several rules, the first that applies.

    ::

        Fault("reset-after-body", at="submit", first=3, last=3)  # the third submit: paid, and nobody is told
        Fault("http-404", at="poll", first=2, task=1)  # the first task is gone after one look
        Fault("http-500", share=0.01)  # one request in a hundred

    Attributes:
        kind: What goes wrong, of `FAULT_KINDS`.
        at: What meets it: "connect", "submit", "poll", "fetch", one or several; all that *kind* applies to by default.
        first: The first that does, from 1. Connections and submits are counted through, looks and downloads for
            each task.
        last: The last that does; None for no end.
        task: Only looks at this task and its downloads, by the order of acceptance from 1; None for all.
        share: The share of them that does, by chance; the same seed gives the same.
        whole_task: Whether *share* is drawn once for all looks at a task, and once for its downloads.
        seconds: How long the fault's pauses are.
        after: Only so many seconds after the emulator was started.
        until: Only up to so many seconds after it.
    """

    kind: str
    at: tuple[Place, ...] = attrs.field(default=(), converter=_places, kw_only=True)
    first: int = attrs.field(default=1, validator=_number(1, whole=True), kw_only=True)
    last: int | None = attrs.field(default=None, validator=_number(1, whole=True, optional=True), kw_only=True)
    task: int | None = attrs.field(default=None, validator=_number(1, whole=True, optional=True), kw_only=True)
    share: float = attrs.field(default=1.0, validator=_number(0, 1), kw_only=True)
    whole_task: bool = attrs.field(default=False, kw_only=True)
    seconds: float = attrs.field(default=1.0, validator=_number(0), kw_only=True)
    after: float = attrs.field(default=0.0, validator=_number(0), kw_only=True)
    until: float = attrs.field(default=math.inf, validator=_number(0), kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not (isinstance(self.kind, str) and self.kind in KINDS):
            near = get_close_matches(str(self.kind), KINDS, n=1)
            raise ValueError(f"there is no kind of fault {self.kind!r}" + (f"; {near[0]!r} is near" if near else ""))
        possible = KINDS[self.kind].at
        for place in self.at:
            if place not in possible:
                raise ValueError(f"{self.kind} is for {', '.join(possible)}, not for {place!r}")
        if self.task is not None and not {"poll", "fetch"}.issuperset(self.places):
            raise ValueError("task goes with at poll or fetch alone: the others have no task yet")
        if not isinstance(self.whole_task, bool):
            raise ValueError(f"whole_task must be true or false, not {self.whole_task!r}")

    @property
    def places(self) -> tuple[Place, ...]:
        """What meets it."""
        return self.at or KINDS[self.kind].at

    def covers(self, occasion: Occasion) -> bool:
        """Whether it applies, but for chance."""
        return (
            occasion.place in self.places
            and self.first <= occasion.number <= (self.last or math.inf)
            and self.task in (None, occasion.task)
            and self.after <= occasion.elapsed < self.until
        )

    def drawn(self, occasion: Occasion, seed: str) -> bool:
        """Whether chance chooses it; nothing but the seed and the place in the order decides, not the time."""
        number = 0 if self.whole_task and occasion.task else occasion.number
        rng = random.Random(f"{seed} {occasion.place} {occasion.task} {number}")  # noqa: S311 - it has to repeat
        return self.share >= 1 or rng.random() < self.share


def choose(faults: Sequence[Fault], occasion: Occasion, seed: str) -> Fault | None:
    """The first of *faults* that applies."""
    for i, fault in enumerate(faults):
        if fault.covers(occasion) and fault.drawn(occasion, f"{seed} {i}"):
            return fault
    return None


def read_faults(text: str | bytes) -> tuple[Fault, ...]:
    """Read a list of faults in JSON: objects whose members are the arguments of `Fault`.

    Raises:
        ValueError: It is not, and the message says which fault is wrong and how.
    """
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is not JSON: {error}") from None
    if not isinstance(listed, list):
        raise ValueError('a list is needed, such as [{"kind": "http-500", "at": "submit", "share": 0.01}]')
    return tuple(_read_fault(number, members) for number, members in enumerate(listed, 1))


def _read_fault(number: int, members: object) -> Fault:
    known = [field.name for field in attrs.fields(Fault)]
    try:
        if not isinstance(members, dict) or "kind" not in members:
            raise ValueError('an object with a "kind" is needed')
        if unknown := members.keys() - known:
            raise ValueError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return Fault(**members)
    except ValueError as error:
        raise ValueError(f"fault {number}: {error}") from None
