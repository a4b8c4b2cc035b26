"""Looks at every task in flight, each when the dispatcher says so, and passes the verdict to whoever waits."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Protocol

import attrs

from hunyuan_async._core.dispatch import Dispatch
from hunyuan_async._core.lifecycle import Item
from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._core.retry import retry_after
from hunyuan_async._core.watch import KeepWaiting
from hunyuan_async.errors import HunyuanError
from hunyuan_async.models import TaskStatus
from hunyuan_async.transport import Transport

Verdict = TaskStatus | HunyuanError
Judge = Callable[[Reply | NoReply, float], KeepWaiting | Verdict]


class Told(Protocol):
    """Somebody who hears of every look."""

    def __call__(
        self,
        task_id: str,
        item: Item | None,
        verdict: KeepWaiting | Verdict,
        /,
        *,
        seconds: float,
        pause: float | None,
    ) -> None:
        """A look at the task of *item*, if that is known, came to a *verdict*."""


@attrs.define(eq=False)
class _Watched:
    task_id: str
    item: Item | None
    judge: Judge
    verdict: asyncio.Future[Verdict]


class Poller:
    """Multiplexes the looks at all tasks in flight over one schedule.

    A task costs one entry in the schedule and one future, no asyncio task and no timer of its own.
    """

    def __init__(
        self,
        transport: Transport,
        dispatch: Dispatch,
        wake: Callable[[], None],
        told: Told,
    ) -> None:
        self._transport = transport
        self._dispatch = dispatch
        self._wake = wake
        self._told = told
        self._watched: dict[int, _Watched] = {}
        self._bug: BaseException | None = None
        self._given_up: Callable[[str], HunyuanError] | None = None
        self._numbers = itertools.count()

    async def verdict(
        self, task_id: str, judge: Judge, *, item: Item | None = None, sent_at: float | None = None
    ) -> Verdict:
        """Wait until *judge*, given each look at the task of *item*, comes to a verdict.

        A task of which nobody knows when it was *sent* is looked at at once; an interactive item's before others.
        """
        if self._bug:
            raise self._bug
        if self._given_up:
            return self._given_up(task_id)
        loop = asyncio.get_running_loop()
        key = next(self._numbers)
        watched = self._watched[key] = _Watched(task_id, item, judge, loop.create_future())
        schedule = self._dispatch.schedule
        if sent_at is None:
            schedule.add_known(key, loop.time())
        else:
            schedule.add(key, sent_at, interactive=item is not None and item.interactive)
        self._wake()
        try:
            return await watched.verdict
        finally:
            del self._watched[key]
            schedule.discard(key)

    async def look(self, key: int) -> None:
        """Look once at the task of this number, as the dispatcher decided."""
        watched = self._watched.get(key)
        sent_at = self._now()
        seen = await self._transport.poll(watched.task_id) if watched else NoReply("nobody waits", sent=False)
        now = self._now()
        verdict = watched.judge(seen, now) if watched else KeepWaiting(status=None)
        jitter = random.random()  # noqa: S311 - spreads load, hides nothing
        status = 200 if isinstance(verdict, TaskStatus) else verdict.status
        after = retry_after(seen.headers) if isinstance(seen, Reply) else None
        pause = self._dispatch.looked(status, after, now=now, sent_at=sent_at, jitter=jitter)
        if watched is None or watched.verdict.done():
            return
        schedule = self._dispatch.schedule
        match verdict:
            case KeepWaiting(delay=None):
                schedule.running(key, now, after or 0.0)
            case KeepWaiting(delay=float() as delay):
                schedule.failed(key, now, delay)
            case TaskStatus():
                schedule.finished(key, now)
                watched.verdict.set_result(verdict)
            case HunyuanError():
                watched.verdict.set_result(verdict)
        self._told(watched.task_id, watched.item, verdict, seconds=now - sent_at, pause=pause)

    def give_up(self, reason: Callable[[str], HunyuanError]) -> None:
        """End every wait, now and later, with the error that *reason* makes of the task's id."""
        self._given_up = reason
        for watched in self._watched.values():
            if not watched.verdict.done():
                watched.verdict.set_result(reason(watched.task_id))

    def broken(self, error: BaseException) -> None:
        """End every wait, now and later, with a bug of ours."""
        self._bug = error
        for watched in self._watched.values():
            if not watched.verdict.done():
                watched.verdict.set_exception(error)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
