"""The first minute at a service whose limits nobody told us, in virtual time.

The client as it comes beside one that knows the limits, and beside hand-written workers that wait and repeat.
"""

from __future__ import annotations

import asyncio
import logging
import math
import statistics
from collections.abc import Iterator
from functools import partial

import attrs

from benchmarks.batch import Play, Scenario, Service, run
from benchmarks.limits import Bucket, FixedWindow
from benchmarks.parties import Loop, ours_told_all, ours_told_nothing
from benchmarks.report import print_table
from benchmarks.targets import SEEDS, USUAL

SECONDS = 60.0
LEAST_USE = 0.7  # of the limit
MANY = 3000  # tasks: more than anybody finishes in that time

At = partial(Scenario, draw=USUAL, tasks=MANY, tells=False)
# Each with the requests that it lets through in that time; for a limit of tasks, the seconds that they may take.
SERVICES: tuple[tuple[Scenario, float], ...] = (
    (At("2/s, bursts of 5", rate=2.0, in_flight=20, submits=partial(Bucket, 2, 5)), 125.0),
    (At("10/s, bursts of 20", rate=10.0, in_flight=100, submits=partial(Bucket, 10, 20)), 620.0),
    (At("50/s, bursts of 50", rate=50.0, in_flight=500, submits=partial(Bucket, 50, 50)), 3050.0),
    (At("600 in each minute", rate=10.0, in_flight=100, submits=partial(FixedWindow, 600, 60)), 600.0),
    (At("20 tasks", rate=math.inf, in_flight=20, slots=20), 1200.0),
    (At("none", rate=math.inf, in_flight=200), math.inf),
)
OURS = "ours"
PARTIES: dict[str, Play] = {
    OURS: ours_told_nothing,
    "ours, told all": ours_told_all,
    "32 workers, 2 s": Loop(2.0, paced=False, workers=32),
}


@attrs.frozen
class FirstMinute:
    """What was reached by its end.

    Attributes:
        accepted: Tasks that the service took.
        finished: Tasks whose caller knew that they were finished.
        used: Share of the limit that was in use.
        limited: Share of requests that were refused with 429.
    """

    accepted: float
    finished: float
    used: float
    limited: float


def measure(scenario: Scenario, possible: float, make: Play, seed: int) -> FirstMinute:
    """Let *make* begin the batch, and look what it has reached after a minute."""
    service = Service(scenario, seed)

    async def begin() -> FirstMinute:
        making = asyncio.create_task(make(service))
        await asyncio.sleep(SECONDS)
        assert not making.done()
        reached = _reached(service, possible)
        making.cancel()
        await asyncio.wait([making])
        return reached

    return run(begin(), seed)


def _reached(service: Service, possible: float) -> FirstMinute:
    requests = service.submits + service.looks
    used = float(requests - service.limited)
    if service.scenario.slots:
        used = sum(min(SECONDS, done_at) - service.started_at[task] for task, done_at in service.done_at.items())
    return FirstMinute(len(service.done_at), len(service.noticed_at), used / possible, service.limited / requests)


def _rows() -> Iterator[tuple[object, ...]]:
    for scenario, possible in SERVICES:
        for party, make in PARTIES.items():
            several = [measure(scenario, possible, make, seed) for seed in SEEDS]
            reached = FirstMinute(*map(statistics.fmean, zip(*map(attrs.astuple, several), strict=True)))
            missed = " **missed**" if party == OURS and reached.used < LEAST_USE else ""
            used = f"{reached.used:.0%}{missed}" if possible < math.inf else ""
            yield scenario.name, party, round(reached.accepted), round(reached.finished), used, f"{reached.limited:.1%}"


def main() -> None:
    """Print the table."""
    logging.disable()  # every task left at the end is paid, and worth a warning
    head = ("limit", "", "accepted", "finished", f"limit in use, ours at least {LEAST_USE:.0%}", "refused with 429")
    print_table(f"The first {SECONDS:.0f} s", head, _rows())


if __name__ == "__main__":
    main()
