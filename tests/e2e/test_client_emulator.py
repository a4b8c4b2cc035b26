"""The client against the emulator over real sockets; the emulator's log is the judge."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from hunyuan_async.client import Client
from hunyuan_async.emulator import ACCEPTED, FAILURES, SHAPES, Emulator, EmulatorSettings, fixed, uniform
from hunyuan_async.errors import AuthError, ContentRefused, OutOfCredits, SubmitUnknown, TaskFailed
from hunyuan_async.models import ImageRequest, TaskState
from hunyuan_async.settings import Limits, Polling

EAGER = Polling(min_gap=0.02)
FREE = Limits(rate=500, in_flight=200)
QUICK = EmulatorSettings(latency=fixed(0.02), small_pictures=True)
RUNNING = ["IN_PROGRESS", "pending", "queued", "created", "processing", "running", "starting", "submitted", "dreaming"]
DONE = ["completed", "complete", "succeeded", "success", "finished", "done", " SUCCESS "]
FAILED = ["failed", "failure", "error", "cancelled", "canceled", "timeout", "Failed"]


@contextlib.asynccontextmanager
async def served(limits: Limits = FREE, **settings: Any) -> AsyncIterator[tuple[Client, Emulator]]:
    """A client of an emulator that is quick unless told otherwise."""
    behaviour = attrs.evolve(QUICK, **settings)
    async with (
        Emulator(settings=behaviour, seed=1) as emulator,
        Client(emulator.api_key, base_url=emulator.base_url, limits=limits, polling=EAGER) as client,
    ):
        yield client, emulator


def accepted_posts(emulator: Emulator) -> Counter[str]:
    """How often each prompt was accepted, and so paid."""
    return Counter(json.loads(post.body)["prompt"] for post in emulator.posts if post.task_id)


async def test_two_hundred_images_are_made_once_each_and_saved(tmp_path: Path) -> None:
    """As many as `gather` starts: one POST an image, whole files on disk, and the books agree."""
    prompts = [f"koi {number}" for number in range(200)]
    async with served() as (client, emulator):
        results = await asyncio.gather(*map(client.generate, prompts))
        saved = await asyncio.gather(*(client.download(result, tmp_path / result.task_id) for result in results))
        statistics = client.statistics()

    assert accepted_posts(emulator) == Counter(prompts)
    assert len({file.path for files in saved for file in files}) == 200
    assert (len(emulator.posts), statistics.credits_spent) == (200, 25 * 200)


async def test_the_same_seed_makes_the_same_image(
    hunyuan_client: Client, hunyuan_emulator: Emulator, tmp_path: Path
) -> None:
    """The shipped fixtures work together: what was recorded makes the image again."""
    first = await hunyuan_client.generate("a koi pond")
    again = await hunyuan_client.generate("a koi pond", seed=first.seed)

    [one] = await hunyuan_client.download(first, tmp_path / "one.png")
    [two] = await hunyuan_client.download(again, tmp_path / "two.png")
    assert (one.sha256, len(hunyuan_emulator.posts)) == (two.sha256, 2)


async def test_every_shape_of_a_finished_task_is_read(tmp_path: Path) -> None:
    """Wherever the address stands, it is found, and an edit never takes its own input for the result."""
    async with served(shapes=tuple(SHAPES)) as (client, emulator):
        outcomes = {}
        for shape in SHAPES:
            result = await client.edit(shape, "https://images.example/input.png")
            outcomes[shape] = await client.download(result, tmp_path / f"{shape}.png")

    assert {shape for shape, files in outcomes.items() if len(files) == 1} == set(SHAPES)
    assert accepted_posts(emulator) == Counter([*SHAPES])


@pytest.mark.parametrize("shape", ["outputs", "top-outputs"])
async def test_every_shape_of_a_failed_task_is_read(shape: str) -> None:
    """Wherever the reason stands, the error says it."""
    async with served(failures=tuple(FAILURES), shapes=(shape,)) as (client, _):
        for _ in FAILURES:
            with pytest.raises(TaskFailed, match="The image could not be generated") as caught:
                await client.generate("a koi [fail]")
            assert (caught.value.charged, bool(caught.value.task_id)) == ("unknown", True)


@pytest.mark.parametrize(
    "words",
    [
        {"running_words": RUNNING},
        {"done_words": DONE},
        {"failed_words": FAILED},
        {"accepted": [*ACCEPTED]},
        {"finished_at_once": True},
        {"forgets_finished": True},
    ],
    ids=lambda words: next(iter(words)),
)
async def test_every_word_of_the_service_is_understood(words: Mapping[str, Any]) -> None:
    """Running words keep it waiting, done words give the image, failed words the reason; nothing is asked twice."""
    count = 9  # tasks take the words in turn: as many as the longest list has
    async with served(latency=fixed(0.1), **words) as (client, emulator):
        ends = await asyncio.gather(
            *(client.generate(f"{number} {mark}") for number in range(count) for mark in ("", "[fail]")),
            return_exceptions=True,
        )

    assert [type(end).__name__ for end in ends] == ["ImageResult", "TaskFailed"] * count
    assert len(emulator.posts) == 2 * count


@pytest.mark.parametrize("retry_after", [True, False])
@pytest.mark.parametrize("limit", [{"requests_per_second": 20.0}, {"tasks_in_flight": 4}], ids=["rate", "in-flight"])
async def test_limits_of_the_service_cost_time_and_nothing_else(limit: Mapping[str, Any], retry_after: bool) -> None:
    """Asked for far too fast, everything is made, and accepted once each."""
    prompts = [f"koi {number}" for number in range(24)]
    async with served(Limits(rate=100, in_flight=12), latency=fixed(0.2), retry_after=retry_after, **limit) as (
        client,
        emulator,
    ):
        await asyncio.gather(*map(client.generate, prompts))

    assert accepted_posts(emulator) == Counter(prompts)
    limited = sum(one.status == 429 for log in (emulator.posts, emulator.polls) for one in log)
    assert client.statistics().limited == limited > 0


async def test_an_empty_account_is_used_to_the_last_image() -> None:
    """Of five asked for, the three that were paid for arrive, and the error says what to do."""
    async with served(credits=80) as (client, emulator), client.stream(map(str, range(50)), window=1) as outcomes:
        made = [(await anext(outcomes)).ok for _ in range(3)]
        refused = await anext(outcomes)
        with pytest.raises(OutOfCredits, match="Top it up"):
            await anext(outcomes)

    assert (made, refused.ok) == ([True] * 3, False)
    assert sum(accepted_posts(emulator).values()) == 3


async def test_a_refused_prompt_is_that_items_error() -> None:
    """The content policy refuses one request, not the account."""
    async with served() as (client, _):
        with pytest.raises(ContentRefused):
            await client.generate("a koi [refuse]")
        assert (await client.generate("a koi")).urls


async def test_a_wrong_key_is_refused_and_does_not_show_itself() -> None:
    """Nothing is accepted, and no error or repr holds the key."""
    key = "aio_wrong_0123456789"
    async with Emulator() as emulator, Client(key, base_url=emulator.base_url) as client:
        with pytest.raises(AuthError) as caught:
            await client.generate("a koi")
    assert key not in f"{caught.value!r} {vars(caught.value)} {caught.value.__context__!r} {client!r}"


async def test_an_expired_address_is_renewed(tmp_path: Path) -> None:
    """A result that lay around is saved all the same, without a second payment."""
    async with served(url_lifetime=0.2) as (client, emulator):
        result = await client.generate("a koi")
        await asyncio.sleep(0.25)
        [file] = await client.download(result, tmp_path / "koi.png")

    assert file.path.exists()
    assert [get.status for get in emulator.downloads] == [403, 200]
    assert len(emulator.posts) == 1


async def test_another_process_can_take_a_task_up() -> None:
    """All it needs is the id."""
    async with served(latency=fixed(0.2)) as (client, emulator):
        task = await client.submit("a koi")
        async with Client(emulator.api_key, base_url=emulator.base_url, polling=EAGER) as other:
            assert (await other.status(task.id)).state is TaskState.RUNNING
            assert (await other.attach(task.id)).task_id == task.id
    assert len(emulator.posts) == 1


async def test_a_stream_saves_its_images(tmp_path: Path) -> None:
    """Under the requests' own names."""
    async with (
        served() as (client, _),
        client.stream((ImageRequest("a koi", id=f"sku{number}") for number in range(20)), save_to=tmp_path) as outcomes,
    ):
        names = [outcome.files[0].path.name async for outcome in outcomes]

    assert sorted(names) == sorted(f"sku{number}.png" for number in range(20))


def open_files() -> int:
    """How many files and sockets this process has open."""
    gc.collect()
    return len(os.listdir("/dev/fd"))


@pytest.mark.parametrize("latency", [0.0, 0.03, 60.0])
async def test_leaving_a_stream_early_leaves_nothing_behind(latency: float) -> None:
    """No asyncio task, no socket, no warning; every id issued is known."""
    before, tasks = open_files(), asyncio.all_tasks()
    async with served(Limits(rate=500, in_flight=20), latency=fixed(latency)) as (client, emulator):
        handed_over = []
        async with client.stream(map(str, range(1000))) as outcomes:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    async for outcome in outcomes:
                        handed_over.append(outcome.result.task_id if outcome.result else "")
                        if len(handed_over) == 5:
                            break
        on_their_way = client.statistics().credits_reserved // 25
        posts = len(emulator.posts)
        await asyncio.sleep(0.1)
        assert len(emulator.posts) <= posts + on_their_way
        assert {*handed_over, *(task.id for task in client.unclaimed)} == {*emulator.issued}

    assert (open_files(), asyncio.all_tasks()) == (before, tasks)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.05, 0.3])
async def test_closing_in_mid_flight_leaves_nothing_behind(seconds: float) -> None:
    """Whatever stage the requests are in: each caller hears what became of it, and no socket stays open."""
    before, tasks = open_files(), asyncio.all_tasks()
    async with served(Limits(rate=200, in_flight=20), latency=uniform(0.0, 0.5)) as (client, emulator):
        calls = [asyncio.create_task(client.generate(str(number))) for number in range(60)]
        await asyncio.sleep(seconds)
        await client.aclose()
        ends = await asyncio.gather(*calls, return_exceptions=True)

    known = {getattr(end, "task_id", None) for end in ends} - {None}
    assert known == {*emulator.issued}
    assert {getattr(end, "kind", "ok") for end in ends} <= {"ok", "not_sent", "timed_out"}
    del ends, calls
    assert (open_files(), asyncio.all_tasks()) == (before, tasks)


async def test_a_server_that_dies_after_the_request_leaves_it_unknown() -> None:
    """It was sent and may be paid: it is reported, and not sent again."""
    received = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"}"))
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Client("aio_0123456789", base_url=f"http://127.0.0.1:{port}") as client:
        with pytest.raises(SubmitUnknown) as caught:
            await client.generate("a koi")

    assert (caught.value.charged, client.statistics().credits_at_risk, len(received)) == ("unknown", 25, 1)
