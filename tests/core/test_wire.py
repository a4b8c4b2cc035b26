"""What is written to the service, and what its answers are taken to say."""

import json
import math
from pathlib import Path

import attrs
import pytest
from cattrs import Converter
from hypothesis import example, given
from hypothesis import strategies as st

from hunyuan_async._core.wire import (
    Answer,
    ServiceError,
    as_task_id,
    mentions,
    read_answer,
    salvage_task_id,
    submit_body,
)
from hunyuan_async.models import ImageRequest, TaskState
from hunyuan_async.settings import API_IN_ONE

SAMPLES = Path(__file__).parent.parent / "samples"
EXPECTED: dict[str, object] = {
    f"{folder}/{name}": said
    for folder in ("submits", "tasks", "errors")
    for name, said in json.loads((SAMPLES / folder / "expected.json").read_text()).items()
}
CAT = "https://cdn.example/cat.png"


def read(content: object, *ignore_urls: str) -> Answer:
    """What a JSON body says."""
    answer = read_answer(json.dumps(content).encode(), ignore_urls=ignore_urls)
    assert answer is not None
    return answer


def test_a_drawing_is_asked_for_in_the_documented_words() -> None:
    """The caller's id and images of another type are never sent."""
    request = ImageRequest("\u9ca4\u9c7c", size="1280*720", seed=7, id="sku-42")

    body = submit_body(request, API_IN_ONE)

    assert "\u9ca4\u9c7c".encode() in body
    assert json.loads(body) == {
        "model": "hunyuan-image-3",
        "prompt": "\u9ca4\u9c7c",
        "type": "text-to-image",
        "size": "1280*720",
        "seed": 7,
    }


def test_an_edit_is_asked_for_with_its_images() -> None:
    """Images, another model and extra fields are part of the body."""
    request = ImageRequest(
        "make it night",
        type="edit",
        images=(CAT,),
        seed=-1,
        model="hunyuan-image-4",
        extra={"quality": "high"},
    )

    assert json.loads(submit_body(request, API_IN_ONE)) == {
        "model": "hunyuan-image-4",
        "prompt": "make it night",
        "type": "edit",
        "size": "1024*1024",
        "images": [CAT],
        "seed": -1,
        "quality": "high",
    }


@pytest.mark.parametrize(("seed", "sent"), [(None, -1), (-1, -1), (0, 0), (2**31 - 1, 2**31 - 1)])
def test_an_undrawn_seed_is_left_to_the_service(seed: int | None, sent: int) -> None:
    """The documented word for a random seed is -1; 0 is a seed like any other."""
    assert json.loads(submit_body(ImageRequest("a fox", seed=seed), API_IN_ONE))["seed"] == sent


def test_another_service_has_other_names() -> None:
    """Body fields have the service's names, and those it does not know are not sent."""
    service = attrs.evolve(API_IN_ONE, model="hy3", fields={"model": "engine", "prompt": "text"})

    assert json.loads(submit_body(ImageRequest("a fox"), service)) == {"engine": "hy3", "text": "a fox"}


def test_nothing_but_json_is_written() -> None:
    """A value that slipped through is an error here, never a broken body."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        submit_body(ImageRequest("a fox", extra={"weight": math.nan}), API_IN_ONE)


@pytest.mark.parametrize("name", EXPECTED)
def test_samples_say_what_is_expected(name: str) -> None:
    """Each recorded body is read as its expected.json says."""
    assert read_answer((SAMPLES / name).read_bytes()) == Converter().structure(EXPECTED[name], Answer)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (TaskState.RUNNING, "IN_PROGRESS pending queued created processing running starting submitted"),
        (TaskState.COMPLETED, "completed complete succeeded success finished done"),
        (TaskState.FAILED, "failed failure error cancelled canceled timeout"),
    ],
)
def test_status_words_are_read_in_any_case(state: TaskState, words: str) -> None:
    """All words seen so far are known, with spaces around them too."""
    for word in words.split():
        for spelling in (word, word.upper(), f" {word.title()}\n"):
            answer = read({"data": {"status": spelling}})
            assert (answer.state, answer.unknown_word) == (state, None)


@pytest.mark.parametrize("word", ["rendering", "in progress", "\u5b8c\u6210", "x" * 9999])
def test_an_unknown_word_means_still_running(word: str) -> None:
    """It is handed on, so that somebody can be warned."""
    answer = read({"status": word})

    assert answer.state is TaskState.RUNNING
    assert answer.unknown_word == (word if len(word) < 500 else "x" * 497 + "...")


@pytest.mark.parametrize("data", [None, [], [{"task_id": "x", "status": "failed"}], "text", 7, True, {}])
def test_data_may_be_anything(data: object) -> None:
    """What is not an object says nothing about a task."""
    assert read({"code": 200, "data": data}) == Answer(code=200)


@pytest.mark.parametrize("error", [None, "", {}, [], False, "success", 0, {"code": False, "message": ""}])
def test_fields_without_content_are_no_errors(error: object) -> None:
    """Many services send every field always."""
    body = {"task_id": "x", "message": "OK", "fail_reason": "", "error": error}

    assert read(body) == Answer(task_id=as_task_id("x"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "A", "data": {"status": "failed", "error": "B"}}, "B"),
        ({"error": "A", "error_message": "B", "message": "C", "fail_reason": "D", "status": "failed"}, "A"),
        ({"error_message": "B", "message": "C", "fail_reason": "D", "status": "failed"}, "B"),
        ({"message": "C", "fail_reason": "D", "status": "failed"}, "C"),
        ({"message": "Success", "fail_reason": "D", "status": "failed"}, "D"),
        ({"message": "in the queue", "task_id": "x"}, None),
        ({"message": "in the queue", "code": 200}, None),
        ({"message": "in the queue", "code": 201}, None),
        ({"message": "in the queue", "code": 0}, None),
        ({"message": "bad prompt", "code": 400, "task_id": "x"}, "bad prompt"),
        ({"message": "made", "data": {"url": CAT}}, None),
    ],
)
def test_a_message_is_an_errors_only_where_something_failed(body: object, message: str | None) -> None:
    """Good news has a message too; the nearest and most telling words win."""
    error = read(body).error

    assert (error and error.message) == message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"code": 200}, 200),
        ({"code": "402", "error": {"code": 1}}, 402),
        ({"code": 0}, 0),
        ({"code": "bad", "error": {"code": "429"}}, 429),
        ({"error": {"code": "moderation_blocked"}}, None),
        ({"code": True}, None),
        ({"code": 4.0}, None),
        ({"code": "\u0664\u0660\u0662"}, None),
        ({"data": {"status": "failed", "error": {"code": 400}}}, None),
        ({"task_id": "x", "status": "failed", "error": {"code": 400}}, None),
        ({"status": "error", "code": 401, "message": "no such key"}, 401),
    ],
)
def test_the_code_is_that_of_the_call(body: object, code: int | None) -> None:
    """A failed task's own code must not be mistaken for a failed look at it."""
    assert read(body).code == code


@pytest.mark.parametrize(
    ("value", "task_id"),
    [
        ("n68xxxx_hunyuan3", "n68xxxx_hunyuan3"),
        ("a.b:c-D_9", "a.b:c-D_9"),
        ("x" * 128, "x" * 128),
        ("...", "..."),
        (6801, "6801"),
    ],
)
def test_task_ids_are_kept_as_they_are(value: object, task_id: str) -> None:
    """Every usual id can be polled; a number is known by its digits."""
    assert as_task_id(value) == task_id


@pytest.mark.parametrize(
    "value",
    [
        *("", "x" * 129, ".", "..", "a/../b", "a b", "a\r\nb", "a\n", "\u00e4", "%2e"),
        *(None, True, 0, -1, 1.5, [], {}, b"x", pytest.param(10**5000, id="endless")),
    ],
)
def test_unfit_task_ids_are_none(value: object) -> None:
    """An id that could lead elsewhere, or break a request, is as good as absent."""
    assert as_task_id(value) is None


def test_an_unfit_task_id_gives_way_to_a_fit_one() -> None:
    """What cannot be used is as good as absent."""
    assert read({"task_id": "ok", "data": {"task_id": "../admin", "id": 7}}).task_id == "ok"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (
            {"task_id": "outer", "status": "success", "data": {"task_id": "inner", "status": "queued"}},
            Answer(task_id=as_task_id("inner"), state=TaskState.RUNNING),
        ),
        ({"id": "outer", "data": {"id": "inner"}}, Answer(task_id=as_task_id("inner"))),
        ({"id": "outer", "data": {"task_id": "inner"}}, Answer(task_id=as_task_id("inner"))),
        ({"task_id": "outer", "data": {"id": "image-1"}}, Answer(task_id=as_task_id("outer"))),
        ({"code": 200, "data": {"id": "inner", "code": "SUMMER"}}, Answer(task_id=as_task_id("inner"), code=200)),
    ],
)
def test_data_speaks_before_the_top(body: object, answer: Answer) -> None:
    """An envelope may have a status and an id of its own; `task_id` is the surer word."""
    assert read(body) == answer


def test_the_requests_own_images_are_ignored() -> None:
    """An echo of the input is no result."""
    assert read({"status": "completed", "images": [CAT], "url": CAT + "?2"}, CAT).urls == (CAT + "?2",)


DEEP = b'{"a":' * 63 + b"{}" + b"}" * 63


@pytest.mark.parametrize(
    ("body", "readable"),
    [
        (b"\xef\xbb\xbf{}", True),
        (b' \n{"a": NaN, "b": -Infinity, "c": 1e999}', True),
        (b'{"status": "failed", "status": "completed"}', True),
        (DEEP, True),
        (b'{"a":' + DEEP + b"}", False),
        (b'{"a":' * 100_000, False),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", False),
        (b'{"a": ' + b"9" * 5000 + b"}", False),
        (b'{"a": "' + b"x" * 2**20 + b'"}', False),
        (b"", False),
        (b"[]", False),
        (b"null", False),
        (b"<html>", False),
        (b'{"a": "\xff"}', False),
        (b'{"a": ', False),
    ],
)
def test_only_sane_json_objects_are_read(body: bytes, readable: bool) -> None:
    """Traps for parsers are answers that say nothing."""
    assert (read_answer(body) is not None) == readable


WHOLE = b'{"code": 200, "data": {"task_id" : "n68abcd_hunyuan3", "status": "IN_PROGRESS"}}'


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_an_id_is_salvaged_once_it_is_whole(length: int) -> None:
    """A cut-off answer gives either the whole id or none."""
    seen_whole = length >= WHOLE.index(b'", "status"') + 1

    assert salvage_task_id(WHOLE[:length]) == ("n68abcd_hunyuan3" if seen_whole else None)


@pytest.mark.parametrize("body", [b'"task_id": ".."', b'"task_id": 7', rb'{"prompt": "\"task_id\": \"x\""', b""])
def test_other_things_are_not_salvaged(body: bytes) -> None:
    """Neither an unfit id nor words inside a text are taken for one."""
    assert salvage_task_id(body) is None


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (None, False),
        (ServiceError(), False),
        (ServiceError(message="It violates our Content Policy."), True),
        (ServiceError(code="CONTENT_POLICY"), True),
        (ServiceError(type="input_moderation"), True),
        (ServiceError(code="content_", message="policy"), False),
    ],
)
def test_words_are_found_in_any_part_of_an_error(error: ServiceError | None, found: bool) -> None:
    """Message, code and type count, each for itself and in any case."""
    assert mentions(error, ["content policy", "content_policy", "MODERATION"]) == found


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"error": {"code": "content_policy_violation", "message": "no"}}, "refusal_words"),
        ({"code": 400, "message": "Sensitive words found"}, "refusal_words"),
        ({"code": 402, "message": "Insufficient credits: 3 left"}, "credit_words"),
        ({"error": {"type": "insufficient_quota"}}, "credit_words"),
    ],
)
def test_the_settings_words_fit_the_readers_words(said: object, kind: str) -> None:
    """What a service typically says is recognised by the settings as they come."""
    error = read(said).error

    assert [name for name in ("refusal_words", "credit_words") if mentions(error, getattr(API_IN_ONE, name))] == [kind]


names = st.sampled_from(
    [
        *("task_id", "id", "status", "code", "error", "error_message", "message", "fail_reason", "type"),
        *("data", "url", "urls", "images", "output"),
    ]
)
scalars = st.sampled_from(
    [None, True, 0, 200, 10**20, 0.5, "", "x", "400", "completed", "failed", CAT, "\ud800", "\x1b\u202e"]
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
    max_leaves=15,
)


@given(st.dictionaries(names, json_values, max_size=6))
def test_any_object_is_read(body: dict[str, object]) -> None:
    """Whatever stands where, an answer comes out whose texts can be shown and whose id can be used."""
    answer = read(body, CAT)
    error = answer.error or ServiceError()

    assert all(text is None or (text and text.encode()) for text in (error.message, error.code, error.type))
    assert answer.error is None or answer.error != ServiceError()
    assert answer.task_id is None or as_task_id(answer.task_id) == answer.task_id
    assert answer.state or not answer.unknown_word
    assert not answer.urls


@given(
    st.binary(max_size=200)
    | st.dictionaries(names, json_values, max_size=4).map(lambda body: json.dumps(body).encode()[:-3])
)
@example(b'{"data": {"task_id": "\xff"')
def test_any_bytes_are_read_or_not(body: bytes) -> None:
    """Garbage and truncation raise nothing."""
    read_answer(body)
    salvage_task_id(body)
