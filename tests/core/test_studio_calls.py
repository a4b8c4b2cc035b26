"""The raw calls that the studio keeps: those of the latest orders, and no more of a body than is looked at."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async.events import Resumed, Submitted
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE
from hunyuan_async.studio._calls import KEPT, LONGEST_BODY, CallLog

NOW = datetime(2026, 11, 22, tzinfo=UTC)
REPLY = Reply(200, b'{"b": 1, "a": "\xc3\xa9"}', {"server": "x"})


def request_of(handle: str) -> ImageRequest:
    """A request as an order holds it."""
    return ImageRequest("a koi", seed=7, id=handle)


def log() -> CallLog:
    """An empty log."""
    return CallLog(API_IN_ONE, API_IN_ONE.base_url)


def test_bodies_are_shown_as_they_are_and_laid_out() -> None:
    """In the order of their fields; the key is a mask."""
    calls = log()
    calls.note_submit(request_of("h"), REPLY)
    shown = calls.as_json("h", request_of("h"))
    body = {"body": '{"b": 1, "a": "é"}', "pretty": '{\n  "b": 1,\n  "a": "é"\n}'}
    assert shown["response"] == {"status": 200, "headers": {"server": "x"}, "complete": True, **body}
    assert isinstance(shown["request"], dict)
    assert shown["request"]["headers"]["Authorization"] == "Bearer \u2022\u2022\u2022\u2022\u2022\u2022\u2022\u2022"


@pytest.mark.parametrize(
    "event", [Submitted(when=NOW, id="h", task_id="t", credits=25), Resumed(when=NOW, id="h", task_id="t")]
)
def test_looks_are_counted_for_the_order_whose_task_it_is(event: Submitted | Resumed) -> None:
    """The last one is kept; looks at tasks of nobody are not."""
    calls = log()
    calls.note_poll("t", REPLY)
    calls.hear(event)
    for seen in (REPLY, NoReply("cut off", sent=True)):
        calls.note_poll("t", seen)
    shown = calls.as_json("h", request_of("h"))
    assert (shown["polls"], shown["poll"]) == (2, {"problem": "cut off", "sent": True})
    assert shown["poll_request"] == {
        "method": "GET",
        "url": "https://apiin.one/api/v1/tasks/t",
        "headers": {"Authorization": "Bearer \u2022\u2022\u2022\u2022\u2022\u2022\u2022\u2022"},
    }


def test_memory_is_bounded() -> None:
    """The orders that were heard of least lately are forgotten, with their tasks; long bodies are cut."""
    calls = log()
    for number in range(KEPT + 1):
        handle = f"h{number}"
        calls.hear(Submitted(when=NOW, id=handle, task_id=f"t{number}", credits=25))
        calls.note_submit(request_of(handle), Reply(200, b"x" * (LONGEST_BODY + 1)))
        calls.note_poll("t0", REPLY)  # this one is still under way
    assert calls.as_json("h0", request_of("h0"))["polls"] == KEPT + 1
    assert calls.as_json("h1", request_of("h1"))["submitted"] is False
    calls.note_poll("t1", REPLY)
    assert calls.as_json("h1", request_of("h1"))["polls"] == 0
    kept = calls.as_json(f"h{KEPT}", request_of(f"h{KEPT}"))["response"]
    assert isinstance(kept, dict)
    assert (len(kept["body"]), kept["complete"], kept["pretty"]) == (LONGEST_BODY, False, None)
