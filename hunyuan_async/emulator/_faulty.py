"""Lets requests meet the faults that are chosen for them."""

from __future__ import annotations

import asyncio
from typing import cast

import attrs
from aiohttp import web

from hunyuan_async.emulator._app import FAULT, Handler, key_of, now_here
from hunyuan_async.emulator._faults.answers import LOOP, LOOPS
from hunyuan_async.emulator._faults.injector import Injected, Injector
from hunyuan_async.emulator._faults.kinds import REQUESTS, Reply, Scene
from hunyuan_async.emulator._faults.rules import Fault
from hunyuan_async.emulator._faults.table import REQUEST_KINDS
from hunyuan_async.emulator._service import EmulatedService, Get, Post


@attrs.frozen
class Meddler:
    """Stands between requests and the service.

    Attributes:
        service: Carries out what reaches it, and keeps the log.
        injector: Chooses the faults.
    """

    service: EmulatedService
    injector: Injector

    @web.middleware
    async def meddle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, with the fault that is chosen for it; what the service itself refuses meets none."""
        chosen = self._choose(request)
        if chosen is None:
            return await handler(request)
        kind, honest = REQUEST_KINDS[chosen.kind], Reply(0)
        if kind.effect == "done":
            request[FAULT] = kind.word
            response = cast("web.Response", await handler(request))
            if response.status >= 400:
                return response
            headers = {"Content-Type": response.headers["Content-Type"]}
            honest = Reply(response.status, cast("bytes", response.body), headers)
        else:
            self._log(request, kind.word, await request.read() if kind.effect == "refused" else b"")
        self.injector.injected.append(chosen)
        transport = cast("asyncio.Transport", request.transport)
        answer = await kind.act(Scene(request, transport, honest, chosen.fault.seconds))
        # Without an answer the connection has ended, and nothing that is returned here is sent.
        return answer or web.Response()

    def _choose(self, request: web.Request) -> Injected | None:
        place, task_id = request.match_info.route.name, request.match_info.get("task_id", "")
        if place not in REQUESTS:
            return None
        if (loop := request.query.get(LOOP)) in LOOPS:
            return Injected(now_here(), place, Fault(loop), 0, task_id)
        return self.injector.take(place, now_here(), task_id, self.service.number_of(task_id))

    def _log(self, request: web.Request, fault: str, body: bytes) -> None:
        """Log a request that a fault keeps from the service."""
        now, task_id = now_here(), request.match_info.get("task_id", "")
        match request.match_info.route.name:
            case "submit":
                self.service.posts.append(Post(now, key_of(request), body, 0, None, fault))
            case "poll":
                self.service.polls.append(Get(now, task_id, 0))
            case _:
                self.service.downloads.append(Get(now, task_id, 0))
