"""The way from one process to the service, in memory: a transport that fails like a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import attrs

from hunyuan_async.models import ImageRequest
from hunyuan_async.testing import Fetched, NoReply, Reply
from hunyuan_async.transport import BeforeSend
from tests.simulation.faults import PAGE, Reach
from tests.simulation.service import Service

T = TypeVar("T")

TOO_LATE = NoReply("no answer in time", sent=True)
RESET = NoReply("the connection was reset", sent=True)


class Watcher(Protocol):
    """Looks on, and may have the process die at any moment it is told of."""

    dead: bool

    def moment(self, name: str) -> None:
        """Note that something happens."""

    def check_recorded(self, key: str) -> None:
        """Fail unless the journal says that *key* is being sent."""


@attrs.define
class Line:
    """What one process reaches the service by; once it is dead, nothing arrives any more.

    Attributes:
        service: At the other end.
        watcher: Told of everything.
        life: Which process this is.
        closed: Whether the client closed it.
    """

    service: Service
    watcher: Watcher
    life: int
    closed: bool = False

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Connect, ask whether to send, send."""
        key = request.id or ""
        fault = self.service.submit_fault()
        await asyncio.sleep(self.service.draw.uniform(0.001, 0.05))
        if fault and fault.reach is Reach.UNSENT:
            return fault.answers[0]("", self.service.draw)
        await before_send()
        await self._tell(f"{key} leaves")
        self.watcher.check_recorded(key)
        post = self.service.take(key, self.life, fault)
        timeouts = self.service.scenario.timeouts
        seconds = self._seconds(timeouts.submit)
        post.late = seconds > timeouts.close
        return await self._arrive(f"{key}: {_short(post.seen)}", post.seen, seconds, timeouts.submit)

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Look at a task."""
        await asyncio.sleep(self.service.draw.uniform(0.001, 0.05))
        await self._tell(f"look at {task_id}")
        seen = self.service.poll(task_id)
        timeout = self.service.scenario.timeouts.poll
        return await self._arrive(f"{task_id}: {_short(seen)}", seen, self._seconds(timeout), timeout)

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Hand an image over."""
        await self._tell(f"fetch {url}")
        task_id = url.rpartition("/")[2].removesuffix(".png")
        image, fault = self.service.image(task_id), self.service.fetch_fault()
        if self.service.tasks[task_id].fate == "gone":
            fault = "gone for now"
        chunks, seen = self._fetched(image, fault)
        for chunk in chunks:
            await asyncio.sleep(self.service.draw.uniform(0.01, 0.2))
            write(chunk)
        timeout = self.service.scenario.timeouts.download
        return await self._arrive(f"{url}: {fault or 'whole'}", seen, self._seconds(timeout), timeout)

    def _fetched(self, image: bytes, fault: str) -> tuple[Sequence[bytes], Fetched | NoReply]:
        half, status = image[: len(image) // 2], self.service.draw.choice
        match fault:
            case "no answer":
                return [], RESET
            case "half an image":
                return [half], RESET
            case "cut short":
                return [half], Fetched(200, len(half))
            case "page":
                return [PAGE], Fetched(200, len(PAGE))
            case "empty":
                return [], Fetched(200)
            case "status":
                return [], Fetched(status([401, 429, 500, 502, 503]))
            case "forbidden address":
                return [], NoReply("a private address", sent=False, permanent=True)
            case "gone for now":
                return [], Fetched(status([403, 404, 410]))
        return [half, image[len(half) :]], Fetched(200, len(image))

    async def aclose(self) -> None:
        """Note that the client closed it."""
        self.closed = True

    def _seconds(self, timeout: float) -> float:
        draw = self.service.draw
        slow = not self.service.calm and draw.random() < self.service.scenario.slow
        return draw.uniform(0, 1.5 * timeout) if slow else draw.uniform(0.02, 0.5)

    async def _arrive(self, told: str, seen: T, seconds: float, timeout: float) -> T | NoReply:
        await self._tell(told)
        await asyncio.sleep(min(seconds, timeout))
        return seen if seconds < timeout else TOO_LATE

    async def _tell(self, name: str) -> None:
        self.watcher.moment(name)
        if self.watcher.dead:
            await asyncio.Future()


def _short(seen: Reply | NoReply) -> str:
    return f"{seen.status} {seen.body[:80]!r}" if isinstance(seen, Reply) else seen.reason
