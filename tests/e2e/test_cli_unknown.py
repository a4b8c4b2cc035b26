"""Submits that a service took and whose answers got lost: held, listed, resolved by a person, or as told."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hunyuan_async.emulator import EmulatedService, EmulatorSettings, fixed
from hunyuan_async.emulator._app import WebSide
from hunyuan_async.emulator._pictures import draw

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from tests.e2e.conftest import CommandLine

KEY = "aio_0123456789abcdef"
BATCH = "batch", "koi.jsonl", "--out", "out", "--rate", "500/s", "--in-flight", "1", "--progress", "none"


@attrs.define
class Forgetful:
    """A service that takes submits and does not answer the first one of some seeds.

    Attributes:
        service: What it knows.
        lose: The seeds.
    """

    service: EmulatedService
    lose: set[int]

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Take a request in, and hang up if its answer is to get lost."""
        answer = await handler(request)
        if request.method == "POST" and (seed := json.loads(await request.read())["seed"]) in self.lose:
            self.lose.remove(seed)
            assert request.transport
            request.transport.abort()
        return answer

    def posts(self) -> list[int]:
        """How often each row was asked for."""
        seeds = [json.loads(post.body)["seed"] for post in self.service.posts]
        return [seeds.count(seed) for seed in range(4)]

    def task_of(self, seed: int) -> str:
        """The id that got lost."""
        (task_id,) = [post.task_id for post in self.service.posts if json.loads(post.body)["seed"] == seed]
        assert task_id
        return task_id


@pytest.fixture
async def forgetful(command_line: CommandLine) -> AsyncIterator[Forgetful]:
    """A service that loses the answers to all four rows of the input."""
    command_line.koi(range(4))
    settings = EmulatorSettings(latency=fixed(0.05), small_pictures=True)
    forgetful = Forgetful(EmulatedService(settings, [KEY], random.Random(1)), {0, 1, 2, 3})
    application = WebSide(forgetful.service, draw, allow_remote=False).application()
    application.middlewares.append(forgetful.answer)
    async with TestServer(application) as server:
        command_line.environment |= {"HUNYUAN_BASE_URL": str(server.make_url("/api/v1")), "HUNYUAN_API_KEY": KEY}
        yield forgetful


async def test_what_nobody_knows_is_held_and_resolved_by_a_person(
    command_line: CommandLine, forgetful: Forgetful
) -> None:
    """In any of four ways; each costs what the person said that it costs, and only then is anything sent again."""
    ended = await command_line.run(*BATCH)
    assert (ended.code, command_line.statuses()) == (3, {"unknown": 4})
    assert "unknown 4   to go 0\n0 credits spent, 100 at risk" in ended.stderr
    assert "\nUnknown: hunyuan unknown out\n" in ended.stderr
    listed = await command_line.run("unknown", "out")
    assert (listed.code, listed.stdout.count(b"25 credits at risk")) == (3, 4)
    for command in (BATCH, ("resume", "out"), ("resume", "out", "--retry-failed", "--retry", "unknown")):
        assert (await command_line.run(*command)).code == 3
    assert forgetful.posts() == [1, 1, 1, 1]

    task_id = forgetful.task_of(0)
    ways = (["k0", "--task-id", task_id], ["k1", "--not-charged"], ["k2", "--resubmit"], ["k3", "--abandon"])
    for way in ways:
        resolved = await command_line.run("resolve", "out", *way)
        assert (resolved.code, resolved.stderr.splitlines()[0]) == (0, "1 resolved")
    again = await command_line.run("resolve", "out", "k3", "--not-charged")
    assert (again.code, "The outcome of 'k3' is not unknown" in again.stderr) == (2, True)
    assert forgetful.posts() == [1, 1, 1, 1]

    resumed = await command_line.run("resume", "out")
    assert (resumed.code, forgetful.posts()) == (1, [1, 2, 2, 1])
    lines = command_line.results()
    assert [(line["status"], line["attempt"], line["credits"]) for line in lines] == [
        ("succeeded", 1, 25),
        ("succeeded", 2, 25),
        ("succeeded", 2, 25),
        ("failed", 1, 25),
    ]
    assert lines[0]["task_id"] == task_id
    assert "75 credits spent, 50 at risk" in resumed.stderr
    assert (await command_line.run("unknown", "out")).code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["k0"], "say one thing"),
        (["k0", "--task-id", "n1_hunyuan3", "--abandon"], "say one thing"),
        (["k0", "--task-id", "no id"], "is no task id"),
        (["--all", "--task-id", "n1_hunyuan3"], "resolve them one by one"),
        (["k0", "k9", "--abandon"], "The outcome of 'k9' is not unknown"),
        (["--abandon"], "name the items"),
    ],
)
async def test_what_makes_no_sense_resolves_nothing(
    command_line: CommandLine, forgetful: Forgetful, arguments: list[str], told: str
) -> None:
    """Nothing is written then, not even about items that could be resolved."""
    assert (await command_line.run(*BATCH, "--limit", "2")).code == 3
    refused = await command_line.run("resolve", "out", *arguments)
    assert (refused.code, told in refused.stderr) == (2, True), refused.stderr
    listed = await command_line.run("unknown", "out")
    assert listed.stdout.count(b"at risk") == 2


@pytest.mark.parametrize(
    ("first", "then", "ends", "code", "posts"),
    [
        ("hold", "resubmit", {"succeeded": 4}, 0, [2, 2, 1, 1]),
        ("hold", "fail", {"succeeded": 2, "failed": 2}, 1, [1, 1, 1, 1]),
        ("resubmit", None, {"succeeded": 4}, 0, [2, 2, 1, 1]),
        ("fail", None, {"succeeded": 2, "failed": 2}, 1, [1, 1, 1, 1]),
    ],
)
async def test_a_run_may_be_told_what_to_do(
    command_line: CommandLine,
    forgetful: Forgetful,
    first: str,
    then: str | None,
    ends: dict[str, int],
    code: int,
    posts: list[int],
) -> None:
    """At once or later; what may be paid stays counted."""
    forgetful.lose -= {2, 3}
    ended = await command_line.run(*BATCH, "--on-unknown", first)
    if then:
        assert (ended.code, command_line.statuses()) == (3, {"succeeded": 2, "unknown": 2})
        ended = await command_line.run("resume", "out", "--on-unknown", then)
    assert (ended.code, command_line.statuses(), forgetful.posts()) == (code, ends, posts)
    assert f"{25 * ends['succeeded']} credits spent, 50 at risk" in ended.stderr


async def test_what_is_lost_again_is_not_sent_a_third_time(command_line: CommandLine, forgetful: Forgetful) -> None:
    """Each command sends it once more at most."""
    forgetful.lose = {0}
    first = await command_line.run(*BATCH, "--limit", "1")
    forgetful.lose = {0}
    again = await command_line.run("resume", "out", "--on-unknown", "resubmit")
    assert (first.code, again.code, forgetful.posts()) == (3, 0, [3, 0, 0, 0])


async def test_what_is_at_risk_counts_against_a_budget(command_line: CommandLine, forgetful: Forgetful) -> None:
    """Nobody overspends because an answer got lost."""
    ended = await command_line.run(*BATCH, "--max-credits", "50")
    assert (ended.code, forgetful.posts()) == (6, [1, 1, 0, 0])
    cleared = await command_line.run("resolve", "out", "k0", "--not-charged")
    resumed = await command_line.run("resume", "out", "--max-credits", "75")
    assert (cleared.code, resumed.code, sum(forgetful.posts())) == (0, 6, 4)
