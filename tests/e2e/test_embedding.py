"""The web apps of the docs as real servers: several workers, kills, restarts, and browsers of all manners."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import pytest
import pytest_asyncio
from aiohttp import web

from hunyuan_async import Client, Limits
from hunyuan_async._journal.lock import holder
from hunyuan_async.emulator import Emulator, EmulatorSettings, uniform
from hunyuan_async.integrations.aiohttp_web import STORE, embed, send_events
from hunyuan_async.integrations.web import EventStream
from hunyuan_async.store import Quotas, Store
from tests.e2e.web_servers import Browser, Event, Server, paid, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE = 20  # requests a second, as the app of the docs is told
WORKERS = 4
ENDS = {"done", "failed", "unknown", "withdrawn"}
TENANTS = [f"tenant{number}" for number in range(8)]


@attrs.define
class Shop:
    """The app of the docs with four workers, and a browser at each of them.

    Attributes:
        server: Their server.
        folder: Where they work.
        emulator: Whom they pay.
        browsers: By the process that answers.
        stack: Closes the browsers.
    """

    server: Server
    folder: Path
    emulator: Emulator
    stack: AsyncExitStack
    browsers: dict[str, Browser] = attrs.field(factory=dict)

    async def reach(self, workers: int) -> None:
        """Have a browser at so many workers, and none at those that are dead."""
        for worker in [worker for worker in self.browsers if not _alive(int(worker))]:
            del self.browsers[worker]
        while len(self.browsers) < workers:
            browser = await self.stack.enter_async_context(Browser(self.server.address))
            _, _, worker = await browser.ask("GET", "/images")
            self.browsers.setdefault(worker, browser)

    def sender(self) -> int:
        """Which process sends."""
        told = re.match(r"process (\d+) ", holder(self.folder / "orders/journal.sqlite") or "")
        assert told
        return int(told[1])


def _alive(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """The service; its images take half a second."""
    settings = EmulatorSettings(latency=uniform(0.3, 0.7), small_pictures=True)
    async with Emulator(settings=settings) as emulator:
        yield emulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory, emulator: Emulator) -> AsyncIterator[Shop]:
    """Four workers that share a store."""
    folder = tmp_path_factory.mktemp("shop")
    async with serving(folder, emulator, "workers_app", WORKERS) as server, AsyncExitStack() as stack:
        shop = Shop(server, folder, emulator, stack)
        await shop.reach(WORKERS)
        yield shop


async def until_all_end(browser: Browser, user: str) -> dict[str, str]:
    """Follow a tenant's orders until all are at their end."""
    states: dict[str, str] = {}
    known = await browser.states(user)
    async with browser.events(0, user=user) as events:
        async for event in events:
            if event.order:
                states[str(event.order["handle"])] = str(event.order["state"])
            if states.keys() >= known.keys() and set(states.values()) <= ENDS:
                return states
    raise AssertionError(states)


async def test_workers_share_one_account_through_kills(shop: Shop) -> None:
    """Forty orders over four workers, and whoever sends is killed three times in mid-flight: nothing is paid twice."""
    posts, polls, kills = shop.emulator.posts, shop.emulator.polls, list[float]()
    browsers = list(shop.browsers.values())
    began = len(posts), len(polls)
    wishes = [(f"koi {number}", TENANTS[number % 8]) for number in range(40)]
    await asyncio.gather(*(browsers[n % 4].place(prompt, user=user) for n, (prompt, user) in enumerate(wishes)))

    for _ in range(3):
        sent = len(posts)
        while len(posts) < sent + 5:  # noqa: ASYNC110 - the log of another part rings no bell
            await asyncio.sleep(0.01)
        os.kill(shop.sender(), signal.SIGKILL)
        kills.append(asyncio.get_running_loop().time())
    await shop.reach(WORKERS)
    browsers = list(shop.browsers.values())
    states = dict[str, str]()
    for number, tenant in enumerate(TENANTS):
        seen = [await until_all_end(browser, tenant) for browser in browsers]
        assert seen == [seen[0]] * WORKERS
        assert [await browser.states(tenant) for browser in browsers] == seen
        states |= seen[0]
        assert {(await browsers[number % 4].ask("GET", f"/images/{one}", user=tenant))[0] for one in seen[0]} == {200}

    assert len(states) == 40
    assert set(states.values()) <= {"done", "unknown"}
    prompts = [prompt for prompt, _ in wishes]
    assert max(paid(shop.emulator, prompts)) == 1
    unheard = [post.at for post in posts[began[0] :] if any(-0.5 < post.at - kill < 0.5 for kill in kills)]
    assert Counter(states.values())["unknown"] <= len(unheard)
    instants = sorted([*(post.at for post in posts[began[0] :]), *(poll.at for poll in polls[began[1] :])])
    most = max(bisect_right(instants, instant + 2.0) - place for place, instant in enumerate(instants))
    assert most <= 1.5 * 2 * RATE  # four times as many if each had its own


async def test_a_double_click_buys_once(shop: Shop) -> None:
    """Two workers get the same click at the same time; the key does not do for another request."""
    one, two, *_ = shop.browsers.values()

    handles = await asyncio.gather(*(browser.place("a click", key="click 1") for browser in (one, two, one, two)))
    states = await until_all_end(two, "ann")
    again = await two.place("a click", key="click 1")
    status, body, _ = await one.ask("POST", "/images", {"prompt": "another"}, key="click 1")

    assert {*handles, again} == {handles[0]}
    assert states[handles[0]] == "done"
    assert paid(shop.emulator, ["a click", "another"]) == [1, 0]
    assert (status, json.loads(body)["error"]["kind"]) == (409, "conflict")


async def test_a_tenant_sees_its_own_orders_alone(shop: Shop) -> None:
    """Eight tenants make 200 random calls each, with handles of their own, of others, and guessed: no cross read."""
    browsers = list(shop.browsers.values())
    mine = {tenant: [await browsers[0].place(f"secret of {tenant}", user=tenant)] for tenant in TENANTS}

    async def roam(tenant: str) -> None:
        rng = random.Random(tenant)
        for _ in range(200):
            browser, other = rng.choice(browsers), rng.choice(TENANTS)
            handle = rng.choice([rng.choice(mine[other]), rng.randbytes(16).hex(), "../x", "%00", f"{mine[other][0]}x"])
            paths = "", f"/{handle}", f"/{handle}/0", f"/{handle}/-1", "?before=1000000"
            method = rng.choice(["GET", "GET", "DELETE"])
            path = f"/images/{handle}" if method == "DELETE" else f"/images{rng.choice(paths)}"
            status, body, _ = await browser.ask(method, path, user=tenant)

            assert status < 500
            for stranger in set(TENANTS) - {tenant}:
                assert f"secret of {stranger}".encode() not in body
            if handle in mine[other] and other != tenant and handle in path:
                assert status == 404

    await asyncio.gather(*map(roam, TENANTS))


async def test_workers_that_share_a_store_need_no_warning(shop: Shop) -> None:
    """Their limits are the app's."""
    assert shop.server.warnings() == 0


async def test_a_restart_loses_nothing_and_streams_go_on(tmp_path: Path, emulator: Emulator) -> None:
    """SIGTERM ends streams and the server cleanly; a browser goes on where it was, with the next server."""
    prompts = [f"crane {number}" for number in range(6)]
    seen: list[Event] = []
    async with serving(tmp_path, emulator, "fastapi_app") as server, Browser(server.address) as browser:
        handles = {await browser.place(prompt) for prompt in prompts}
        async with browser.events(0, in_query=True) as events:
            async for event in events:
                seen.append(event)
                if event.order.get("state") == "running":
                    stopping = asyncio.create_task(server.stops())
        assert await stopping == -signal.SIGTERM
    async with serving(tmp_path, emulator, "fastapi_app") as server, Browser(server.address) as browser:
        last = {str(event.order["handle"]): event.order["state"] for event in seen if event.order}
        async with browser.events(seen[-1].id) as events:
            async for event in events:
                seen.append(event)
                if event.order:
                    last[str(event.order["handle"])] = event.order["state"]
                if list(last.values()) == ["done"] * 6:
                    break
        status, image, _ = await browser.ask("GET", f"/images/{min(handles)}/0")
        assert await server.stops() == -signal.SIGTERM

    numbers = [event.id for event in seen if event.order]
    assert last.keys() == handles
    assert numbers == sorted(set(numbers))  # nothing comes twice
    assert paid(emulator, prompts) == [1] * 6
    assert (status, image[:4]) == (200, b"\x89PNG")
    assert server.warnings() == 0


async def test_a_browser_that_leaves_takes_nothing_back(tmp_path: Path, emulator: Emulator) -> None:
    """It goes while its order is being written down: the image is made all the same, and paid once."""
    async with serving(tmp_path, emulator, "fastapi_app") as server, Browser(server.address) as browser:
        await browser.states()
        body = b'{"prompt": "a fleeting fox"}'
        head = b"POST /images HTTP/1.1\r\nHost: x\r\nCookie: user=ann\r\nContent-Type: application/json\r\n"
        address = urlsplit(server.address)
        with closing(sqlite3.connect(tmp_path / "orders/orders.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # whoever orders now has to wait
            with closing(socket.create_connection((address.hostname, address.port or 0))) as line:
                line.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
                for _ in range(3):  # by their answers, the order was received
                    await browser.ask("GET", "/nowhere")
            for _ in range(3):  # and the end of the connection was seen
                await browser.ask("GET", "/nowhere")
            other.execute("ROLLBACK")

        async with browser.events(0) as events:
            async for event in events:
                if event.order.get("state") in ENDS:
                    break
        assert event.order["state"] == "done"
        assert await server.stops() == -signal.SIGTERM
    assert paid(emulator, ["a fleeting fox"]) == [1]


async def test_a_slow_reader_is_dropped_and_harms_nobody(tmp_path: Path, emulator: Emulator) -> None:
    """It takes nothing: its connection is cut, while others read on and memory holds no backlog for it."""
    cut = asyncio.Event()
    limits = Limits(rate=200, in_flight=64)
    client = Client(base_url=emulator.base_url, api_key=emulator.api_key, limits=limits)

    def open_store() -> Store:
        return Store(tmp_path / "orders", client=client, quotas=Quotas(None, None, None))

    async def stream(request: web.Request) -> web.StreamResponse:
        small = request.query.get("slow")
        if small and request.transport:
            request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        changes = request.app[STORE].follow(tenant="ann", after=0)
        answer = await send_events(request, EventStream(changes, patience=0.5 if small else 30.0))
        if small:
            cut.set()
        return answer

    app = web.Application()
    app.router.add_get("/events", stream)
    embed(app, STORE, open_store)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        with closing(socket.socket()) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((host, port))
            slow.sendall(b"GET /events?slow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            orders = [await app[STORE].submit(f"{number:02} {'x' * 1900}", tenant="ann") for number in range(60)]
            done = set()
            async with Browser(f"http://{host}:{port}") as quick, quick.events() as events:
                async for event in events:
                    if event.order.get("state") == "done":
                        done.add(event.order["handle"])
                    if len(done) == len(orders):
                        await cut.wait()
                        break
            slow.settimeout(10)
            with suppress(ConnectionResetError):
                while slow.recv(65536):  # ends, whatever was still on its way
                    pass
    finally:
        await runner.cleanup()
        await client.aclose()


@pytest.mark.parametrize("app", ["aiohttp_app", "quart_app", "litestar_app"])
async def test_an_app_of_the_docs_works(app: str, tmp_path: Path, emulator: Emulator) -> None:
    """It orders, follows, refuses what cannot be right, and stops cleanly with a stream open."""
    async with serving(tmp_path, emulator, app) as server, Browser(server.address) as browser:
        handle = await browser.place(f"a fox for {app}", key="1")
        refused, body, _ = await browser.ask("POST", "/images", {"prompt": ""})
        conflict, _, _ = await browser.ask("POST", "/images", {"prompt": "another"}, key="1")
        async with browser.events(0) as events:
            async for event in events:
                if event.order.get("state") == "done":
                    stopping = asyncio.create_task(server.stops())

        assert await stopping == (0 if app == "aiohttp_app" else -signal.SIGTERM)
        assert event.order["handle"] == handle
        assert (refused, json.loads(body)["error"]["kind"], conflict) == (422, "invalid", 409)
    assert paid(emulator, [f"a fox for {app}"]) == [1]


@pytest.mark.parametrize(("workers", "starts", "warnings"), [(1, 2, 0), (3, 1, 1)])
async def test_workers_with_a_client_each_are_warned_once(
    workers: int, starts: int, warnings: int, tmp_path: Path, emulator: Emulator
) -> None:
    """Several workers hear of it once, a single one never, started again or not."""
    for _ in range(starts):
        async with serving(tmp_path, emulator, "client_app", workers) as server:
            code = await server.stops()
            assert (code, server.warnings()) == (-signal.SIGTERM if workers == 1 else 0, warnings)
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".lock")]


FORK = """
import asyncio, os, sys
from hunyuan_async import Client, InvalidRequest
from hunyuan_async.store import Store

async def use(client, store):
    for work in (client.generate("from the child"), store.submit("from the child", tenant="ann")):
        try:
            await work
        except InvalidRequest as error:
            print(error, flush=True)

async def main():
    async with Client() as client, Client() as other, Store("orders", client=other) as store:
        await client.generate("from the parent")
        await store.submit("from the parent, too", tenant="ann")
        child = os.fork()
        if not child:
            asyncio.run(use(client, store))
            os._exit(0)
        os.waitpid(child, 0)
        await client.generate("from the parent again")

asyncio.run(main())
"""


async def test_a_fork_is_told_before_anything_is_sent(tmp_path: Path, emulator: Emulator) -> None:
    """What was opened before a fork is the parent's; the child hears what to do, and harms nothing."""
    ours = {"HUNYUAN_BASE_URL": emulator.base_url, "HUNYUAN_API_KEY": emulator.api_key}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "always::ResourceWarning", "-c", FORK),
        cwd=tmp_path,
        env={**os.environ, **ours},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate()

    assert (process.returncode, errors) == (0, b"")
    assert output.decode().count("another event loop or process. Make a new one") == 2
    assert paid(emulator, ["from the child", "from the parent", "from the parent again"]) == [0, 1, 1]
