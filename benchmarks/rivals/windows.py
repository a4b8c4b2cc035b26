"""Whether a rate that the user gave is kept, as the service sees it: requests that arrive in any window of time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.report import print_table
from benchmarks.rivals.parties import Job
from benchmarks.rivals.party import run
from benchmarks.rivals.stub import Setting, serving

SECONDS, PROMPTS = 30.0, 2000
MOST_OVER = 2.0  # requests
GIVEN = ((10.0, 1), (10.0, 20), (50.0, 1), (50.0, 50))  # requests a second, burst
HEAD = ("given", "requests", f"over it, at most {MOST_OVER:g}", "in a window of, s", "")


def worst_window(arrivals: Sequence[float], rate: float, burst: int) -> tuple[float, float]:
    """Return by how many requests any window holds more than rate * T + burst, and that window's seconds."""
    worst, window = -math.inf, 0.0
    lowest, lowest_at = math.inf, 0.0
    for number, at in enumerate(arrivals):
        if number - rate * at < lowest:
            lowest, lowest_at = number - rate * at, at
        over = number + 1 - rate * at - lowest - burst
        if over > worst:
            worst, window = over, at - lowest_at
    return worst, window


def measure(rate: float, burst: int) -> tuple[object, ...]:
    """Let the client work at a given rate, and return the table's row."""
    with serving(Setting(least=0.5, most=1.5)) as stub:
        run(Job("ours-told", stub.address, PROMPTS, SECONDS, rate, burst=burst))
        arrivals = stub.stop().arrivals
    over, window = worst_window(arrivals, rate, burst)
    return f"{rate:g}/s, burst {burst}", len(arrivals), f"{over:+.2f}", window, "" if over <= MOST_OVER else "missed"


def main() -> None:
    """Print the table; one at a time, for what disturbs a process bunches what it sends."""
    rows = [measure(rate, burst) for rate, burst in GIVEN]
    print_table("A rate that is given: the worst window of any length T, over rate * T + burst", HEAD, rows)


if __name__ == "__main__":
    main()
