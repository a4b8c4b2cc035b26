"""``python -m tests.simulation --seeds 5000`` plays many scenarios; ``--seed N`` plays one and prints its trace.

Below the traceback of one that fails stands the command that plays it again.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.simulation.world import simulate


def main() -> int:
    """Play what the command line says; return 1 if something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one and print its trace")
    parser.add_argument("--seeds", type=int, default=200, help="how many to play")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--items", type=int, default=100, help="how many items a run has at most")
    given = parser.parse_args()
    if given.seed is not None:
        trace: list[str] = []
        try:
            trace.append(simulate(given.seed, given.items, trace))
        finally:
            print(*trace, sep="\n", flush=True)  # noqa: T201
        return 0
    failed, since = 0, time.process_time()
    for seed in range(given.first, given.first + given.seeds):
        try:
            simulate(seed, given.items)
        except Exception:  # noqa: BLE001 - each is a finding
            failed += 1
            print(traceback.format_exc(), flush=True)  # noqa: T201
    print(f"{given.seeds} seeds, {failed} failed, {time.process_time() - since:.0f} s of CPU")  # noqa: T201
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
