"""What a task costs when 100, 1,000 or 10,000 are in flight: CPU until it is finished, memory while it is not.

In virtual time and in memory, so that the client's own work is all there is. 100,000 at once:
`pytest -m long tests/shell/test_client_many.py`.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator

from benchmarks.batch import Scenario, Service, run
from benchmarks.memory import in_child
from benchmarks.parties import ours
from benchmarks.report import print_table
from benchmarks.targets import USUAL

SIZES = (100, 1000, 10_000)
LEAST_TASKS = 3000
ROUNDS = 3


def _cpu(in_flight: int) -> float:
    """Return the CPU microseconds of a task; the request rate is so high that the slots are what binds."""
    tasks = max(LEAST_TASKS, 2 * in_flight)
    service = Service(Scenario("", USUAL, in_flight / 4, in_flight, tasks, round_trip=0.01), seed=1)
    gc.collect()
    began = time.process_time()
    run(ours(service), seed=1)
    cpu = time.process_time() - began
    assert _most_at_once(service) > 0.95 * in_flight
    return cpu / tasks * 1e6


def _most_at_once(service: Service) -> int:
    changes = [(at, 1) for at in service.started_at.values()] + [(at, -1) for at in service.noticed_at.values()]
    at_once = most = 0
    for _, change in sorted(changes):
        at_once += change
        most = max(most, at_once)
    return most


def _rows() -> Iterator[tuple[object, ...]]:
    rounds = [[_cpu(size) for size in SIZES] for _ in range(ROUNDS)]
    memory = [in_child("_generate", "allocated", size // 2, size) for size in SIZES]
    for size, cpu, allocated in zip(SIZES, zip(*rounds, strict=True), memory, strict=True):
        ratio = statistics.median(one / first for one, (first, *_) in zip(cpu, rounds, strict=True))
        yield f"{size:,}", statistics.median(cpu), ratio, allocated, allocated / memory[0]


def main() -> None:
    """Print the table."""
    head = ("in flight", "CPU us a finished task", "ratio to the first", "bytes a task in flight", "ratio to the first")
    print_table(f"What a task costs, CPU as the median of {ROUNDS}", head, _rows())


if __name__ == "__main__":
    main()
