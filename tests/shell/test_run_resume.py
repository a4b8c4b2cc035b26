"""A run in a directory: how it takes up what was left, what it may spend, and how it stops."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs
import pytest

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._journal.disk import JOURNAL
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.client import Client
from hunyuan_async.errors import (
    AuthError,
    BudgetExceeded,
    InvalidRequest,
    JournalError,
    NotSent,
    OutOfCredits,
    SubmitUnknown,
)
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.run import Run
from hunyuan_async.settings import Limits
from hunyuan_async.testing import NoReply, Reply, ScriptedTransport, accepted, finished, refused
from hunyuan_async.transport import BeforeSend

if TYPE_CHECKING:
    from tests.shell.conftest import WriteRun

Connect = Callable[..., Client]
MakeItem = Callable[..., Item]

SILENT = Reply(500, b"")


@attrs.define
class Service:
    """What the service knows.

    Attributes:
        posts: The ids of the items that it was asked for.
        issued: Whose image each task is.
        answers: What it says to an item's next POSTs, instead of accepting them.
    """

    posts: list[str] = attrs.field(factory=list)
    issued: dict[str, str] = attrs.field(factory=dict)
    answers: dict[str, list[Reply]] = attrs.field(factory=dict)
    _arrived: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def answer(self, request: ImageRequest) -> Reply:
        """Take a POST."""
        assert request.id
        self.posts.append(request.id)
        self._arrived.set()
        if scripted := self.answers.get(request.id):
            return scripted.pop(0)
        task_id = f"t{len(self.posts)}"
        self.issued[task_id] = request.id
        return accepted(task_id)

    async def has_received(self, posts: int) -> None:
        """Wait for so many POSTs."""
        while len(self.posts) < posts:
            self._arrived.clear()
            await self._arrived.wait()


class Line(ScriptedTransport):
    """The way to a service; a POST that is let go arrives, whatever the client does."""

    def __init__(self, service: Service, image: bytes) -> None:
        super().__init__(poll=finished, image=image)
        self._service = service

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Connect, ask whether to send, send."""
        await asyncio.sleep(0.01)
        await before_send()
        self.submits.append(request)
        answer = self._service.answer(request)
        await asyncio.sleep(0.1)
        return answer


def koi(count: int, first: int = 0) -> list[ImageRequest]:
    """Requests for x0, x1, ..."""
    return [ImageRequest(f"koi {number}", id=f"x{number}") for number in range(first, first + count)]


async def outcomes(run: Run) -> list[Outcome]:
    """Take a run to its end."""
    return [outcome async for outcome in run]


def states(directory: Path) -> dict[str, State]:
    """Where the items stand, by the journal."""
    with JournalReader.read_only(directory / JOURNAL, directory) as reader:
        record = reader.only_run()
        return {item.id: item.state for item in reader.latest(record.run)} if record else {}


def credits(directory: Path) -> tuple[int, int]:
    """What was spent, and what is at risk, by the journal."""
    with JournalReader.read_only(directory / JOURNAL) as reader:
        record = reader.only_run()
        assert record
        return reader.credits(record.run)


async def test_each_item_goes_on_from_where_it_stood(
    connect: Connect, write_run: WriteRun, batch_item: MakeItem, png: bytes
) -> None:
    """What is planned is sent, what is paid is looked at, what is finished is fetched; what was on its way is held."""
    left = [State.PLANNED, State.SENDING, State.SUBMITTED, State.COMPLETED, State.UNKNOWN, State.REJECTED]
    lost = {"error": SubmitUnknown("no answer")}
    directory = write_run(
        *(batch_item(number, state, **lost if state is State.UNKNOWN else {}) for number, state in enumerate(left))
    )
    transport = Line(Service(), png)

    async with Run(directory, client=connect(transport)) as run:
        made = await outcomes(run)
        unknown = await run.unknown()

    assert [request.id for request in transport.submits] == ["x0"]
    assert Counter(transport.looks) == {"n2": 1, "t1": 1}
    assert Counter(transport.fetches).keys() == {
        "https://cdn.example/a",
        *(f"https://images.example/{task}.png" for task in ("n2", "t1")),
    }
    assert {outcome.request.id for outcome in made if outcome.request and outcome.ok} == {"x0", "x2", "x3"}
    assert {outcome.request.id for outcome in unknown if outcome.request} == {"x1", "x4"}
    assert [*states(directory).values()] == [
        State.DOWNLOADED,
        State.UNKNOWN,
        State.DOWNLOADED,
        State.DOWNLOADED,
        State.UNKNOWN,
        State.REJECTED,
    ]


@pytest.mark.parametrize("verify", [False, True])
async def test_images_that_are_not_as_they_were_saved_are_fetched_again(
    connect: Connect, tmp_path: Path, png: bytes, verify: bool
) -> None:
    """One that is gone or shorter is noticed by its size; one that was altered, by its checksum if asked."""
    service = Service()
    async with Run(tmp_path, client=connect(Line(service, png))) as run:
        await run.add(koi(4))
        files = {outcome.request.id: outcome.files[0].path async for outcome in run if outcome.request}
    files["x0"].unlink()
    files["x1"].write_bytes(png[:-1])
    files["x2"].write_bytes(bytes(len(png)))
    again = Line(service, png)

    async with Run(tmp_path, client=connect(again), verify=verify) as run:
        made = await outcomes(run)

    noticed = {"x0", "x1", "x2"} if verify else {"x0", "x1"}
    assert {outcome.request.id for outcome in made if outcome.request} == noticed
    assert (again.submits, again.looks, len(again.fetches)) == ([], [], len(noticed))
    assert all(files[item_id].read_bytes() == png for item_id in {*noticed, "x3"})


@pytest.mark.parametrize(
    ("other", "admitted"),
    [({"base_url": "https://other.example/v1"}, "base_url_changed"), ({"api_key": "another-key"}, "key_changed")],
    ids=["address", "key"],
)
async def test_a_run_belongs_to_one_address_and_one_key(
    connect: Connect, tmp_path: Path, png: bytes, other: dict[str, str], admitted: str
) -> None:
    """With another one nothing is asked of anybody, unless a person says that it is the same account."""
    service = Service()
    async with Run(tmp_path, client=connect(Line(service, png), api_key="the-first-key")) as run:
        await run.add(koi(1))
    transport = Line(service, png)
    client = connect(transport, **{"api_key": "the-first-key", **other})

    with pytest.raises(InvalidRequest, match=r"was begun (at|with another)"):
        async with Run(tmp_path, client=client):
            raise AssertionError("it was let in")
    assert (transport.submits, transport.looks) == ([], [])

    async with Run(tmp_path, client=client, **{admitted: True}) as run:  # type: ignore[arg-type]
        await outcomes(run)
    async with Run(tmp_path, client=client) as run:
        assert await run.counts() == {"downloaded": 1}


async def test_a_limit_counts_what_earlier_processes_spent_and_risked(
    connect: Connect, tmp_path: Path, png: bytes
) -> None:
    """However many go out at once, and whichever process they went out from, there is never one POST too many."""
    service = Service(answers={"x1": [SILENT]})
    for limit, posts in [(100, 4), (100, 4), (200, 8), (210, 8)]:
        async with Run(tmp_path, client=connect(Line(service, png)), max_credits=limit) as run:
            await run.add(koi(30))
            with pytest.raises(BudgetExceeded):
                await outcomes(run)
            statistics = run.statistics()
        assert len(service.posts) == posts
        assert (statistics.credits_spent, statistics.credits_at_risk) == (25 * posts - 25, 25)
    assert max(Counter(service.posts).values()) == 1


@pytest.mark.parametrize(
    ("on_unknown", "posts", "state", "costs"),
    [
        ("hold", 1, State.UNKNOWN, (0, 25)),
        ("resubmit", 2, State.DOWNLOADED, (25, 25)),
        ("fail", 1, State.ABANDONED, (0, 25)),
    ],
)
async def test_unknown_outcomes_are_dealt_with_as_was_said(
    connect: Connect,
    tmp_path: Path,
    png: bytes,
    on_unknown: Literal["hold", "resubmit", "fail"],
    posts: int,
    state: State,
    costs: tuple[int, int],
) -> None:
    """They are left to a person, sent once more, or given up; what they may have cost is never forgotten."""
    service = Service(answers={"x0": [SILENT]})
    async with Run(tmp_path, client=connect(Line(service, png))) as run:
        await run.add(koi(1))
        await outcomes(run)

    for _ in range(2):
        async with Run(tmp_path, client=connect(Line(service, png)), on_unknown=on_unknown) as run:
            await outcomes(run)
            statistics = run.statistics()

    assert (len(service.posts), states(tmp_path)["x0"], credits(tmp_path)) == (posts, state, costs)
    assert (statistics.credits_spent, statistics.credits_at_risk) == costs


async def test_an_unknown_outcome_is_sent_again_once_and_not_for_ever(
    connect: Connect, tmp_path: Path, png: bytes
) -> None:
    """If the second POST is not answered either, it waits for the next process."""
    service = Service(answers={"x0": [SILENT] * 9})
    async with Run(tmp_path, client=connect(Line(service, png)), on_unknown="resubmit") as run:
        await run.add(koi(1))
        await outcomes(run)

    assert (len(service.posts), states(tmp_path), credits(tmp_path)) == (2, {"x0": State.UNKNOWN}, (0, 50))


@pytest.mark.parametrize(
    ("resolution", "before", "after", "state", "posts"),
    [
        ("accepted", (25, 0), (25, 0), State.DOWNLOADED, 1),
        ("not_charged", (0, 0), (25, 0), State.DOWNLOADED, 2),
        ("resubmit", (0, 25), (25, 25), State.DOWNLOADED, 2),
        ("abandon", (0, 25), (0, 25), State.ABANDONED, 1),
    ],
)
async def test_a_person_says_what_became_of_an_unknown_outcome(
    connect: Connect,
    tmp_path: Path,
    png: bytes,
    resolution: Literal["accepted", "not_charged", "resubmit", "abandon"],
    before: tuple[int, int],
    after: tuple[int, int],
    state: State,
    posts: int,
) -> None:
    """The credits follow at once, and the next pass makes or fetches what is to be made or fetched."""
    service = Service(answers={"x0": [SILENT]})
    async with Run(tmp_path, client=connect(Line(service, png))) as run:
        await run.add(koi(1))
        await outcomes(run)
        with pytest.raises(InvalidRequest, match="not unknown"):
            await run.resolve(["x0", "x7"], "abandon")
        await run.resolve(["x0"], resolution, task_id="found" if resolution == "accepted" else None)
        statistics = run.statistics()
        assert (statistics.credits_spent, statistics.credits_at_risk) == credits(tmp_path) == before
        await outcomes(run)
        statistics = run.statistics()

    assert (statistics.credits_spent, statistics.credits_at_risk) == credits(tmp_path) == after
    assert (states(tmp_path)["x0"], len(service.posts)) == (state, posts)


@pytest.mark.parametrize(
    ("answer", "error", "tries"), [(refused(402), OutOfCredits, 1), (refused(401), AuthError, 2)], ids=["402", "401"]
)
async def test_an_account_that_cannot_pay_stops_the_sending_and_nothing_else(
    connect: Connect, tmp_path: Path, png: bytes, answer: Reply, error: type[Exception], tries: int
) -> None:
    """What is paid is collected; once the trouble is over, another process sends the rest."""
    service = Service(answers={f"x{number}": [answer] * 2 for number in range(5, 20)})
    slow = Limits(rate=5, in_flight=20)
    async with Run(tmp_path, client=connect(Line(service, png), limits=slow)) as run:
        await run.add(koi(20))
        with pytest.raises(error):
            await outcomes(run)

    assert Counter(states(tmp_path).values()) == {State.DOWNLOADED: 5, State.PLANNED: 15}
    assert len(service.posts) == 5 + tries
    service.answers.clear()
    async with Run(tmp_path, client=connect(Line(service, png))) as run:
        await outcomes(run)
    assert Counter(states(tmp_path).values()) == {State.DOWNLOADED: 20}
    assert len(service.issued) == 20


async def test_two_runs_of_one_client_share_nothing_but_its_limits(
    connect: Connect, tmp_path: Path, png: bytes
) -> None:
    """Each has its journal, its items and its credits; one may end while the other goes on."""
    service = Service()
    client = connect(Line(service, png), limits=Limits(rate=50, in_flight=4))
    async with Run(tmp_path / "a", client=client) as one, Run(tmp_path / "b", client=client, max_credits=100) as other:
        await one.add(koi(12))
        await other.add(koi(9))
        results = await asyncio.gather(outcomes(one), outcomes(other), return_exceptions=True)
        spent = one.statistics().credits_spent, other.statistics().credits_spent

    assert isinstance(results[1], BudgetExceeded)
    assert Counter(states(tmp_path / "a").values()) == {State.DOWNLOADED: 12}
    assert Counter(states(tmp_path / "b").values()) == {State.DOWNLOADED: 4, State.PLANNED: 5}
    assert spent == (300, 100)
    assert client.statistics().credits_spent == 400


async def test_a_directory_is_not_opened_twice(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """Not even by one client; the first run goes on."""
    client = connect(Line(Service(), png))
    async with Run(tmp_path, client=client) as run:
        await run.add(koi(2))
        with pytest.raises(JournalError, match="in use by process"):
            async with Run(tmp_path, client=client):
                raise AssertionError("it was let in")
        assert len(await outcomes(run)) == 2


async def test_requests_may_be_added_while_others_are_made(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """They are made in the same pass as long as it reads, else in the next one."""
    service = Service()
    async with Run(tmp_path, client=connect(Line(service, png), limits=Limits(rate=20, in_flight=2))) as run:
        await run.add(koi(3))
        made = 0
        while (await run.counts()).get("planned"):
            async for _ in run:
                made += 1
                await run.add(koi(1, first=100 + made) if made < 10 else [])

    assert made == 12
    assert {*states(tmp_path).values()} == {State.DOWNLOADED}
    assert max(Counter(service.posts).values()) == 1


async def test_a_client_that_closes_under_a_run_ends_it(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """Answers on their way are stored, and the rest is left for another process."""
    service = Service()
    client = connect(Line(service, png), limits=Limits(rate=20, in_flight=5))
    async with Run(tmp_path, client=client) as run:
        await run.add(koi(10))
        reading = asyncio.ensure_future(outcomes(run))
        await service.has_received(3)
        await client.aclose()
        with pytest.raises(NotSent):
            await reading

    left = states(tmp_path)
    assert {item_id for item_id, state in left.items() if state is not State.PLANNED} == {*service.issued.values()}
    assert State.UNKNOWN not in left.values()
    async with Run(tmp_path, client=connect(Line(service, png))) as run:
        await outcomes(run)
    assert Counter(states(tmp_path).values()) == {State.DOWNLOADED: 10}
    assert len(service.posts) == 10
