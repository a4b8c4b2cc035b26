"""Memory of a task in flight, as the slope between 1,000 and 20,000 of them.

The clock stands still, so no look becomes due and no request is out: what is measured is what waiting costs.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import math
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.report import print_table
from hunyuan_async import Client, ImageRequest, Limits
from hunyuan_async._core.replies import Fetched, NoReply, Reply
from hunyuan_async.transport import BeforeSend

FEW, MANY = 1000, 20_000
TURNS = 2000  # of the loop, until everything waits: the client lets 32 submits go in each
PAGE = 4096  # bytes


class _EndlessTasks:
    """A transport that accepts everything at once, and is never asked again."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        await before_send()
        return Reply(200, b'{"data": {"task_id": "n68%06d_hunyuan3", "status": "IN_PROGRESS"}}' % next(self._numbers))

    async def poll(self, task_id: str) -> Reply | NoReply:
        raise AssertionError("a look became due, although the clock stands still")

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        raise AssertionError("no task is finished")

    async def aclose(self) -> None:
        """Do nothing."""


class _StoppedClock(asyncio.SelectorEventLoop):
    def time(self) -> float:
        return 0.0


async def _bare_wait(client: Client) -> None:
    """What asyncio takes by itself for a caller who waits."""
    await asyncio.get_running_loop().create_future()


async def _generate(client: Client) -> None:
    await client.generate("a koi pond")


async def _submit(client: Client) -> None:
    await client.submit("a koi pond")


CALLS = {call.__name__: call for call in (_bare_wait, _submit, _generate)}


async def _slope(call: Callable[[Client], Awaitable[None]], used: Callable[[], int], few: int, many: int) -> float:
    """Return the bytes that one more *call* takes in a `gather` of them, between so *few* and so *many*."""
    async with Client(transport=_EndlessTasks(), limits=Limits(rate=math.inf, in_flight=many)) as client:
        waiting = [asyncio.gather(*(call(client) for _ in range(few)))]
        marks = [await _settled(used)]
        waiting.append(asyncio.gather(*(call(client) for _ in range(many - few))))
        marks.append(await _settled(used))
        assert call is _bare_wait or client.statistics().in_flight == many
        for gathered in waiting:
            gathered.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return (marks[1] - marks[0]) / (many - few)


async def _settled(used: Callable[[], int]) -> int:
    for _ in range(TURNS):
        await asyncio.sleep(0)
    gc.collect()
    return used()


def _allocated() -> int:
    return tracemalloc.get_traced_memory()[0]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def _measure(call: str, how: str, few: int, many: int) -> None:
    logging.disable()  # every task left at the end is paid, and worth a warning
    if how == "allocated":
        tracemalloc.start()
    with asyncio.Runner(loop_factory=_StoppedClock) as runner:
        print(runner.run(_slope(CALLS[call], _allocated if how == "allocated" else _resident, few, many)))


def in_child(call: str, how: str, few: int = FEW, many: int = MANY) -> float:
    """Return the bytes that one more *call* takes, "allocated" or "resident", measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", call, how, str(few), str(many)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    """Print the table."""
    print_table(
        f"Memory of a task in flight, bytes, slope from {FEW:,} to {MANY:,}",
        ("", "allocated", "resident", "at most"),
        [
            (what, in_child(call, "allocated"), in_child(call, "resident"), at_most)
            for what, call, at_most in (
                ("a caller who waits, in asyncio alone", "_bare_wait", ""),
                ("`submit`: the caller does not wait", "_submit", "4,096"),
                ("`generate`: the caller waits, its own asyncio task included", "_generate", "4,096"),
            )
        ],
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        call, how, few, many = sys.argv[1:]
        _measure(call, how, int(few), int(many))
    else:
        main()
