"""One party at work in a process of its own, so that CPU and memory are its own; prints what it cost as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import attrs

from benchmarks.rivals.parties import PARTIES, Job
from benchmarks.turns import TimedSelector

PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
GRACE = 60.0  # seconds for a start, and for an end that comes late


@attrs.frozen
class Work:
    """What a party got done, and what that cost its process.

    Attributes:
        made: How many images its caller got.
        failed: The prompts that its caller got an error for.
        errors: The commonest errors, by their kind.
        seconds: Until the last one ended, or the cut-off.
        cpu: Seconds, without the start of the process.
        peak: The most memory ever resident, in bytes.
        block: The longest turn of the event loop, in seconds of CPU.
    """

    made: int
    failed: list[str]
    errors: dict[str, int]
    seconds: float
    cpu: float
    peak: int
    block: float


def _peak() -> int:
    return int(PEAK.findall(Path("/proc/self/status").read_text(encoding="ascii"))[0]) * 1024


async def _work(job: Job, selector: TimedSelector) -> None:
    async with PARTIES[job.party].enter(job) as ask:
        await asyncio.sleep(0)  # ends the turn in which the party was imported
        began, began_cpu = time.perf_counter(), time.process_time()
        selector.longest_cpu = 0.0
        made: list[str] = []
        failed: list[tuple[str, Exception]] = []

        async def make(prompt: str) -> None:
            try:
                await ask(prompt)
            except Exception as error:  # noqa: BLE001 - the caller's view: anything but an image is a failure
                failed.append((prompt, error))
            else:
                made.append(prompt)

        def tell() -> None:
            work = Work(
                made=len(made),
                failed=[prompt for prompt, _ in failed],
                errors=Counter(f"{type(error).__name__}: {error}"[:80] for _, error in failed),
                seconds=time.perf_counter() - began,
                cpu=time.process_time() - began_cpu,
                peak=_peak(),
                block=selector.longest_cpu,
            )
            print("\n" + json.dumps(attrs.asdict(work)), flush=True)
            os._exit(0)  # threads of a party that did not finish would go on

        cut_off = threading.Timer(job.cut_off, tell)  # a loop that is held up for minutes would not notice
        cut_off.daemon = True
        cut_off.start()
        await asyncio.gather(*(make(f"prompt {number}") for number in range(job.prompts)))
        tell()


def run(job: Job) -> Work:
    """Run a party in another process."""
    command = [sys.executable, "-m", "benchmarks.rivals.party", json.dumps(attrs.asdict(job))]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=job.cut_off + GRACE)
    return Work(**json.loads(ran.stdout.splitlines()[-1]))


def _main() -> None:
    selector = TimedSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(_work(Job(**json.loads(sys.argv[1])), selector))


if __name__ == "__main__":
    _main()
