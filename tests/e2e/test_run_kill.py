"""Runs that are killed again and again, as real processes; the service's own log tells what they paid for."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
from aiohttp import web

from hunyuan_async._core.lifecycle import State
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.emulator import EmulatedService, Emulator, EmulatorSettings, uniform
from hunyuan_async.emulator._app import WebSide
from hunyuan_async.emulator._pictures import draw

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from tests.e2e.conftest import CommandLine

FORKS = Path(__file__).with_name("command_forks.py")
KEY = "aio_0123456789abcdef"
WIDTH = 16  # items under way at once
ANSWER = 0.06  # seconds, at most, each way
WRITTEN_DOWN = 0.25  # seconds after an answer has left, by which it is recorded
JSON = "--progress", "json"
RESUME = "resume", "out", "--progress", "none"
MOMENTARY = {"task_id", "submitted_at", "finished_at"}


@attrs.define
class Provider:
    """The emulated service, at the end of a line that takes its time.

    Attributes:
        service: What it knows.
        address: Where it listens.
        posting: How many POSTs have arrived whose answers are on the way.
        posted: How many POSTs have arrived.
    """

    service: EmulatedService
    address: tuple[str, int] = ("127.0.0.1", 0)
    posting: int = 0
    posted: int = 0
    _seen: int = 0
    _goal: int = 0
    _reached: asyncio.Event = attrs.field(factory=asyncio.Event)
    _draw: random.Random = attrs.field(factory=lambda: random.Random(20261122))

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Take a request in and let the answer go, each after a while if money is at stake."""
        self._seen += 1
        if self._seen >= self._goal:
            self._reached.set()
        if request.method != "POST":
            return await handler(request)
        self.posting += 1
        self.posted += 1
        try:
            await request.read()  # it has arrived, whoever dies now
            await asyncio.sleep(self._draw.uniform(0, ANSWER))
            answer = await handler(request)
            await asyncio.sleep(self._draw.uniform(0, ANSWER))
            return answer
        finally:
            asyncio.get_running_loop().call_later(WRITTEN_DOWN, self._recorded)

    def _recorded(self) -> None:
        self.posting -= 1

    async def sees(self, requests: int) -> None:
        """Wait for so many more requests, of whatever kind."""
        self._goal = self._seen + requests
        self._reached.clear()
        await self._reached.wait()

    async def settles(self) -> None:
        """Wait until it has taken in whatever was sent to it by now."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()

    def application(self) -> web.Application:
        """The application to serve."""
        application = WebSide(self.service, draw, allow_remote=False).application()
        application.middlewares.append(self.answer)
        return application


@attrs.define
class Forks:
    """Commands that start at once.

    Attributes:
        place: Where they work.
        server: What starts them.
        provider: Whom they pay.
    """

    place: Path
    server: asyncio.subprocess.Process
    provider: Provider

    async def start(self, *arguments: str) -> int:
        """Start a command; return its process id."""
        assert self.server.stdin
        self.server.stdin.write(f"{json.dumps(arguments)}\n".encode())
        return await self._said()

    async def ended(self) -> int:
        """Wait for its end, and return how it ended."""
        async with asyncio.timeout(120):  # not how long it takes, but that it ends at all
            return await self._said()

    async def _said(self) -> int:
        assert self.server.stdout
        return int(await self.server.stdout.readline())

    async def run(self, *arguments: str) -> int:
        """Run a command to its end."""
        await self.start(*arguments)
        return await self.ended()

    def write(self, count: int) -> None:
        """Write the input."""
        rows = ({"id": f"x{number}", "prompt": f"koi {number}", "seed": number} for number in range(count))
        (self.place / "koi.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def batch(out: str, width: int = WIDTH) -> Sequence[str]:
    """The command that begins a run, or goes on with it."""
    return (
        "batch",
        "koi.jsonl",
        "--out",
        out,
        "--rate",
        "1000/s",
        "--in-flight",
        str(width),
        "--progress",
        "none",
        "-y",
    )


@pytest.fixture
async def forks(tmp_path: Path) -> AsyncIterator[Forks]:
    """A place to start commands in, which talk to a provider of the test's own."""
    settings = EmulatorSettings(latency=uniform(0.02, 0.2), small_pictures=True)
    provider = Provider(EmulatedService(settings, [KEY], random.Random(1)))
    runner = web.AppRunner(provider.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    provider.address = runner.addresses[0]
    log = (tmp_path / "log").open("wb")
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, str(FORKS)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        cwd=tmp_path,
        start_new_session=True,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "home"),
            "HUNYUAN_BASE_URL": f"http://127.0.0.1:{provider.address[1]}/api/v1",
            "HUNYUAN_API_KEY": KEY,
        },
    )
    yield Forks(tmp_path, server, provider)
    os.killpg(server.pid, signal.SIGKILL)  # with what a failed test left running
    await server.wait()
    log.close()
    await runner.cleanup()


async def strike(forks: Forks, number: signal.Signals, times: int, struck: Callable[[], None]) -> int:
    """End a run *times* by a signal, each after a random count of requests; return how many POSTs it cut off."""
    draw = random.Random(times)
    cut_off = 0
    for turn in range(times):
        command = RESUME if turn and draw.random() < 0.7 else batch("out")
        process = await forks.start(*command)
        ended = asyncio.ensure_future(forks.ended())
        seen = asyncio.ensure_future(forks.provider.sees(draw.randrange(1, 3 * WIDTH)))
        await asyncio.wait([ended, seen], return_when=asyncio.FIRST_COMPLETED)
        assert not ended.done(), "the run must be long enough"
        os.kill(process, number)
        cut_off += forks.provider.posting - forks.provider.posted
        assert await ended in {-number, 128 + number}
        await forks.provider.settles()
        cut_off += forks.provider.posted
        struck()
    return cut_off


def states(directory: Path) -> Counter[State]:
    """Check that the file is sound, and count its items by their states."""
    path = directory / "journal.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with JournalReader.read_only(path) as reader:
        record = reader.only_run()
        assert record
        return Counter(reader.totals(record.run))


def lines(directory: Path) -> dict[str, dict[str, object]]:
    """What the results say, but for what no two runs have in common."""
    read = [json.loads(line) for line in (directory / "results.jsonl").read_text().splitlines()]
    for line in read:
        line["images"] = [{name: value for name, value in image.items() if name != "url"} for image in line["images"]]
    return {line["id"]: {name: value for name, value in line.items() if name not in MOMENTARY} for line in read}


def check_the_log(forks: Forks, held: set[str]) -> None:
    """Compare what the service received and gave out with what the journal holds."""
    posts = Counter(json.loads(post.body)["seed"] for post in forks.provider.service.posts)
    assert {*posts.values()} == {1}
    with JournalReader.read_only(forks.place / "out" / "journal.sqlite") as reader:
        for post in forks.provider.service.posts:
            assert post.task_id
            item, item_id = reader.find(post.task_id), f"x{json.loads(post.body)['seed']}"
            assert item.id == item_id if item else item_id in held


KILLS = [20, pytest.param(500, marks=pytest.mark.long)]


@pytest.mark.parametrize("times", KILLS)
async def test_a_run_that_is_killed_pays_nothing_twice_and_loses_nothing_paid(forks: Forks, times: int) -> None:
    """In the end it has made what an undisturbed run makes, but for items whose POST was on its way at a kill."""
    forks.write(times * 12)
    unknown = 0

    def struck() -> None:
        nonlocal unknown
        found = states(forks.place / "out")
        in_doubt = found[State.UNKNOWN] + found[State.SENDING]
        assert in_doubt - unknown <= WIDTH
        unknown = in_doubt

    cut_off = await strike(forks, signal.SIGKILL, times, struck)
    assert await forks.run(*RESUME, "--in-flight", "100") == (3 if unknown else 0)

    killed = lines(forks.place / "out")
    held = {item_id for item_id, line in killed.items() if line["status"] == "unknown"}
    assert len(held) == unknown <= cut_off
    check_the_log(forks, held)
    assert await forks.run(*batch("calm", 100)) == 0
    calm = lines(forks.place / "calm")
    assert [*killed] == [*calm]
    assert {item_id: line for item_id, line in killed.items() if item_id not in held} == {
        item_id: line for item_id, line in calm.items() if item_id not in held
    }
    print(f"{times} kills: {unknown} unknown, {cut_off} POSTs cut off")  # noqa: T201 - shown by: pytest -s


@pytest.mark.parametrize("times", [5, pytest.param(100, marks=pytest.mark.long)])
async def test_a_run_that_is_asked_to_end_leaves_nothing_unknown(forks: Forks, times: int) -> None:
    """SIGTERM waits for the answers to what was sent."""
    forks.write(times * 50)

    await strike(forks, signal.SIGTERM, times, lambda: None)

    found = states(forks.place / "out")
    assert (found[State.UNKNOWN], found[State.SENDING]) == (0, 0)
    check_the_log(forks, set())


async def test_a_second_runner_is_refused_and_readers_are_let_in(
    command_line: CommandLine, hunyuan_emulator: Emulator
) -> None:
    """While a runner works, another one is told whom to ask, and whoever only looks is answered."""
    command_line.use(hunyuan_emulator)
    rows = [{"id": f"x{number}", "prompt": f"koi {number}"} for number in range(2000)]
    runner = await command_line.start("batch", command_line.write("koi.jsonl", rows), "--out", "out", "-y", *JSON)
    await runner.prints('"submitted"')

    again = [("resume", "out"), ("batch", "koi.jsonl", "--out", "out", "-y"), ("redo", "out", "x1", "-y")]
    for ended in [await command_line.run(*arguments) for arguments in again]:
        assert ended.code == 2
        assert f"process {runner.process.pid} on {socket.gethostname()}" in ended.stderr
    status, results = await command_line.run("status", "out"), await command_line.run("results", "out")
    assert (status.code, results.code) == (0, 0)
    assert len(results.stdout.splitlines()) == len(rows)
    assert runner.process.returncode is None

    runner.receives(signal.SIGTERM)
    assert (await runner.ends()).code == 128 + signal.SIGTERM
