"""A `gather` of 2,000 `generate` calls beside the same on bare aiohttp: the longest block, and CPU a request."""

from __future__ import annotations

import asyncio
import gc
import math
import resource
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType

import attrs

from benchmarks.bare import POLL_GAP, BareClient
from benchmarks.report import COMPARED, compare, print_table
from benchmarks.server import serving
from benchmarks.turns import TimedSelector
from hunyuan_async import Client, Limits, Polling

CALLS = 2000
IN_FLIGHT = (CALLS, 100)
ROUNDS = 5
FILES = 4096  # open at once: a connection for each POST and some more
SAMPLE_EVERY = 0.001  # seconds of CPU; the kernel's tick may make it more
AIOHTTP = {"aiohttp", "aiohappyeyeballs", "aiosignal", "frozenlist", "multidict", "propcache", "yarl"}

Work = Callable[[str, int], Awaitable[int]]


@attrs.frozen
class Cost:
    """What one gather cost.

    Attributes:
        block_cpu: The longest turn of the loop, in CPU milliseconds.
        block_wall: The longest turn of the loop, in milliseconds.
        cpu: CPU microseconds a request, opening and closing of connections included.
    """

    block_cpu: float
    block_wall: float
    cpu: float


async def _ours(base_url: str, in_flight: int) -> int:
    limits = Limits(rate=math.inf, in_flight=in_flight)
    polling = Polling(min_gap=POLL_GAP / 2)  # the first task is looked at after twice that
    async with Client("benchmark-key", base_url=base_url, limits=limits, polling=polling) as client:
        await asyncio.gather(*(client.generate(f"prompt {number}") for number in range(CALLS)))
        sent = client.statistics()
        return sent.submits + sent.polls


async def _bare(base_url: str, in_flight: int) -> int:
    async with BareClient(base_url, in_flight) as client:
        await asyncio.gather(*(client.generate(f"prompt {number}") for number in range(CALLS)))
        return client.requests


def _cost(work: Work, base_url: str, in_flight: int) -> Cost:
    async def main() -> int:
        return await work(base_url, in_flight)

    gc.collect()
    selector = TimedSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        began = time.process_time()
        requests = runner.run(main())
        cpu = time.process_time() - began
    return Cost(selector.longest_cpu * 1e3, selector.longest_wall * 1e3, cpu / requests * 1e6)


def _compare(base_url: str, in_flight: int) -> list[tuple[object, ...]]:
    """Take turns, after one of each to warm up, and return the table's rows."""
    rounds = [(_cost(_bare, base_url, in_flight), _cost(_ours, base_url, in_flight)) for _ in range(ROUNDS + 1)][1:]
    named = f"longest turn of the loop, CPU ms; {in_flight:,} in flight"
    measures = (
        (named, "block_cpu", "1.5"),
        ("the same by the wall clock, ms", "block_wall", ""),
        ("CPU a request, us", "cpu", "1.5"),
    )
    return [
        compare(what, [getattr(bare, name) for bare, _ in rounds], [getattr(ours, name) for _, ours in rounds], at_most)
        for what, name, at_most in measures
    ]


def _area(frame: FrameType | None) -> str:
    """Return whose code runs: the innermost frame of a package that we name; what it calls elsewhere is its own."""
    while frame:
        package, _, module = frame.f_globals.get("__name__", "").partition(".")
        if package == "hunyuan_async":
            return "ours: " + (module.partition(".")[0] if module.startswith("_") else "client, models, events, tasks")
        if package in AIOHTTP:
            return "aiohttp and its parts"
        if package == "cattrs" or frame.f_code.co_filename.startswith("<cattrs"):
            return "cattrs"
        if package in {"asyncio", "selectors", "json"}:
            return "json" if package == "json" else "asyncio"
        frame = frame.f_back
    return "the benchmark"


def _sample(areas: Counter[str], _: int, frame: FrameType | None) -> None:
    areas[_area(frame)] += 1


def _where(base_url: str, in_flight: int) -> list[tuple[object, ...]]:
    """Sample what runs, in turns, and return microseconds a request by area."""
    cpu: dict[Work, float] = {_bare: 0.0, _ours: 0.0}
    samples: dict[Work, Counter[str]] = {_bare: Counter(), _ours: Counter()}
    for _ in range(ROUNDS):
        for work, areas in samples.items():
            signal.signal(signal.SIGPROF, partial(_sample, areas))
            signal.setitimer(signal.ITIMER_PROF, SAMPLE_EVERY, SAMPLE_EVERY)
            cpu[work] += _cost(work, base_url, in_flight).cpu / ROUNDS
            signal.setitimer(signal.ITIMER_PROF, 0)
    bare, ours = (
        {area: count / areas.total() * cpu[work] for area, count in areas.items()} for work, areas in samples.items()
    )
    order = sorted({*bare, *ours}, key=lambda area: -ours.get(area, 0.0))
    rows = [(area, bare.get(area, 0.0), ours.get(area, 0.0)) for area in order]
    return [*rows, ("all", cpu[_bare], cpu[_ours])]


def main() -> None:
    """Print the tables."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with serving() as base_url:
        rows = [row for in_flight in IN_FLIGHT for row in _compare(base_url, in_flight)]
        print_table(f"`gather` of {CALLS:,} `generate` calls, median of {ROUNDS}", COMPARED, rows)
        print_table(
            f"Where the CPU of a request goes, us, {IN_FLIGHT[-1]} in flight",
            ("", "bare", "ours"),
            _where(base_url, IN_FLIGHT[-1]),
        )


if __name__ == "__main__":
    main()
