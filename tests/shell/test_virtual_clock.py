"""The virtual clock itself: what the other tests of this folder stand on."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


async def test_a_year_passes_at_once_and_to_the_instant() -> None:
    """Timers fire in order and when they are due, also where a float cannot tell nanoseconds apart."""
    fired: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        fired.append((name, now()))

    year = 365 * 86400.0
    await asyncio.gather(wait("late", year), wait("early", 0.1), wait("later", year + 0.1), wait("at once", 0))

    assert [name for name, _ in fired] == ["at once", "early", "late", "later"]
    assert [at for _, at in fired] == pytest.approx([0.0, 0.1, year, year + 0.1], abs=1e-6, rel=0)


async def test_time_stands_still_while_there_is_work() -> None:
    """No timer comes before what can run now."""
    timer = asyncio.create_task(asyncio.sleep(1e-6))
    for _ in range(1000):
        await asyncio.sleep(0)

    assert (now(), timer.done()) == (0.0, False)
    await timer


async def test_a_bound_on_time_strikes() -> None:
    """The timeouts of asyncio follow the virtual clock."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600):
            await asyncio.Event().wait()

    assert now() == 3600


async def test_threads_and_sockets_wake_the_loop() -> None:
    """Without a timer, the loop waits for what happens outside."""
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        sent, received = await asyncio.gather(
            asyncio.to_thread(there.send, b"x"), asyncio.get_running_loop().sock_recv(here, 1)
        )

    assert (sent, received) == (1, b"x")


async def test_time_waits_for_a_thread_that_the_loop_started() -> None:
    """No timer fires while it works, however long that takes."""
    go = threading.Event()
    timer = asyncio.create_task(asyncio.sleep(1e-6))
    working = asyncio.get_running_loop().run_in_executor(None, go.wait)
    threading.Timer(0.05, go.set).start()

    assert await working
    assert (now(), timer.done()) == (0.0, False)
    await timer
