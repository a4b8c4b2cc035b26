"""Commands that would pay twice, or lose what is paid, if they did what they were told."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hunyuan_async import Client, ImageRequest, Run
from hunyuan_async.emulator import EmulatedService, Emulator, EmulatorSettings, fixed
from hunyuan_async.emulator._app import WebSide
from hunyuan_async.emulator._pictures import draw
from hunyuan_async.errors import BudgetExceeded

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from tests.e2e.conftest import CommandLine

KEYS = ["aio_right_0123456789", "aio_other_0123456789"]
QUICK = EmulatorSettings(latency=fixed(0.05), small_pictures=True)
OPTIONS = "--out", "out", "--rate", "500/s", "--progress", "none"
BATCH = "batch", "koi.jsonl", *OPTIONS


@attrs.define
class Troubled:
    """A service behind which things go wrong while it answers a submit.

    Attributes:
        service: What it knows.
        silent: Seeds whose submits it takes without a word.
        removes: Files that are gone by the time it answers.
    """

    service: EmulatedService
    silent: set[int] = attrs.field(factory=set)
    removes: list[Path] = attrs.field(factory=list)

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Take a request in."""
        answer = await handler(request)
        if request.method == "POST":
            for path in self.removes:
                path.unlink()
            if json.loads(await request.read())["seed"] in self.silent:
                assert request.transport
                request.transport.abort()
        return answer

    def seeds(self) -> list[int]:
        """What it was asked for."""
        return [json.loads(post.body)["seed"] for post in self.service.posts]


@pytest.fixture
async def troubled(command_line: CommandLine) -> AsyncIterator[Troubled]:
    """A service that commands talk to."""
    troubled = Troubled(EmulatedService(QUICK, KEYS[:1], random.Random(1)))
    application = WebSide(troubled.service, draw, allow_remote=False).application()
    application.middlewares.append(troubled.answer)
    async with TestServer(application) as server:
        address = str(server.make_url("/api/v1"))
        command_line.environment |= {"HUNYUAN_BASE_URL": address, "HUNYUAN_API_KEY": KEYS[0]}
        yield troubled


async def begun_in_python(
    command_line: CommandLine, emulator: Emulator, images: int, *, make: int = 0, journal: Path | None = None
) -> None:
    """Plan so many images in the directory "out" by Python, and make some."""
    command_line.use(emulator)
    client = Client(emulator.api_key, base_url=emulator.base_url)
    requests = [ImageRequest(f"koi {number}", id=f"k{number}", seed=number) for number in range(images)]
    async with (
        client,
        Run(command_line.place / "out", client=client, journal=journal, max_credits=25 * make or None) as run,
    ):
        await run.add(requests)
        if 0 < make < images:
            with pytest.raises(BudgetExceeded):
                [_ async for _ in run]
        elif make:
            [_ async for _ in run]


async def test_a_task_that_could_not_be_noted_is_told(command_line: CommandLine, troubled: Troubled) -> None:
    """It is paid: whoever reads the message can fetch the image, and does not pay again."""
    journal = Path(command_line.environment["HOME"]) / ".local" / "state" / "hunyuan_async" / "log" / "1.sqlite"
    troubled.removes = [journal]
    ended = await command_line.run("generate", "a koi", "-o", "koi.png")

    [task_id] = [post.task_id for post in troubled.service.posts]
    assert (ended.code, "Nothing was sent" in ended.stderr) == (5, False)
    assert f"It is paid. Fetch it with: hunyuan task {task_id} -o koi.png\n" in ended.stderr
    assert f"Task {task_id} is paid; note its id." in ended.stderr
    troubled.removes = []
    assert (await command_line.run("task", str(task_id), "-o", "koi.png")).code == 0


@pytest.mark.parametrize("made", [0, 1])
async def test_a_lost_journal_is_not_begun_anew(
    command_line: CommandLine, hunyuan_emulator: Emulator, made: int
) -> None:
    """Whatever is tried, and however often; once it is back, the run goes on."""
    kept = command_line.place / "disk" / "koi.sqlite"
    await begun_in_python(command_line, hunyuan_emulator, 2, make=made, journal=kept)
    command_line.koi(range(2))
    kept.rename(command_line.place / "unmounted")

    elsewhere = (*BATCH, "--journal", "new.sqlite")
    for command in (BATCH, BATCH, elsewhere, ("resume", "out"), ("status", "out"), ("redo", "out", "k0")):
        ended = await command_line.run(*command)
        assert (ended.code, len(hunyuan_emulator.posts)) == (2, made), ended.stderr
        assert f"is missing: it was kept at {kept}. Bring it back" in ended.stderr

    (command_line.place / "unmounted").rename(kept)
    assert (await command_line.run("resume", "out", "--max-credits", "50")).code == 0
    assert command_line.paid() == {"koi 0": 1, "koi 1": 1}


async def test_a_journal_is_not_taken_from_another_run(command_line: CommandLine, hunyuan_emulator: Emulator) -> None:
    """Two runs in one file would be one."""
    await begun_in_python(command_line, hunyuan_emulator, 1, make=1)
    command_line.koi([5])
    ended = await command_line.run("batch", "koi.jsonl", "--out", "new", "--journal", "out/journal.sqlite")
    assert (ended.code, "out/journal.sqlite is another run's journal" in ended.stderr) == (2, True)
    assert (len(hunyuan_emulator.posts), (command_line.place / "new").exists()) == (1, False)


async def test_commands_go_on_with_what_python_began(command_line: CommandLine, hunyuan_emulator: Emulator) -> None:
    """They find the service by themselves, and do not put an emulator in its place."""
    await begun_in_python(command_line, hunyuan_emulator, 3, make=1)
    command_line.koi(range(3))
    emulated = await command_line.run(*BATCH, "--emulator")
    assert (emulated.code, "begun with the service" in emulated.stderr) == (2, True)
    command_line.environment |= {"HUNYUAN_BASE_URL": "http://127.0.0.1:9/api/v1"}
    resumed = await command_line.run("resume", "out")
    redone = await command_line.run("redo", "out", "k0")
    assert (resumed.code, redone.code, command_line.statuses()) == (0, 0, {"succeeded": 3})
    assert command_line.paid() == {"koi 0": 2, "koi 1": 1, "koi 2": 1}
    assert len([*(command_line.place / "out" / "images" / "0000").iterdir()]) == 4


async def test_what_is_sent_once_more_is_part_of_the_plan(command_line: CommandLine, troubled: Troubled) -> None:
    """It costs like any other; and only who asks for it gets it."""
    command_line.koi(range(2))
    troubled.silent = {0}
    assert (await command_line.run(*BATCH, "--on-unknown", "resubmit")).code == 3
    before = troubled.seeds()
    for command in (("resume", "out"), BATCH):
        plan = await command_line.run(*command, "--dry-run")
        assert "1 images\n       1. koi 0\nCost   25 credits" in plan.stderr
    held = await command_line.run("resume", "out", "--on-unknown", "hold", "--dry-run")
    assert "Nothing is left to be sent\n" in held.stderr

    redone = await command_line.run("redo", "out", "k1")

    assert (redone.code, "Left   1 images\n       1. koi 1\n" in redone.stderr) == (3, True)
    sent = troubled.seeds()
    assert (sent.count(0), len(sent)) == (before.count(0), len(before) + 1)


async def test_rows_that_are_gone_are_not_retried_by_batch(
    command_line: CommandLine, hunyuan_emulator: Emulator
) -> None:
    """Nobody asks for them any more; `resume`, which reads no input, makes them again."""
    command_line.use(hunyuan_emulator)
    rows = [{"id": name, "prompt": f"[fail] {name}"} for name in ("kept", "gone")]
    command_line.write("koi.jsonl", rows)
    assert (await command_line.run(*BATCH)).code == 1
    command_line.write("koi.jsonl", rows[:1])

    await command_line.run(*BATCH, "--retry-failed")
    assert command_line.paid() == {"[fail] kept": 2, "[fail] gone": 1}
    await command_line.run("resume", "out", "--retry-failed")
    assert command_line.paid() == {"[fail] kept": 3, "[fail] gone": 2}


@pytest.mark.parametrize("options", [(), ("--key-changed",)])
async def test_a_wrong_key_is_not_the_runs_key(command_line: CommandLine, options: tuple[str, ...]) -> None:
    """It paid for nothing, so the right one is let in, with or without a word."""
    command_line.koi([0])
    async with Emulator(settings=QUICK, api_keys=KEYS[:1]) as emulator:
        command_line.use(emulator)
        command_line.environment["HUNYUAN_API_KEY"] = KEYS[1]
        assert (await command_line.run(*BATCH)).code == 4
        command_line.environment["HUNYUAN_API_KEY"] = KEYS[0]
        assert (await command_line.run(*BATCH, *options)).code == 0
        command_line.environment["HUNYUAN_API_KEY"] = KEYS[1]
        assert (await command_line.run("resume", "out")).code == 2
        command_line.koi(range(2))
        assert (await command_line.run(*BATCH, "--key-changed")).code == 4
        command_line.environment["HUNYUAN_API_KEY"] = KEYS[0]
        assert (await command_line.run("resume", "out")).code == 0
        assert command_line.paid() == {"koi 0": 1, "koi 1": 1}


async def test_many_rows_may_come_from_a_pipe(command_line: CommandLine, hunyuan_emulator: Emulator) -> None:
    """There is nobody to ask then."""
    command_line.use(hunyuan_emulator)
    rows = "".join(f"koi {number}\n" for number in range(101)).encode()
    ended = await command_line.run("batch", "-", "--input-format", "txt", *OPTIONS, "--max-credits", "25", stdin=rows)
    assert (ended.code, "101 images" in ended.stderr, len(hunyuan_emulator.posts)) == (6, True, 1), ended.stderr


async def test_all_of_them_and_none_of_them(command_line: CommandLine, hunyuan_emulator: Emulator) -> None:
    """All and some by name contradict each other, and nothing done is told as such."""
    await begun_in_python(command_line, hunyuan_emulator, 1, make=1)
    for command, told in (
        (("redo", "out", "--all", "k0"), "name the items"),
        (("resolve", "out", "--all", "--abandon"), "there is none that this could be about"),
    ):
        ended = await command_line.run(*command)
        assert (ended.code, told in ended.stderr, len(hunyuan_emulator.posts)) == (2, True, 1), ended.stderr
