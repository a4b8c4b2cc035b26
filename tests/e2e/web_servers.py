"""Web servers in processes of their own, with the apps of the docs, and browsers for them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import attrs

from hunyuan_async.emulator import Emulator

PAGE = Path(__file__).parents[2] / "docs/how-to/embed-in-a-web-app.md"
BLOCK = re.compile(r'^```python title="(?P<name>\w+_app\.py)"\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
APPS = {found["name"].removesuffix(".py"): found["text"] for found in BLOCK.finditer(PAGE.read_text())}
# Says which worker answers; otherwise it is the app of the docs.
WORKERS_APP = """
import os
from fastapi_app import app as inner


async def app(scope, receive, send):
    async def tell(message):
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"x-worker", str(os.getpid()).encode())]}
        await send(message)

    await inner(scope, receive, tell)
"""
CLIENT_APP = """
from hunyuan_async import Client
from hunyuan_async.integrations.starlette import lifespan
from starlette.applications import Starlette

app = Starlette(lifespan=lifespan(Client))
"""
UVICORN = "-m", "uvicorn", "--port", "0", "--no-access-log", "--timeout-keep-alive", "60"
RUNNING = re.compile(r"[Rr]unning on (http://[\d.]+:\d+)")
SLOPPY = re.compile(r"Unclosed|never retrieved|never awaited|Traceback|Exception ignored|destroyed")


@attrs.define
class Event:
    """A server-sent event.

    Attributes:
        id: Its number.
        order: What it tells; empty for what only begins a stream.
    """

    id: int
    order: dict[str, object]


@attrs.define
class Server:
    """A server under way.

    Attributes:
        process: Its process, which may have started others.
        address: Where it listens.
        said: What it said, line by line.
    """

    process: asyncio.subprocess.Process
    address: str = ""
    said: list[str] = attrs.field(factory=list)
    _reading: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    async def started(self, workers: int) -> None:
        """Wait until so many workers serve."""
        output = self.process.stdout
        assert output
        while self.address == "" or self._count("startup complete") < workers:
            line = (await output.readline()).decode()
            assert line, "".join(self.said)
            self.said.append(line)
            if found := RUNNING.search(line):
                self.address = found[1]
                if "uvicorn" not in line.lower():  # aiohttp says it when all is open
                    break
        self._reading = asyncio.create_task(self._read_on(output))

    async def stops(self) -> int:
        """Ask it to stop as a supervisor does; return its exit code. It must not have been sloppy."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):  # not how long it takes, but that it ends at all
            code = await self.process.wait()
        assert self._reading
        await self._reading
        assert not [line for line in self.said if SLOPPY.search(line)], "".join(self.said)
        return code

    def warnings(self) -> int:
        """How often it said that limits are each process's own."""
        return self._count("hold for each process alone")

    def _count(self, words: str) -> int:
        return sum(words in line for line in self.said)

    async def _read_on(self, output: asyncio.StreamReader) -> None:
        while line := await output.readline():
            self.said.append(line.decode())


@asynccontextmanager
async def serving(folder: Path, emulator: Emulator, app: str, workers: int = 1) -> AsyncIterator[Server]:
    """Serve an app, with its store in *folder*, and kill in the end whatever still runs."""
    for name, text in {**APPS, "workers_app": WORKERS_APP, "client_app": CLIENT_APP}.items():
        (folder / f"{name}.py").write_text(text)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "HUNYUAN_BASE_URL": emulator.base_url,
        "HUNYUAN_API_KEY": emulator.api_key,
        "PORT": "0",
        "PYTHONUNBUFFERED": "1",
    }
    uvicorn = (*UVICORN, *(["--workers", str(workers)] if workers > 1 else []), f"{app}:app")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *((f"{app}.py",) if app == "aiohttp_app" else uvicorn)),
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        process_group=0,
    )
    server = Server(process)
    try:
        await server.started(workers)
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class Browser:
    """One tenant's browser, or several tenants' if they say who they are."""

    def __init__(self, address: str, user: str = "ann") -> None:
        self._session = aiohttp.ClientSession(address, connector=aiohttp.TCPConnector(limit=8))
        self.user = user

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(
        self, method: str, path: str, wish: dict[str, object] | None = None, *, user: str = "", key: str = ""
    ) -> tuple[int, bytes, str]:
        """Ask, and return status, body and who answered."""
        headers = {"Idempotency-Key": key} if key else {}
        cookies = {"Cookie": f"user={user or self.user}"}
        async with self._session.request(method, path, json=wish, headers=headers | cookies) as answer:
            return answer.status, await answer.read(), answer.headers.get("x-worker", "")

    async def place(self, prompt: str, *, user: str = "", key: str = "") -> str:
        """Order an image; return its handle."""
        status, body, _ = await self.ask("POST", "/images", {"prompt": prompt}, user=user, key=key)
        assert status == 202, body
        return str(json.loads(body)["handle"])

    async def states(self, user: str = "") -> dict[str, str]:
        """How far each of a tenant's orders has come."""
        status, body, _ = await self.ask("GET", "/images", user=user)
        assert status == 200, body
        return {order["handle"]: order["state"] for order in json.loads(body)["images"]}

    @asynccontextmanager
    async def events(
        self, after: int | None = None, *, user: str = "", in_query: bool = False
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Follow a tenant's orders, from an event on, until the server ends the stream."""
        headers = {"Cookie": f"user={user or self.user}"}
        path = f"/events?after={after}" if in_query else "/events"
        if after is not None and not in_query:
            headers["Last-Event-ID"] = str(after)
        async with self._session.get(path, headers=headers) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/event-stream"
            yield _events(answer.content)


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[Event]:
    while part := await content.readuntil(b"\n\n"):
        fields = dict(line.split(": ", 1) for line in part.decode().strip().splitlines())
        if "id" in fields:
            yield Event(int(fields["id"]), json.loads(fields.get("data", "{}")))


def paid(emulator: Emulator, prompts: Sequence[str]) -> list[int]:
    """How often the service accepted each prompt."""
    accepted = Counter(str(json.loads(post.body)["prompt"]) for post in emulator.posts if post.task_id)
    return [accepted[prompt] for prompt in prompts]
