"""Hours of work beside a service that goes wrong: `python -m benchmarks.soak --minutes 30`, `--virtual-hours 24`.

Memory, descriptors and asyncio tasks must not grow. What is printed are their slopes, after the first fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import logging
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import attrs

from benchmarks.report import print_table
from hunyuan_async import Client, ImageRequest, Limits
from hunyuan_async.testing import ScriptedTransport, VirtualTimeLoop, accepted, finished

IMAGES_A_SECOND = 50.0
SHARE = 0.01  # of the requests that each kind may meet
KINDS = (
    *("reset-before-body", "reset-after-body", "half-body", "half-body-reset", "late", "http-500", "html-502"),
    *("bad-utf8", "body-list", "new-word", "failed", "expired-url", "keep-alive-race"),
)
# At each of these everybody waits: one in a hundred, at such a rate, would be a service that is down most of the time.
RARE_SHARE = 0.0002
RARE_KINDS = ("http-503", "limit-none")
WARM_UP = 0.2  # of the time
MEASURES = ("resident memory, MiB", "open files", "asyncio tasks")


@attrs.define
class Watch:
    """Looks at the process now and then.

    Attributes:
        seen: When, and what.
        ends: How images ended.
    """

    seen: list[tuple[float, tuple[float, ...]]] = attrs.field(factory=list)
    ends: Counter[str] = attrs.field(factory=Counter)

    async def look(self, every: float) -> None:
        """Look every so many seconds, until cancelled."""
        while True:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])  # noqa: ASYNC240 - in memory
            resident = pages * os.sysconf("SC_PAGESIZE") / 2**20
            files = len(os.listdir("/proc/self/fd"))
            now = asyncio.get_running_loop().time()
            self.seen.append((now, (resident, float(files), float(len(asyncio.all_tasks())))))
            await asyncio.sleep(every)

    def tell(self, title: str, unit: float, per: str) -> None:
        """Print how each measure went: at the end of the warm-up, at the end, and its slope by least squares."""
        began, ended = self.seen[0][0], self.seen[-1][0]
        warm = [(at, values) for at, values in self.seen if at >= began + WARM_UP * (ended - began)]
        mean_at = sum(at for at, _ in warm) / len(warm)
        spread = sum((at - mean_at) ** 2 for at, _ in warm)
        rows = []
        for place, name in enumerate(MEASURES):
            slope = sum((at - mean_at) * values[place] for at, values in warm) / spread if spread else 0.0
            rows.append((name, warm[0][1][place], warm[-1][1][place], slope * unit))
        print_table(title, ("", "after the warm-up", "at the end", f"slope {per}"), rows)
        print("\n" + ", ".join(f"{name}: {count:,}" for name, count in self.ends.most_common()))


@contextlib.contextmanager
def _emulator(folder: Path) -> Iterator[tuple[str, str]]:
    """Start one in another process, and give its address and its key."""
    faults = folder / "faults.json"
    shares = dict.fromkeys(KINDS, SHARE) | dict.fromkeys(RARE_KINDS, RARE_SHARE)
    faults.write_text(json.dumps([{"kind": kind, "share": share} for kind, share in shares.items()]), encoding="utf-8")
    options = ("--port", "0", "--faults", str(faults), "--speed", "5", "--small")
    command = [sys.executable, "-m", "hunyuan_async", "emulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as service:
        assert service.stdout
        try:
            address, key = (service.stdout.readline().partition("=")[2].strip() for _ in range(2))
            yield address, key
        finally:
            service.kill()


async def _endless() -> AsyncIterator[ImageRequest]:
    began = time.monotonic()
    for number in itertools.count():
        await asyncio.sleep(max(0.0, began + number / IMAGES_A_SECOND - time.monotonic()))
        yield ImageRequest(f"soak {number}", size="256*256", id=f"soak-{number}")


async def _work(client: Client, folder: Path, watch: Watch, seconds: float) -> None:
    looking = asyncio.create_task(watch.look(every=seconds / 200))
    try:
        async with asyncio.timeout(seconds), client.stream(_endless(), save_to=folder) as outcomes:
            async for outcome in outcomes:
                watch.ends[outcome.error.kind if outcome.error else "made"] += 1
                for file in outcome.files:
                    file.path.unlink()
    except TimeoutError:
        pass
    finally:
        looking.cancel()


def real(minutes: float) -> None:
    """Make images for so long beside the emulator, which goes wrong now and then."""
    logging.disable(logging.WARNING)  # in the end, every task under way is named
    with tempfile.TemporaryDirectory() as name, _emulator(Path(name)) as (address, key):
        watch = Watch()

        async def main() -> None:
            limits = Limits(rate=math.inf, in_flight=500)
            async with Client(key, base_url=address, limits=limits) as client:
                await _work(client, Path(name) / "images", watch, minutes * 60)

        asyncio.run(main())
    ended = sum(watch.ends.values()) / (minutes * 60)
    asked = f"{minutes:g} minutes, {IMAGES_A_SECOND:g} images a second asked for and {ended:.0f} ended"
    watch.tell(asked, 600.0, "in 10 minutes")


def virtual(hours: float) -> None:
    """Live through so many hours in virtual time: an image every ten seconds, and a day's worth of timers."""
    watch = Watch()

    async def main() -> None:
        numbers = itertools.count()
        transport = ScriptedTransport(submit=lambda _: accepted(f"t{next(numbers)}"), poll=finished)
        async with Client(transport=transport, limits=Limits(rate=1.0)) as client:
            looking = asyncio.create_task(watch.look(every=hours * 18))
            for number in range(int(hours * 300)):
                watch.ends["made" if await client.generate(f"soak {number}") else "none"] += 1
                await asyncio.sleep(10)
                transport.submits.clear()  # it would remember them for ever
                transport.looks.clear()
            looking.cancel()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    watch.tell(f"{hours:g} hours in virtual time", 36_000.0, "in 10 hours")


def main() -> None:
    """Soak."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--virtual-hours", type=float, default=24.0)
    asked = parser.parse_args()
    virtual(asked.virtual_hours)
    real(asked.minutes)


if __name__ == "__main__":
    main()
