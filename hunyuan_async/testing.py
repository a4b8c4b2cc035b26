"""What you need to test an app that uses the client: the emulator as a fixture, a scripted transport, a virtual clock.

Name it in your `conftest.py`: ``pytest_plugins = ["hunyuan_async.testing"]``; it needs the extra `testing`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import selectors
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

import pytest_asyncio

from hunyuan_async._core.replies import Fetched, NoReply, Reply
from hunyuan_async.client import Client
from hunyuan_async.emulator import Emulator, EmulatorSettings, fixed
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import UNLIMITED, Polling
from hunyuan_async.transport import BeforeSend

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

__all__ = [
    "Fetched",
    "NoReply",
    "Reply",
    "ScriptedTransport",
    "VirtualTimeLoop",
    "accepted",
    "finished",
    "hunyuan_client",
    "hunyuan_emulator",
    "refused",
    "running",
]


def accepted(task_id: str) -> Reply:
    """Return the documented answer to a submit that was accepted."""
    return _reply(200, {"code": 200, "message": "success", "data": {"task_id": task_id, "status": "IN_PROGRESS"}})


def running(task_id: str) -> Reply:
    """Return the answer to a look at an unfinished task."""
    return accepted(task_id)


def finished(task_id: str, *urls: str) -> Reply:
    """Return the answer to a look at a finished task."""
    addresses = urls or (f"https://images.example/{task_id}.png",)
    data = {"task_id": task_id, "status": "completed", "outputs": addresses}
    return _reply(200, {"code": 200, "message": "success", "data": data})


def refused(status: int, message: str = "no", **headers: str) -> Reply:
    """Return an error in the documented envelope; `retry_after="3"` becomes the header."""
    error = {"code": status, "message": message, "type": "invalid_request"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return _reply(status, {"error": error}, named)


def _reply(status: int, body: object, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(body).encode(), headers or {})


class ScriptedTransport:
    """A transport that answers as a test says, in memory, on whatever clock the loop has.

    Without a script it accepts every request as task "t1", "t2", ... and finishes each *seconds* after it was accepted.

    Attributes:
        submits: Every request that left, in order.
        looks: The id of every task looked at, in order.
        fetches: Every address fetched, in order.
        closed: Whether the client closed it.
    """

    def __init__(
        self,
        *,
        submit: Callable[[ImageRequest], Reply | NoReply] | None = None,
        poll: Callable[[str], Reply | NoReply] | None = None,
        image: bytes = b"",
        seconds: float = 10.0,
        round_trip: float = 0.1,
    ) -> None:
        self.submits: list[ImageRequest] = []
        self.looks: list[str] = []
        self.fetches: list[str] = []
        self.closed = False
        self._submit = submit or self._accept
        self._poll = poll or self._show
        self._image = image
        self._seconds = seconds
        self._round_trip = round_trip
        self._done_at: dict[str, float] = {}
        self._numbers = itertools.count(1)

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Answer as scripted; what is "not sent" never reaches *before_send*."""
        answer = self._submit(request)
        if not (isinstance(answer, NoReply) and not answer.sent):
            await before_send()
            self.submits.append(request)
        await asyncio.sleep(self._round_trip)
        return answer

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Answer as scripted."""
        self.looks.append(task_id)
        await asyncio.sleep(self._round_trip)
        return self._poll(task_id)

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Hand the scripted image over."""
        self.fetches.append(url)
        await asyncio.sleep(self._round_trip)
        write(self._image)
        return Fetched(200, len(self._image))

    async def aclose(self) -> None:
        """Note that the client closed it."""
        self.closed = True

    def _accept(self, request: ImageRequest) -> Reply:
        task_id = f"t{next(self._numbers)}"
        self._done_at[task_id] = self._now() + self._seconds
        return accepted(task_id)

    def _show(self, task_id: str) -> Reply:
        done_at = self._done_at.get(task_id)
        if done_at is None:
            return refused(404, "no such task")
        return finished(task_id) if self._now() >= done_at else running(task_id)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


CLOCK_RESOLUTION = 1e-9  # seconds; of asyncio's own clock


class _JumpingSelector(selectors.DefaultSelector):
    """Lets time jump to the next timer as soon as nothing else can happen."""

    now = 0.0
    in_threads = 0  # calls under way

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self.in_threads:  # only a thread or a peer can wake us
            ready = super().select(10)
            if not ready:
                raise RuntimeError("everything waits, and no timer may fire: this would hang for ever")
            return ready
        self.now += timeout
        if self.now + CLOCK_RESOLUTION == self.now:  # the loop would never find a timer due that is due exactly now
            self.now = math.nextafter(self.now, math.inf)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on which hours pass in milliseconds, in the same order every time.

    Timers fire as soon as everything waits for one; time stands still for what `run_in_executor` has a thread do. It
    cannot see other threads or processes: while a timer is set, time does not wait for them.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._jumping.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], T], *args: *Arguments
    ) -> asyncio.Future[T]:
        """Have a thread do something; see `asyncio.loop.run_in_executor`."""

        def ended(_: object) -> None:
            self._jumping.in_threads -= 1

        working = super().run_in_executor(executor, func, *args)
        self._jumping.in_threads += 1
        working.add_done_callback(ended)
        return working


@pytest_asyncio.fixture
async def hunyuan_emulator() -> AsyncIterator[Emulator]:
    """The service's emulator in the test's own loop; small images, ready after 20 ms."""
    async with Emulator(settings=EmulatorSettings(latency=fixed(0.02), small_pictures=True)) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def hunyuan_client(hunyuan_emulator: Emulator) -> AsyncIterator[Client]:
    """A client of the emulator, without limits of its own."""
    client = Client(
        hunyuan_emulator.api_key,
        base_url=hunyuan_emulator.base_url,
        limits=UNLIMITED,
        polling=Polling(min_gap=0.01),
    )
    async with client:
        yield client
