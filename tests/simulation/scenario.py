"""What a seed stands for: the whole of one scenario, drawn before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import Literal

import attrs

from hunyuan_async._journal.planning import Changed
from hunyuan_async._journal.resuming import OnUnknown
from hunyuan_async.settings import Limits, Timeouts
from tests.simulation.faults import FATES, FETCHES, POLLS, STORMS, SUBMITS

Interruption = Literal["kill", "power", "cancel", "cancel calls", "stop"]
Call = Literal["generate", "submit", "stream", "late"]

ENABLED, SHARES = 0.25, (0.25, 0.1, 0.03, 0.01)
INTERRUPTIONS: Sequence[Interruption] = ("kill", "kill", "power", "power", "cancel", "cancel", "cancel calls", "stop")
CALLS: Sequence[Call] = ("generate", "submit", "stream", "late")


@attrs.frozen
class Storm:
    """A time in which every request meets the same.

    Attributes:
        kind: What they meet, of `STORMS`.
        since: When it begins, in seconds of the service's time.
        until: When it ends.
    """

    kind: str
    since: float
    until: float


@attrs.frozen
class Life:
    """One process that meets faults.

    Attributes:
        calls: Single calls made beside the run.
        interruptions: What strikes at which of its moments, counted from 1.
        pause: Seconds until the next one starts.
        changed: What it does about requests that have changed; None if none has.
        removes: Whether somebody removes an image after it.
        tries: How often it goes on, at most, with a run that an error ended.
    """

    calls: Sequence[Call]
    interruptions: Mapping[int, Interruption]
    pause: float
    changed: Changed | None = None
    removes: bool = False
    tries: int = 1


@attrs.frozen
class Scenario:
    """All that is decided beforehand.

    Attributes:
        seed: Where it comes from; the service draws from it as well.
        items: How many the run has.
        lives: The processes that meet faults; one more, which meets none, ends every scenario.
        limits: Of the client.
        timeouts: Of the client.
        latency: Seconds a task takes, the median.
        capacity: Tasks that the service has at once; what comes beyond is limited.
        submits: How often which row of `SUBMITS` fires.
        polls: How often which row of `POLLS` fires.
        fetches: How often which of `FETCHES` fires.
        fates: How many tasks meet which of `FATES`.
        slow: How many answers take long, perhaps too long.
        storms: What meets everybody for a while.
        balance: Credits in the account; once faults end, they are without end.
        on_unknown: What the run does about unknown outcomes.
        person: Whether somebody finds out between processes what became of them.
        run_credits: The limit of the run.
        life_credits: The limit of each client.
    """

    seed: int
    items: int
    lives: Sequence[Life]
    limits: Limits
    timeouts: Timeouts
    latency: float
    capacity: int
    submits: Mapping[str, float]
    polls: Mapping[str, float]
    fetches: Mapping[str, float]
    fates: Mapping[str, float]
    slow: float
    storms: Sequence[Storm]
    balance: int
    on_unknown: OnUnknown
    person: bool
    run_credits: int | None
    life_credits: int | None


def draw_scenario(seed: int, most_items: int = 100) -> Scenario:
    """Return the scenario of a seed; it has *most_items* at most."""
    draw = Random(f"scenario {seed}")
    items = round(_up_to(draw, 1, most_items))
    return Scenario(
        seed,
        items,
        [_life(draw, items) for _ in range(draw.choice([1, 2, 2, 3, 4]))],
        Limits(
            rate=draw.choice([None, 1.0, 10.0, 1000.0]),
            in_flight=draw.choice([None, 1, 4, 20, 100]),
            downloads=draw.choice([1, 8]),
            unsaved=draw.choice([0, 3, 200]),
        ),
        draw.choice([Timeouts(), Timeouts(task=600, trouble=120, submit=60, download=60)]),
        latency=_up_to(draw, 1, 60),
        capacity=draw.choice([2, 10, 1000, 1000]),
        submits=_enabled(draw, SUBMITS),
        polls=_enabled(draw, POLLS),
        fetches=_enabled(draw, FETCHES),
        fates=_enabled(draw, FATES),
        slow=draw.choice([0, 0, 0.03, 0.1]),
        storms=[_storm(draw) for _ in range(draw.choice([0, 0, 1, 3]))],
        balance=25 * draw.choice([items // 2, 10_000, 10_000]),
        on_unknown=draw.choice(["hold", "hold", "resubmit", "fail"]),
        person=draw.random() < 0.5,
        run_credits=draw.choice([None, None, None, None, 25 * items, 25 * (items // 2)]),
        life_credits=draw.choice([None] * 6 + [25 * (items // 2)]),
    )


def _life(draw: Random, items: int) -> Life:
    moments = [round(_up_to(draw, 1, 30 * items + 100)) for _ in range(draw.choice([0, 1, 1, 1, 2]))]
    return Life(
        draw.choices(CALLS, k=draw.choice([0, 0, 1, 5])),
        {moment: draw.choice(INTERRUPTIONS) for moment in moments},
        draw.choice([1.0, 60.0, 3600.0]),
        draw.choice([None, None, None, None, "redo", "keep"]),
        draw.random() < 0.2,
        draw.choice([1, 2]),
    )


def _storm(draw: Random) -> Storm:
    since = draw.uniform(0, 200)
    return Storm(draw.choice([*STORMS]), since, since + _up_to(draw, 5, 600))


def _enabled(draw: Random, kinds: Collection[str]) -> dict[str, float]:
    return {kind: draw.choice(SHARES) for kind in kinds if draw.random() < ENABLED}


def _up_to(draw: Random, least: float, most: float) -> float:
    """As many numbers below ten as above, of those from 1 to 100."""
    return float(least * (most / least) ** draw.random())
