"""The rules that money hangs on, through the real engine: what is recorded when, and what is sent again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import attrs
import pytest

from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._core.replies import Fetched
from hunyuan_async._targets import Target
from hunyuan_async.errors import HunyuanError, JournalError, TaskFailed
from hunyuan_async.events import Paused, PutOff, Sending
from hunyuan_async.models import ImageRequest, Outcome, TaskState, TaskStatus
from hunyuan_async.settings import API_IN_ONE, Timeouts
from hunyuan_async.testing import NoReply, Reply, ScriptedTransport, accepted, finished, refused
from hunyuan_async.transport import BeforeSend

if TYPE_CHECKING:
    from tests.shell.conftest import Bench

    Build = Callable[..., Bench]

HTML = b"<html>gateway</html>"
UNREACHABLE = NoReply("connection refused", sent=False)
CUT_OFF = Reply(200, b'{"code": 200, "data": {"task_id": "t1", "sta', complete=False)
FAILED = Reply(200, b'{"data": {"task_id": "t1", "status": "failed", "error": "no"}}')


class Answering(ScriptedTransport):
    """Answers submits in turn, the last answer for ever, and notes when anything leaves."""

    def __init__(self, *answers: Reply | NoReply, poll: Callable[[str], Reply | NoReply] = finished) -> None:
        self._answers = itertools.chain(answers, itertools.repeat(answers[-1]))
        super().__init__(submit=lambda _: next(self._answers), poll=poll)
        self.left_at: list[float] = []

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Answer a submit."""
        self.left_at.append(now())
        return await super().submit(request, before_send)

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Answer a look."""
        self.left_at.append(now())
        return await super().poll(task_id)


class Hookless(Answering):
    """Never awaits the hook, as a transport whose contract broke."""

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Answer a submit that nobody could hold back."""
        return next(self._answers)


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


def kind_of(outcome: Outcome) -> tuple[str, str] | None:
    """What an outcome's error says about money."""
    return (outcome.error.kind, outcome.error.charged) if outcome.error else None


async def test_each_step_is_stored_before_anything_relies_on_it(bench: Build, tmp_path: Path, png: bytes) -> None:
    """However slow the disk: no POST before `send`, no look before `accept`, no fetch before `complete` is stored."""
    one = bench(ScriptedTransport(image=png, seconds=0.0))
    one.diary.seconds = 60.0
    seen, files = one.transport, tmp_path
    one.diary.view = lambda: (len(seen.submits), len(seen.looks), len(seen.fetches), len([*files.iterdir()]))

    outcome = await one.make(target=Target(tmp_path / "fox"))

    assert outcome.ok
    assert one.diary.steps == ["send", "accept", "complete", "save"]
    assert one.diary.views == [(0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0), (1, 1, 1, 1)]


@pytest.mark.parametrize("task_id", ["t1", ""])
async def test_images_that_come_with_the_acceptance_are_stored_with_it(bench: Build, task_id: str) -> None:
    """A process that dies next has lost nothing, though nobody could look again without an id; and nobody looks."""
    body = f'{{"data": {{"task_id": "{task_id}", "outputs": ["https://images.example/1.png"]}}}}'.encode()
    one = bench(Answering(Reply(200, body)))
    one.diary.view = lambda: one.diary.items[-1].completion

    outcome = await one.make()

    assert outcome.result
    assert outcome.result.urls == ("https://images.example/1.png",)
    assert one.diary.steps == ["send", "accept", "complete"]
    assert [seen and seen.raw for seen in cast("list[TaskStatus | None]", one.diary.views)] == [None, body, body]
    assert not one.transport.looks


async def test_images_that_came_with_the_acceptance_need_no_look_later(bench: Build) -> None:
    """A process that finds them in the journal goes on from there."""
    one = bench()
    done = TaskStatus("", TaskState.COMPLETED, ("https://images.example/1.png",))
    item = Item("a", ImageRequest("a fox"), 25, State.SUBMITTED, "", completion=done)

    outcome = await one.engine.start(item)

    assert outcome.result
    assert outcome.result.urls == done.urls
    assert not one.transport.looks


@pytest.mark.parametrize(
    ("answer", "kind", "charged"),
    [
        (NoReply("connection reset", sent=True), "unknown", "unknown"),
        (Reply(500, HTML), "unknown", "unknown"),
        (Reply(503, HTML), "unknown", "unknown"),
        (Reply(408), "unknown", "unknown"),
        (Reply(200, HTML), "unknown", "unknown"),
        (Reply(200), "unknown", "unknown"),
        (refused(400), "rejected", "no"),
        (refused(400, "violates the content policy"), "refused", "no"),
        (Reply(307, headers={"location": "https://elsewhere.example/"}), "rejected", "no"),
    ],
    ids=["no-answer", "500", "503-html", "408", "200-html", "200-empty", "400", "policy", "redirect"],
)
async def test_what_left_is_never_sent_again_by_itself(
    bench: Build, answer: Reply | NoReply, kind: str, charged: str
) -> None:
    """A refusal ends the item, an answer that proves nothing makes it unknown; either way one POST left."""
    one = bench(Answering(answer))

    outcome = await one.make()

    assert kind_of(outcome) == (kind, charged)
    assert one.diary.steps == ["send", "lose_answer" if kind == "unknown" else "reject"]
    assert len(one.transport.submits) == 1
    assert one.statistics.credits_at_risk == (25 if kind == "unknown" else 0)


@pytest.mark.parametrize(
    ("answer", "steps"),
    [
        (UNREACHABLE, ["send"]),
        (refused(429), ["send", "take_back", "send"]),
        (refused(503), ["send", "take_back", "send"]),
        (Reply(421), ["send", "take_back", "send"]),
    ],
    ids=["unreachable", "429", "503", "421"],
)
async def test_what_was_not_accepted_for_now_is_sent_again_after_a_pause(
    bench: Build, answer: Reply | NoReply, steps: list[str]
) -> None:
    """A submit that never left or was refused for now waits, with everybody else, and goes again."""
    one = bench(Answering(answer, accepted("t1")))

    outcome = await one.make()

    assert outcome.ok
    assert one.diary.steps == [*steps, "accept", "complete"]
    told = [type(event) for event in one.events]
    assert (told.count(Sending), told.count(PutOff)) == (len(one.transport.submits), steps.count("take_back"))
    assert [event.seconds for event in one.events if isinstance(event, Paused)] != []


class Expired(Answering):
    """Has no image any more."""

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched:
        """Answer as a store whose signature has run out."""
        self.fetches.append(url)
        return Fetched(403)


@pytest.mark.parametrize(
    ("look", "steps", "kind", "retry"),
    [
        (Reply(502, HTML), [], "download", "same"),
        (UNREACHABLE, [], "download", "same"),
        (refused(401), [], "download", "same"),
        (refused(404), ["expire"], "expired", "no"),
        (FAILED, ["expire"], "expired", "no"),
    ],
    ids=["502", "no-answer", "401", "404", "failed"],
)
async def test_only_a_clear_answer_lets_an_image_expire(
    bench: Build, tmp_path: Path, look: Reply | NoReply, steps: list[str], kind: str, retry: str
) -> None:
    """An address that does not work any more proves nothing: unless the service says so, the next process goes on."""
    looks = itertools.chain([finished("t1")], itertools.repeat(look))
    one = bench(Expired(accepted("t1"), poll=lambda _: next(looks)))
    item = Item("fox", ImageRequest("a fox"), 25)

    outcome = await one.make(item, Target(tmp_path / "fox"))

    assert outcome.error
    assert (outcome.error.kind, outcome.error.retry, outcome.error.task_id) == (kind, retry, "t1")
    assert one.diary.steps == ["send", "accept", "complete", *steps]
    assert item.state is (State.EXPIRED if steps else State.COMPLETED)


async def test_an_image_does_not_expire_because_the_client_closes(bench: Build, tmp_path: Path) -> None:
    """Whoever goes on later may still get a fresh address."""
    fetched = asyncio.Event()

    class Noticed(Expired):
        async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched:
            fetched.set()
            return await super().fetch(url, write)

    one = bench(Noticed(accepted("t1")))
    making = asyncio.create_task(one.make(target=Target(tmp_path / "fox")))
    await fetched.wait()
    await one.engine.aclose()

    assert kind_of(await making) == ("download", "yes")
    assert one.diary.steps == ["send", "accept", "complete"]


async def test_an_image_of_no_shape_that_we_know_stays_paid(bench: Build) -> None:
    """It is no failure that costs nothing: the answer is kept as it came, for somebody to look once more."""
    strange = Reply(200, b'{"data": {"task_id": "t1", "status": "completed", "outputs": [{"blob": 7}]}}')
    service = attrs.evolve(API_IN_ONE, credits_per_failure=0)
    one = bench(Answering(accepted("t1"), poll=lambda _: strange), service=service)

    assert kind_of(await one.make()) == ("task_failed", "yes")

    stored = one.diary.items[-1]
    assert (one.diary.steps, stored.credits, one.statistics.credits_spent) == (["send", "accept", "complete"], 25, 25)
    assert stored.completion
    assert (stored.completion.urls, stored.completion.raw) == ((), strange.body)


@pytest.mark.parametrize(
    ("transport", "told"),
    [
        (Answering(refused(429), refused(400)), {"take_back": "limited", "reject": "rejected"}),
        (Answering(refused(401)), {"take_back": "auth"}),
        (Answering(refused(402)), {"take_back": "credits"}),
        (Answering(Reply(500)), {"lose_answer": "unknown"}),
        (
            Answering(refused(429), accepted("t1"), poll=lambda _: FAILED),
            {"take_back": "limited", "fail": "task_failed"},
        ),
        (Answering(accepted("t1"), poll=lambda _: refused(404)), {"lose_task": "lost"}),
        (Expired(refused(429), accepted("t1")), {"take_back": "limited", "expire": "expired"}),
    ],
    ids=["400", "401", "402", "500", "failed", "lost", "expired"],
)
async def test_what_is_stored_tells_when_it_was_sent_and_why_it_ended(
    bench: Build, tmp_path: Path, transport: Answering, told: dict[str, str]
) -> None:
    """Each step that ends an item or puts it off names the reason, and every other step names none."""
    one = bench(transport)

    await one.make(target=Target(tmp_path / "fox"))

    stored = {*zip(one.diary.steps, (item.error and item.error.kind for item in one.diary.items), strict=True)}
    assert {(step, told.get(step)) for step in one.diary.steps} == stored
    assert {*told} <= {*one.diary.steps}
    assert all(item.sending_at for item in one.diary.items)


async def test_a_submit_that_was_put_off_keeps_its_place(bench: Build) -> None:
    """It goes again before those who came later."""
    one = bench(Answering(UNREACHABLE, refused(429), accepted("t1")), slots=1)

    await asyncio.gather(*map(one.make, "abc"))

    assert [request.prompt for request in one.transport.submits] == ["a", "a", "b", "c"]


@pytest.mark.parametrize(("named", "pause"), [("7", 7.0), ("86400", 300.0)])
async def test_a_limit_holds_everybody_back(bench: Build, named: str, pause: float) -> None:
    """After "too many requests", neither a submit nor a look leaves before the time that the service named, capped."""
    transport = Answering(accepted("t1"), refused(429, retry_after=named), accepted("t2"))
    one = bench(transport, slots=2)

    await asyncio.gather(*map(one.make, "abc"))

    limited_at = transport.left_at[1] + 0.1
    assert [left_at for left_at in transport.left_at if limited_at <= left_at < limited_at + pause - 0.1] == []
    assert [event.seconds for event in one.events if isinstance(event, Paused)] == [pause]
    assert len(transport.left_at) == 7
    assert one.statistics.limited == 1


@pytest.mark.parametrize(
    ("answer", "kind"), [(UNREACHABLE, "not_sent"), (refused(429), "limited"), (refused(503), "service")]
)
async def test_trouble_ends_after_its_time_for_the_whole_queue(bench: Build, answer: NoReply, kind: str) -> None:
    """A service that takes nothing for `timeouts.trouble` ends the items under way and the waiting ones, unpaid."""
    one = bench(Answering(answer), timeouts=Timeouts(trouble=60), slots=2)

    ends = await asyncio.gather(*map(one.make, "abcde"), return_exceptions=True)

    errors = [end.error if isinstance(end, Outcome) else end for end in ends]
    assert [isinstance(error, HunyuanError) and (error.kind, error.charged) for error in errors] == [(kind, "no")] * 5
    assert len({id(error) for error in errors}) == 5
    assert 60 <= now() < 120


async def test_old_trouble_does_not_count(bench: Build) -> None:
    """A limit that nobody waited out leaves the next item its whole patience."""
    one = bench(Answering(refused(429), refused(429), accepted("t1")), timeouts=Timeouts(trouble=60))
    item = asyncio.create_task(one.make())
    await asyncio.sleep(0.12)
    [(running, planned)] = one.engine.running.items()
    one.engine.disown(planned, running)
    with pytest.raises(asyncio.CancelledError):
        await item
    await asyncio.sleep(3600)

    assert (await one.make()).ok


async def test_what_is_limited_while_others_are_accepted_is_no_trouble(bench: Build) -> None:
    """An item that is put off again and again waits on, as long as the service takes anything at all."""
    unlucky = itertools.chain(itertools.repeat(refused(429, retry_after="7"), 3), [accepted("t0")])
    answers = {"unlucky": unlucky, "lucky": map(accepted, map("t{}".format, itertools.count(1)))}
    transport = ScriptedTransport(submit=lambda request: next(answers[request.prompt]), poll=finished)
    one = bench(transport, timeouts=Timeouts(trouble=10))

    outcomes = await asyncio.gather(*map(one.make, ["unlucky", *["lucky"] * 100]))

    assert all(outcome.ok for outcome in outcomes)
    assert [event.seconds for event in one.events if isinstance(event, Paused)] == pytest.approx([7, 7, 7])


@pytest.mark.parametrize(("status", "kind"), [(429, "limited"), (401, "auth")])
async def test_what_is_refused_for_now_after_its_caller_left_is_not_sent_again(
    bench: Build, status: int, kind: str
) -> None:
    """It is not paid, so it need not be."""
    one = bench(Answering(refused(status)))
    making = asyncio.create_task(one.make())
    await asyncio.sleep(0.05)
    [(running, item)] = one.engine.running.items()
    one.engine.disown(item, running)

    assert kind_of(await making) == (kind, "no")
    assert one.diary.steps == ["send", "take_back"]


@pytest.mark.parametrize("broken", [JournalError("disk full"), OSError("not ours")], ids=["journal", "bug"])
async def test_what_cannot_be_stored_is_not_sent(bench: Build, broken: Exception) -> None:
    """An exception from storing `send` holds the POST back and frees slot and credits for others."""
    one = bench(slots=1)
    one.diary.broken = {Step.SEND: broken}

    [ended] = await asyncio.gather(one.make(), return_exceptions=True)

    assert (ended.error if isinstance(ended, Outcome) else ended) is broken
    assert (one.transport.submits, one.statistics.submits) == ([], 0)
    one.diary.broken = {}
    assert (await one.make()).ok


@pytest.mark.parametrize(
    ("step", "answer", "charged", "spent", "at_risk"),
    [
        (Step.ACCEPT, accepted("t1"), "yes", 25, 0),
        (Step.COMPLETE, accepted("t1"), "yes", 25, 0),
        (Step.LOSE_ANSWER, Reply(500), "unknown", 0, 25),
        (Step.TAKE_BACK, refused(429), "unknown", 0, 0),
        (Step.REJECT, refused(400), "unknown", 0, 0),
    ],
)
async def test_a_disk_that_fails_after_the_post_loses_no_id(
    bench: Build,
    caplog: pytest.LogCaptureFixture,
    step: Step,
    answer: Reply,
    charged: str,
    spent: int,
    at_risk: int,
) -> None:
    """The error and the log name the paid task, it says what is at stake, and no slot or credit stays taken."""
    one = bench(Answering(answer))
    one.diary.broken = {step: JournalError("disk full")}
    one.diary.broken[step].__cause__ = OSError("as a journal names it")

    outcome = await one.make()

    assert isinstance(outcome.error, JournalError)
    assert (outcome.error.charged, outcome.error.retry) == (charged, "no")
    assert ("Task t1 is paid" in outcome.error.message, "Task t1 is paid" in caplog.text) == (charged == "yes",) * 2
    assert outcome.error.task_id == ("t1" if charged == "yes" else None)
    assert (one.statistics.credits_spent, one.statistics.credits_at_risk) == (spent, at_risk)
    assert (one.statistics.in_flight, one.statistics.credits_reserved) == (0, 0)


@pytest.mark.parametrize(
    ("answer", "urls"),
    [
        (finished("t1"), ("https://images.example/t1.png",)),
        (Reply(200, b'{"data": [{"url": "https://images.example/fox.png"}]}'), ("https://images.example/fox.png",)),
    ],
    ids=["with-id", "images-alone"],
)
async def test_a_submit_may_be_answered_with_the_finished_task(bench: Build, answer: Reply, urls: tuple[str]) -> None:
    """Then nobody looks, and the life is recorded as usual."""
    one = bench(Answering(answer))

    outcome = await one.make()

    assert outcome.result is not None
    assert (outcome.result.urls, one.transport.looks) == (urls, [])
    assert one.diary.steps == ["send", "accept", "complete"]


async def test_a_submit_may_be_answered_with_the_failed_task(bench: Build) -> None:
    """It was accepted, so it may be charged, and its failure is recorded."""
    one = bench(Answering(FAILED))

    outcome = await one.make()

    assert isinstance(outcome.error, TaskFailed)
    assert one.diary.steps == ["send", "accept", "fail"]


@pytest.mark.parametrize(
    ("look", "steps"),
    [
        (finished("t1"), ["send", "accept", "complete"]),
        (refused(404), ["send", "lose_answer"]),
        (NoReply("timeout", sent=True), ["send", "lose_answer"]),
    ],
    ids=["confirmed", "denied", "no-answer"],
)
async def test_an_id_from_a_cut_off_answer_counts_once_a_look_confirms_it(
    bench: Build, look: Reply | NoReply, steps: list[str]
) -> None:
    """Without that proof the item is unknown; either way nothing is sent again. What it shows finished is finished."""
    one = bench(Answering(CUT_OFF, poll=lambda _: look))

    outcome = await one.make()

    assert outcome.ok == ("accept" in steps)
    assert one.diary.steps == steps
    assert (len(one.transport.submits), one.transport.looks) == (1, ["t1"])


@pytest.mark.parametrize(
    ("answer", "steps"),
    [(finished("t1"), ["send", "accept", "complete"]), (NoReply("reset", sent=True), ["send", "lose_answer"])],
)
async def test_an_answer_without_the_hook_counts_as_sent(bench: Build, answer: Reply, steps: list[str]) -> None:
    """If a transport did not ask before it sent, the submit is recorded, counted and told all the same."""
    one = bench(Hookless(answer))

    await one.make()

    assert one.diary.steps == steps
    assert one.statistics.submits == 1
    assert isinstance(one.events[0], Sending)


async def test_a_disk_that_fails_when_it_is_too_late_frees_everything(bench: Build) -> None:
    """Without the hook, a failure to store `send` cannot hold the POST back: it is at risk, and nothing leaks."""
    one = bench(Hookless(accepted("t1")))
    one.diary.broken = {Step.SEND: JournalError("disk full")}

    assert kind_of(await one.make()) == ("not_sent", "unknown")
    assert one.statistics.credits_at_risk == 25


async def test_a_transport_that_denies_what_the_hook_saw_is_not_believed(bench: Build) -> None:
    """Once the hook let a submit go, no word of "not sent" frees it to be sent again."""

    class Denying(Answering):
        async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
            await super().submit(request, before_send)
            return UNREACHABLE

    one = bench(Denying(accepted("t1")))

    assert kind_of(await one.make()) == ("unknown", "unknown")
    assert len(one.transport.submits) == 1
