"""The emulator's bodies against recorded samples: the client's readers are pinned to the same files."""

import json
import random
import re
from pathlib import Path

import pytest

from hunyuan_async.emulator import ACCEPTED, FAILURES, SHAPES, EmulatorSettings, fixed
from hunyuan_async.emulator._service import EmulatedService
from hunyuan_async.emulator._shapes import Body, Json

SAMPLES = Path(__file__).parent.parent / "samples" / "finished"
ORIGIN = "http://127.0.0.1:8000"
BODY = b'{"model": "hunyuan-image-3", "prompt": "a fox"}'
FAILING = b'{"model": "hunyuan-image-3", "prompt": "a fox [fail]"}'


def service(settings: EmulatorSettings) -> EmulatedService:
    """A service whose key is "key"."""
    return EmulatedService(settings, ["key"], random.Random(0))


def sampled(body: Body, task_id: str) -> Json:
    """An answer with the ids and addresses of the samples."""
    text = json.dumps(body).replace(f"{ORIGIN}/api/v1", "https://api.example")
    text = re.sub(rf"{ORIGIN}/files/[^\"]+", "https://cdn.example/1.png", text)
    read: Json = json.loads(text.replace(task_id, "n68abcd_hunyuan3"))
    return read


def test_every_shape_has_a_sample_and_every_sample_a_shape() -> None:
    """No shape can be added without the readers being tested on it."""
    expected = json.loads((SAMPLES / "expected.json").read_text())

    assert {f"{name}.json" for name in SHAPES} == set(expected)
    assert {path.name for path in SAMPLES.glob("*.json")} == {*expected, "expected.json"}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_finished_task_looks_like_its_sample(shape: str) -> None:
    """Each shape is, byte for byte, what was recorded, but for ids and addresses."""
    emulated = service(EmulatorSettings(latency=fixed(1), shapes=(shape,)))
    emulated.submit(BODY, key="key", origin=ORIGIN, now=0)
    task_id = emulated.issued[0]

    body = emulated.poll(task_id, key="key", origin=ORIGIN, now=1).body

    assert sampled(body, task_id) == json.loads((SAMPLES / f"{shape}.json").read_text())


def test_an_edit_echoes_the_images_that_it_was_given() -> None:
    """The shape that repeats the request's images repeats them before its own."""
    emulated = service(EmulatorSettings(finished_at_once=True, shapes=("top-request-images-echoed",)))
    edit = {
        "model": "hunyuan-image-3",
        "prompt": "at night",
        "type": "edit",
        "images": ["https://a.example/1"],
    }

    body = emulated.submit(json.dumps(edit).encode(), key="key", origin=ORIGIN, now=0).body

    assert list(json.loads(json.dumps(body))["images"]) == ["https://a.example/1"]


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("outputs", {"code": 200, "message": "success", "data": {"task_id": "ID", "status": "pending"}}),
        ("top-outputs", {"id": "ID", "status": "pending"}),
    ],
)
def test_an_unfinished_task_has_the_envelope_of_its_shape(shape: str, body: dict[str, object]) -> None:
    """A task does not change its envelope when it finishes."""
    emulated = service(EmulatorSettings(shapes=(shape,), running_words=("pending",)))
    emulated.submit(BODY, key="key", origin=ORIGIN, now=0)
    task_id = emulated.issued[0]

    answer = emulated.poll(task_id, key="key", origin=ORIGIN, now=0)

    assert json.loads(json.dumps(answer.body).replace(task_id, "ID")) == body


MESSAGE = "The image could not be generated"


@pytest.mark.parametrize(
    ("failure", "fields"),
    [
        ("error", {"error": MESSAGE}),
        ("error_message", {"error_message": MESSAGE}),
        ("message", {"message": MESSAGE}),
        ("fail_reason", {"fail_reason": MESSAGE}),
        ("error-object", {"error": {"code": "generation_failed", "message": MESSAGE}}),
        ("error_message-object", {"error_message": {"code": "generation_failed", "message": MESSAGE}}),
        ("message-object", {"message": {"code": "generation_failed", "message": MESSAGE}}),
        ("fail_reason-object", {"fail_reason": {"code": "generation_failed", "message": MESSAGE}}),
    ],
)
@pytest.mark.parametrize("top", [False, True])
def test_a_failed_task_says_why_where_it_was_told_to(failure: str, fields: dict[str, object], top: bool) -> None:
    """A failure follows the envelope of the finished shape."""
    shape = "top-outputs" if top else "outputs"
    emulated = service(EmulatorSettings(latency=fixed(1), shapes=(shape,), failures=(failure,)))
    emulated.submit(FAILING, key="key", origin=ORIGIN, now=0)
    task_id = emulated.issued[0]

    body = emulated.poll(task_id, key="key", origin=ORIGIN, now=1).body

    if top:
        assert body == {"id": task_id, "status": "failed", **fields}
    else:
        data = {"task_id": task_id, "status": "failed", **fields}
        assert body == {"code": 200, "message": "success", "data": data}
    assert failure in FAILURES


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("data.task_id", {"code": 200, "message": "success", "data": {"task_id": "ID", "status": "queued"}}),
        ("data.id", {"code": 200, "message": "success", "data": {"id": "ID", "status": "queued"}}),
        ("task_id", {"task_id": "ID", "status": "queued"}),
        ("id", {"id": "ID", "status": "queued"}),
    ],
)
def test_a_submit_has_the_id_where_it_was_told_to(place: str, body: dict[str, object]) -> None:
    """The id stands in each of the places that were seen."""
    emulated = service(EmulatorSettings(accepted=(place,), running_words=("queued",)))

    answer = emulated.submit(BODY, key="key", origin=ORIGIN, now=0)

    assert json.loads(json.dumps(answer.body).replace(emulated.issued[0], "ID")) == body
    assert place in ACCEPTED


def test_tasks_take_shapes_and_words_in_turn() -> None:
    """As many tasks as there are shapes show every shape once, each with the next status word."""
    words = (" Completed ", "SUCCESS")
    emulated = service(
        EmulatorSettings(finished_at_once=True, shapes=("top-url", "top-urls", "top-outputs"), done_words=words)
    )

    bodies = [emulated.submit(BODY, key="key", origin=ORIGIN, now=0).body for _ in range(4)]

    assert [list(body)[-1] for body in bodies] == ["url", "urls", "outputs", "url"]
    assert [body["status"] for body in bodies] == [" Completed ", "SUCCESS", " Completed ", "SUCCESS"]
