"""A web backend under load: `python -m benchmarks.web --minutes 10`.

One process serves 200 browsers' event streams and takes 50 orders a second, and is stopped and started again in the
middle. Told are the latency of events, the server's memory and its slope, and what got lost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import attrs
from aiohttp import web

from benchmarks.report import print_table
from hunyuan_async import Client, Limits
from hunyuan_async.integrations.aiohttp_web import STORE, embed, send_events
from hunyuan_async.integrations.web import EventStream, last_event_id
from hunyuan_async.store import Quotas, Store

STREAMS = 200
ORDERS_A_SECOND = 50.0
WARM_UP = 0.3  # of a server's time
AGAIN = 0.2  # seconds between two tries to reach a server that is just starting


def serve(folder: Path) -> None:
    """Be the server."""

    @contextlib.asynccontextmanager
    async def open_store() -> AsyncIterator[Store]:
        limits = Limits(rate=1000, in_flight=1000)
        async with (
            Client(limits=limits) as client,
            Store(folder, client=client, quotas=Quotas(None, None, None), max_waiting=10_000) as store,
        ):
            yield store

    async def place(request: web.Request) -> web.Response:
        wish = await request.json()
        order = await request.app[STORE].submit(wish["prompt"], tenant=wish["tenant"], id=wish["id"])
        return web.json_response(order.public())

    async def events(request: web.Request) -> web.StreamResponse:
        after = last_event_id(request.headers.get("Last-Event-ID"))
        changes = request.app[STORE].follow(tenant=request.query["tenant"], after=after)
        return await send_events(request, EventStream(changes))

    app = web.Application()
    app.add_routes([web.post("/images", place), web.get("/events", events)])
    embed(app, STORE, open_store)
    web.run_app(app, host="127.0.0.1", port=0, access_log=None)


@attrs.define
class Server:
    """The server, in a process of its own.

    Attributes:
        folder: Where its orders are.
        environment: What it gets.
        address: Where it listens, while it does.
        process: It.
        memory: When it was looked at, and its resident MiB then, for each start.
    """

    folder: Path
    environment: dict[str, str]
    address: str = ""
    process: subprocess.Popen[str] | None = None
    memory: list[list[tuple[float, float]]] = attrs.field(factory=list)

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        command = [sys.executable, "-m", "benchmarks.web", "--serve", str(self.folder)]
        self.process = subprocess.Popen(  # noqa: ASYNC220 - it is about to start
            command, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        line = await asyncio.to_thread(self.process.stdout.readline)
        self.memory.append([])
        self.address = line.split()[-2]

    async def stop(self) -> int:
        """Stop it as a supervisor does, and return its exit code."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait)

    async def watch(self) -> None:
        """Look at its memory once a second, until cancelled."""
        while True:
            with contextlib.suppress(OSError, IndexError):
                assert self.process
                path = Path(f"/proc/{self.process.pid}/statm")
                pages = int(path.read_text(encoding="ascii").split()[1])  # noqa: ASYNC240 - in memory
                self.memory[-1].append((time.monotonic(), pages * os.sysconf("SC_PAGESIZE") / 2**20))
            await asyncio.sleep(1)


@attrs.define
class Load:
    """All the browsers.

    Attributes:
        server: Whom they ask.
        session: Their connections.
        placed: The handles that they got.
        done: The handles that they saw done.
        failed: The handles that they saw end otherwise.
        events: How many events came.
        waits: Seconds that each event was on its way, from the change on disk to the browser.
        answers: Seconds that each order took to be placed.
    """

    server: Server
    session: aiohttp.ClientSession
    placed: set[str] = attrs.field(factory=set)
    done: set[str] = attrs.field(factory=set)
    failed: set[str] = attrs.field(factory=set)
    events: int = 0
    waits: list[float] = attrs.field(factory=list)
    answers: list[float] = attrs.field(factory=list)

    async def follow(self, tenant: str) -> None:
        """Follow a tenant's orders until cancelled, over all restarts, as a browser does."""
        last = "0"
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                url = f"{self.server.address}/events?tenant={tenant}"
                async with self.session.get(url, headers={"Last-Event-ID": last}) as answer:
                    while part := await answer.content.readuntil(b"\n\n"):
                        fields = dict(line.split(": ", 1) for line in part.decode().strip().splitlines())
                        last = fields.get("id", last)
                        if "data" in fields:
                            self._hear(json.loads(fields["data"]))
            await asyncio.sleep(AGAIN)

    def _hear(self, order: dict[str, str]) -> None:
        self.events += 1
        self.waits.append((datetime.now(UTC) - datetime.fromisoformat(order["changed_at"])).total_seconds())
        if order["state"] == "done":
            self.done.add(order["handle"])
        elif order["state"] in {"failed", "unknown"}:
            self.failed.add(order["handle"])

    async def place(self, number: int) -> None:
        """Order an image, again with the same id until there is an answer."""
        wish = {"prompt": f"load {number}", "tenant": f"tenant{number % STREAMS}", "id": f"click {number}"}
        began = time.monotonic()
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with self.session.post(f"{self.server.address}/images", json=wish) as answer:
                    self.placed.add((await answer.json())["handle"])
                    self.answers.append(time.monotonic() - began)
                    return
            await asyncio.sleep(AGAIN)

    async def order(self, seconds: float) -> None:
        """Order for so long."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as orders:
            for number in itertools.count():
                if (at := number / ORDERS_A_SECOND) > seconds:
                    break
                await asyncio.sleep(max(0.0, began + at - time.monotonic()))
                orders.create_task(self.place(number))


async def load(server: Server, minutes: float) -> None:
    """Let the browsers work, restart the server in the middle, and tell."""
    await server.start()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout()) as session:
        browsers = Load(server, session)
        following = [asyncio.create_task(browsers.follow(f"tenant{number}")) for number in range(STREAMS)]
        watching = asyncio.create_task(server.watch())
        ordering = asyncio.create_task(browsers.order(minutes * 60))
        await asyncio.sleep(minutes * 30)
        code = await server.stop()
        await server.start()
        await ordering
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while browsers.placed - browsers.done - browsers.failed:  # noqa: ASYNC110 - once
                    await asyncio.sleep(0.1)
        for one in (watching, *following):
            one.cancel()
        await asyncio.gather(watching, *following, return_exceptions=True)
    tell(server, browsers, minutes, (code, await server.stop()))


def tell(server: Server, browsers: Load, minutes: float, codes: tuple[int, int]) -> None:
    """Print the tables."""
    title = f"{STREAMS} event streams and {ORDERS_A_SECOND:g} orders a second for {minutes:g} minutes"
    rows: list[tuple[object, ...]] = []
    for what, seconds in (("an order's answer", browsers.answers), ("an event, from disk to browser", browsers.waits)):
        cuts = statistics.quantiles(seconds, n=100)
        rows.append((f"{what}, ms", *(1000 * cuts[place - 1] for place in (50, 95, 99)), f"{len(seconds):,}"))
    print_table(title, ("", "p50", "p95", "p99", "count"), rows)
    memory: list[tuple[object, ...]] = []
    for name, seen in zip(("before", "after"), server.memory, strict=True):
        warm = [one for one in seen if one[0] >= seen[0][0] + WARM_UP * (seen[-1][0] - seen[0][0])]
        slope = statistics.linear_regression(*zip(*warm, strict=True)).slope
        memory.append((f"{name} the restart", warm[0][1], warm[-1][1], 600 * slope))
    print_table("the server's memory, MiB", ("", "after the warm-up", "at the end", "slope in 10 minutes"), memory)
    lost = browsers.placed - browsers.done - browsers.failed
    print(f"\nplaced: {len(browsers.placed):,}, done: {len(browsers.done):,}, ", end="")
    print(f"failed or unknown: {len(browsers.failed):,}, lost: {len(lost):,}; exit codes: {codes}")


@contextlib.contextmanager
def _emulator() -> Iterator[dict[str, str]]:
    """Start one in another process, and give the environment that names it."""
    command = [sys.executable, "-m", "hunyuan_async", "emulator", "--port", "0", "--speed", "5", "--small"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as service:
        assert service.stdout
        try:
            lines = (service.stdout.readline().strip().removeprefix("export ").partition("=") for _ in range(2))
            yield {**os.environ, **{name: value for name, _, value in lines}}
        finally:
            service.kill()


def main() -> None:
    """Load."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve)
        return
    with tempfile.TemporaryDirectory() as folder, _emulator() as environment:
        asyncio.run(load(Server(Path(folder), environment), asked.minutes))


if __name__ == "__main__":
    main()
