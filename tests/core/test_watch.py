"""What a look at a task leads to, look after look."""

import json
from pathlib import Path

import pytest

from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._core.watch import KeepWaiting, Watch, one_look, read_status
from hunyuan_async.errors import (
    AuthError,
    ContentRefused,
    HunyuanError,
    NotSent,
    ServiceUnavailable,
    TaskFailed,
    TaskLost,
    TaskTimedOut,
)
from hunyuan_async.models import TaskState, TaskStatus
from hunyuan_async.settings import API_IN_ONE, Service

TASKS = Path(__file__).parent.parent / "samples" / "tasks"
TASK_ID = "n68abcd_hunyuan3"
URL = "https://cdn.example/1.png"
Verdict = KeepWaiting | TaskStatus | HunyuanError


def watching(deadline_at: float = 1800.0, grace_until: float = 60.0, own_images: tuple[str, ...] = ()) -> Watch:
    """A watch of a task that was accepted at 0."""
    return Watch(TASK_ID, API_IN_ONE, deadline_at, grace_until, own_images)


def body(content: object, status: int = 200) -> Reply:
    """An answer with this JSON body."""
    return Reply(status, json.dumps(content).encode())


def task(status: str, **fields: object) -> Reply:
    """The documented envelope around a task."""
    return body({"code": 200, "message": "success", "data": {"task_id": TASK_ID, "status": status, **fields}})


def refusal(status: int) -> Reply:
    """The documented error."""
    return body({"error": {"code": status, "message": "no", "type": "x"}}, status)


RUNNING = task("IN_PROGRESS")
DONE = task("completed", outputs=[URL])
LINKLESS = task("completed", outputs=[])
FAILED = task("failed", error="out of memory")
# None of these tells how the task stands.
TEACH_NOTHING = {
    "HTML": Reply(200, b"<html>Log in</html>"),
    "empty": Reply(200),
    "no status": body({"code": 200, "message": "success", "data": {"task_id": TASK_ID}}),
    "cut off": Reply(200, DONE.body, complete=False),
    "429": refusal(429),
    "429 inside a 200": Reply(200, refusal(429).body),
    "400": refusal(400),
    "500": Reply(500, b"oops"),
    "502 with a whole task": Reply(502, DONE.body),
    "503": refusal(503),
    "redirect": Reply(302),
    "silence": NoReply("connection lost", sent=True),
    "nothing sent": NoReply("no route", sent=False, permanent=True),
}


def follow(watch: Watch, *seen: Reply | NoReply, start: float = 0.0) -> tuple[Verdict, int, float]:
    """Look as often as the watch asks, the last answer over and over; return how it ended, the looks, and when."""
    now = start
    for number in range(1, 1000):
        verdict = watch.judge(seen[min(number, len(seen)) - 1], now)
        if not isinstance(verdict, KeepWaiting):
            return verdict, number, now
        now += verdict.delay if verdict.delay is not None else 10.0
    raise AssertionError("no end")


def delays(watch: Watch, seen: Reply | NoReply, looks: int) -> list[float | None]:
    """The delays after so many equal answers at once."""
    verdicts = [watch.judge(seen, 0.0) for _ in range(looks)]
    return [verdict.delay for verdict in verdicts if isinstance(verdict, KeepWaiting)]


def test_a_running_task_is_left_to_the_schedule() -> None:
    """The schedule knows best when to look again."""
    assert watching().judge(RUNNING, 1.0) == KeepWaiting()


def test_an_unknown_word_means_still_running() -> None:
    """The word is passed on, to be counted and warned of, safe to print."""
    assert watching().judge(task("Upscaling\x1b"), 1.0) == KeepWaiting(unknown_word="Upscaling\\u001b")


@pytest.mark.parametrize("now", [1.0, 5000.0], ids=["in time", "past the deadline"])
@pytest.mark.parametrize("word", [" Completed ", "SUCCESS", "done"])
def test_a_finished_task(word: str, now: float) -> None:
    """Its images and the untouched body come with it, however late it is."""
    seen = task(word, outputs=[URL])

    assert watching().judge(seen, now) == TaskStatus(TASK_ID, TaskState.COMPLETED, (URL,), raw=seen.body)


def test_images_without_a_status_word_are_a_finished_task() -> None:
    """But never the request's own."""
    watch = watching(own_images=("https://cdn.example/cat.png",))

    assert isinstance(watch.judge(body({"images": ["https://cdn.example/cat.png"]}), 1.0), KeepWaiting)
    verdict = watch.judge(body({"images": ["https://cdn.example/cat.png", URL]}), 1.0)
    assert isinstance(verdict, TaskStatus)
    assert (verdict.state, verdict.urls) == (TaskState.COMPLETED, (URL,))


def test_a_finished_task_without_an_image_gets_five_more_looks() -> None:
    """They spread over two minutes, and running answers in between do not start them anew; the last body is kept."""
    watch = watching()
    verdict, looks, at = follow(watch, LINKLESS)

    assert isinstance(verdict, TaskFailed)
    assert watch.finished == TaskStatus(TASK_ID, TaskState.COMPLETED, raw=LINKLESS.body)
    assert (verdict.charged, verdict.retry, verdict.task_id) == ("yes", "no", TASK_ID)
    assert (looks, at) == (6, 124.0)
    verdict, looks, _ = follow(watching(), *[LINKLESS, RUNNING] * 5, LINKLESS)
    assert isinstance(verdict, TaskFailed)
    assert looks == 11


def test_a_late_image_is_in_time() -> None:
    """Some services show the status first."""
    verdict, looks, _ = follow(watching(), *[LINKLESS] * 5, DONE)

    assert isinstance(verdict, TaskStatus)
    assert looks == 6


@pytest.mark.parametrize("now", [1.0, 5000.0], ids=["in time", "past the deadline"])
@pytest.mark.parametrize(
    ("seen", "expected", "code", "words"),
    [
        (FAILED, TaskFailed, None, "failed: out of memory"),
        (task("timeout"), TaskFailed, None, "failed: the service gives no reason"),
        (task("cancelled", error={"code": 17, "message": "a\x1b\nb"}), TaskFailed, "17", "failed: a\\u001b b"),
        (task("failed", fail_reason="NSFW prompt"), ContentRefused, None, "content policy"),
        (task("failed", error={"code": "content_policy", "message": "no"}), ContentRefused, "content_policy", "no."),
    ],
)
def test_a_failed_task(seen: Reply, expected: type[HunyuanError], code: str | None, words: str, now: float) -> None:
    """The error says why, and that nobody knows whether it was charged."""
    error = watching().judge(seen, now)

    assert type(error) is expected
    assert (error.task_id, error.code, error.charged) == (TASK_ID, code, "unknown")
    assert words in error.message


def test_the_words_of_refusal_are_the_services() -> None:
    """Another gateway may speak another language."""
    watch = Watch(TASK_ID, Service(refusal_words=("verboten",)), 1800.0, 60.0)

    assert isinstance(watch.judge(task("failed", error="Verboten"), 1.0), ContentRefused)
    assert isinstance(watch.judge(task("failed", error="moderation"), 1.0), TaskFailed)


@pytest.mark.parametrize("seen", TEACH_NOTHING.values(), ids=TEACH_NOTHING)
def test_a_look_that_teaches_nothing_backs_off(seen: Reply | NoReply) -> None:
    """Such looks get rarer, are never the end by themselves, and a good one forgives them."""
    watch = watching()

    assert delays(watch, seen, 7) == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert watch.judge(RUNNING, 0.0) == KeepWaiting()
    assert delays(watch, seen, 1) == [0.5]


def test_any_number_of_failed_looks_is_borne() -> None:
    """No power grows beyond what a float holds."""
    assert delays(watching(), NoReply("down", sent=True), 3000)[-1] == 8.0


@pytest.mark.parametrize("seen", [Reply(404, b"<html>"), refusal(404), Reply(200, refusal(404).body)])
def test_no_such_task_soon_after_acceptance_means_not_yet(seen: Reply) -> None:
    """The service may need a while to know its own task."""
    watch = watching()

    assert delays(watch, seen, 6) == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert watch.judge(seen, 59.9) == KeepWaiting(8.0, 404)
    assert watch.judge(seen, 60.0) == KeepWaiting(75.0, 404)


def test_no_such_task_five_times_over_five_minutes_is_a_loss() -> None:
    """What an attached task lacks is time of grace: for it, the count begins at once."""
    for grace_until, start in ((60.0, 60.0), (0.0, 0.0)):
        error, looks, at = follow(watching(grace_until=grace_until), refusal(404), start=start)

        assert isinstance(error, TaskLost)
        assert (error.task_id, error.charged, error.status) == (TASK_ID, "unknown", 404)
        assert (looks, at - start) == (5, 300.0)


def test_a_loss_needs_both_the_looks_and_the_time() -> None:
    """Neither many looks in a moment nor two far apart are enough."""
    watch = watching()
    assert all(isinstance(watch.judge(refusal(404), 100.0 + look), KeepWaiting) for look in range(20))
    watch = watching()
    assert all(isinstance(watch.judge(refusal(404), at), KeepWaiting) for at in (100.0, 900.0, 901.0, 902.0))
    assert isinstance(watch.judge(refusal(404), 903.0), TaskLost)


def test_a_task_seen_again_is_not_lost() -> None:
    """One good look starts the count and the time anew; one that teaches nothing does not."""
    missing = [refusal(404)] * 4
    _, looks, at = follow(watching(), *missing, RUNNING, *missing, refusal(404), start=100.0)
    assert (looks, at) == (10, 100.0 + 4 * 75.0 + 10.0 + 4 * 75.0)

    _, looks, at = follow(watching(), *missing, Reply(502), refusal(404), start=100.0)
    assert (looks, at) == (6, 100.0 + 4 * 75.0 + 0.5)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_gets_one_more_look(status: int) -> None:
    """Then waiting is pointless, and the task stays paid."""
    error, looks, _ = follow(watching(), refusal(status))

    assert isinstance(error, AuthError)
    assert (error.task_id, error.charged, error.status) == (TASK_ID, "yes", status)
    assert looks == 2
    assert isinstance(follow(watching(), refusal(status), RUNNING, refusal(status), DONE)[0], TaskStatus)


@pytest.mark.parametrize("seen", [RUNNING, task("new word"), LINKLESS, refusal(404), *TEACH_NOTHING.values()])
def test_the_deadline(seen: Reply | NoReply) -> None:
    """A look past it that does not show the end is the last one, and the id is kept."""
    assert isinstance(watching(deadline_at=100.0).judge(seen, 99.9), KeepWaiting)
    error = watching(deadline_at=100.0).judge(seen, 100.0)

    assert isinstance(error, TaskTimedOut)
    assert (error.task_id, error.charged, error.retry) == (TASK_ID, "yes", "no")


@pytest.mark.parametrize(("name", "sample"), json.loads((TASKS / "expected.json").read_text()).items())
def test_every_known_shape_of_a_task_is_judged(name: str, sample: dict[str, object]) -> None:
    """What the reader found decides."""
    verdict = watching().judge(Reply(200, (TASKS / name).read_bytes()), 1.0)

    match sample.get("state"), bool(sample.get("urls")):
        case "completed", True:
            assert isinstance(verdict, TaskStatus)
        case "failed", _:
            assert isinstance(verdict, TaskFailed | ContentRefused)
        case _:
            assert isinstance(verdict, KeepWaiting)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (NoReply("no route", sent=True), NotSent),
        (refusal(404), TaskLost),
        (Reply(200, refusal(404).body), TaskLost),
        (refusal(401), AuthError),
        (Reply(403), AuthError),
        (Reply(502, b"<html>"), ServiceUnavailable),
        (Reply(200, b"<html>"), ServiceUnavailable),
    ],
)
def test_one_look_that_fails(seen: Reply | NoReply, expected: type[HunyuanError]) -> None:
    """It says so at once, and claims nothing about money."""
    error = one_look(TASK_ID, seen, 0.0)

    assert type(error) is expected
    assert isinstance(error, HunyuanError)
    assert (error.task_id, error.charged) == (TASK_ID, "unknown")


@pytest.mark.parametrize("seen", [RUNNING, task("new word"), DONE, LINKLESS, FAILED])
def test_one_look_that_shows_the_task(seen: Reply) -> None:
    """Whatever its state, it is told as it is."""
    status = one_look(TASK_ID, seen, 0.0)

    assert isinstance(status, TaskStatus)
    assert status == read_status(seen, TASK_ID)
    assert status.raw == seen.body


def test_a_limit_in_the_envelope_of_a_good_answer_is_a_limit() -> None:
    """Whoever paces must hear of it, however it is said."""
    verdict = watching().judge(Reply(200, b'{"error": {"code": 429, "message": "slow down"}}'), 1.0)

    assert isinstance(verdict, KeepWaiting)
    assert verdict.status == 429


def test_a_failure_of_a_content_policy_type_is_a_refusal() -> None:
    """The type alone may say it; the same prompt would be paid for again in vain."""
    error = {"code": "E5", "message": "generation stopped", "type": "content_policy_violation"}
    body = {"data": {"task_id": TASK_ID, "status": "failed", "error": error}}

    verdict = watching().judge(Reply(200, json.dumps(body).encode()), 1.0)

    assert isinstance(verdict, ContentRefused)
    assert verdict.retry == "after_change"
