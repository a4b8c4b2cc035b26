"""What is refused before it can cost anything, and how the rest is sent."""

import math
from contextlib import suppress

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async._core.requests import prepare
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE

CAT = "https://cdn.example/cat.png"


def prepared(**fields: object) -> ImageRequest:
    """A request for a fox, changed by *fields* of any type, as it would be sent."""
    return prepare(attrs.evolve(ImageRequest("a fox"), **fields), API_IN_ONE)  # type: ignore[arg-type]


def refusal(**fields: object) -> str:
    """Why such a request is refused."""
    with pytest.raises(InvalidRequest) as refused:
        prepared(**fields)
    assert refused.value.__context__ is None
    return refused.value.message


def test_a_plain_request_stays_as_it_is() -> None:
    """Nothing is added to a request that is right, and an undrawn seed stays undrawn."""
    assert prepared() == ImageRequest("a fox")


@pytest.mark.parametrize(
    ("prompt", "sent"),
    [("  a fox\n", "a fox"), ("\U0001f98a" * 2000, "\U0001f98a" * 2000), ("x" * 2000 + " ", "x" * 2000)],
)
def test_prompts_are_trimmed_before_they_are_counted(prompt: str, sent: str) -> None:
    """Up to 2000 characters are sent, whatever surrounds them and however many bytes they take."""
    assert prepared(prompt=prompt).prompt == sent


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("", "prompt has 0 characters, and 1 to 2000 are allowed: say what the image should show"),
        (" \n\t", "prompt has 0 characters"),
        ("x" * 2001, "prompt has 2001 characters, and 1 to 2000 are allowed: shorten it"),
        ("a \ud83d", "position 2"),
        (None, "prompt must be text, got a value of type NoneType"),
        (b"a fox", "prompt must be text"),
    ],
)
def test_prompts_that_cannot_be_sent(prompt: object, reason: str) -> None:
    """The refusal says how many characters there are."""
    assert reason in refusal(prompt=prompt)


@pytest.mark.parametrize(
    ("size", "sent"),
    [
        *API_IN_ONE.ratios.items(),
        *((size, size) for size in API_IN_ONE.ratios.values()),
        ("1280x720", "1280*720"),
        ("1280X720", "1280*720"),
        (" 1280 \u00d7 720 ", "1280*720"),
        (" 16 : 9", "1280*720"),
        ("256*1536", "256*1536"),
        ("01024*1024", "1024*1024"),
    ],
)
def test_the_wire_always_gets_width_times_height(size: str, sent: str) -> None:
    """Sizes and ratio names are accepted in every usual spelling."""
    assert prepared(size=size).size == sent


@pytest.mark.parametrize(
    "size",
    [
        *("255*1024", "1024*1537", "0*0", "-1024*1024", "1024", "1024*", "5:4", "", "1024*1024*3", "1e3*1e3"),
        *(
            "\u0661\u0660\u0662\u0664*1024",
            "1024*\u0661\u0660\u0662\u0664",
            "9" * 9999 + "*1",
            1024,
            None,
            (1024, 1024),
        ),
    ],
)
def test_sizes_that_the_service_does_not_make(size: object) -> None:
    """The refusal names the allowed range and the ratios."""
    reason = refusal(size=size)

    assert 'size must be "W*H" with both sides from 256 to 1536 pixels, or one of 1:1, 16:9' in reason
    assert len(reason) < 300


def test_another_service_may_allow_other_sizes() -> None:
    """Range and ratios are settings."""
    larger = attrs.evolve(API_IN_ONE, max_side=4096, ratios={"wide": "4096*1024"})

    assert prepare(ImageRequest("a fox", size="wide"), larger).size == "4096*1024"
    assert prepare(ImageRequest("a fox", size="2048x2048"), larger).size == "2048*2048"


@pytest.mark.parametrize("seed", [None, -1, 0, 7, 2**31 - 1])
def test_seeds_that_can_be_sent(seed: int | None) -> None:
    """-1 leaves it to the service, None to the client."""
    assert prepared(seed=seed).seed == seed


@pytest.mark.parametrize("seed", [-2, 2**31, pytest.param(10**5000, id="endless"), True, 7.0, "7", math.nan])
def test_seeds_that_cannot_be_sent(seed: object) -> None:
    """A seed is a whole number in the service's range, and nothing that merely looks like one."""
    assert refusal(seed=seed).startswith("seed must be ")


@pytest.mark.parametrize("images", [(CAT,), (CAT, "http://127.0.0.1:8080/dog.png"), [CAT], CAT])
def test_edits_start_from_one_or_two_images(images: object) -> None:
    """Addresses are passed on in their order; a lone one needs no list."""
    sent = prepared(type="edit", images=images).images

    assert sent[0] == CAT
    assert len(sent) <= 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "edit"}, "an edit needs 1 to 2 images, got 0"),
        ({"type": "edit", "images": [CAT] * 3}, "got 3"),
        ({"images": [CAT]}, 'use type="edit"'),
        (
            {"type": "edit", "images": [CAT, "./cat.png"]},
            "image 2 must be an http(s) address, got './cat.png'",
        ),
        ({"type": "edit", "images": ["./cat.png"]}, "upload the file somewhere it can reach"),
        ({"type": "edit", "images": ["ftp://h/cat.png?sig=secret"]}, "got 'ftp://h/cat.png'."),
        ({"type": "edit", "images": [7]}, "got a value of type int"),
        ({"type": "Edit", "images": [CAT]}, 'type must be "text-to-image" or "edit", got \'Edit\''),
        ({"type": ["edit"]}, "type must be"),
    ],
)
def test_images_that_cannot_be_edited(fields: dict[str, object], reason: str) -> None:
    """The refusal says what to do instead, and repeats no signature."""
    assert reason in refusal(**fields)


@pytest.mark.parametrize("name", ["model", "id"])
@pytest.mark.parametrize("value", ["", "x" * 201, 7, "a\ud83d"])
def test_names_are_short_text(name: str, value: object) -> None:
    """Model and id are left out or say something."""
    assert name in refusal(**{name: value})


def test_extra_fields_pass_through() -> None:
    """Whatever JSON can hold may be added to the body."""
    extra = {"quality": "high", "loras": [{"name": "ink", "weight": 0.5}], "n": None}

    assert prepared(extra=extra, id="sku-42", model="hunyuan-image-4").extra == extra


@pytest.mark.parametrize(
    "extra",
    [
        *({"prompt": "another"}, {"seed": 1}, {"images": []}, {1: 2}, None, [("a", 1)], {"a": "\ud83d"}),
        *({"a": math.nan}, {"a": [math.inf]}, {"a": b"bytes"}, {"a": {1, 2}}, {"a": {(1, 2): 3}}),
    ],
)
def test_extra_fields_that_cannot_be_sent(extra: object) -> None:
    """They neither override a field of the request nor break the body."""
    assert refusal(extra=extra).startswith("extra ")


def test_extra_fields_that_contain_themselves() -> None:
    """An endless value is refused as any other that JSON cannot hold."""
    endless: dict[str, object] = {}
    endless["again"] = endless

    assert refusal(extra=endless).startswith("extra ")


def test_extra_fields_may_not_collide_with_a_services_own_words() -> None:
    """What collides is decided by the body's names, not by ours."""
    other = attrs.evolve(API_IN_ONE, fields={**API_IN_ONE.fields, "prompt": "text"})

    assert prepare(ImageRequest("a fox", extra={"prompt": "x"}), other)
    with pytest.raises(InvalidRequest, match="text"):
        prepare(ImageRequest("a fox", extra={"text": "x"}), other)


def test_only_requests_are_prepared() -> None:
    """A caller who passes something else is told so."""
    with pytest.raises(InvalidRequest, match="expected an ImageRequest, got a value of type dict"):
        prepare({"prompt": "a fox"}, API_IN_ONE)  # type: ignore[arg-type]


anything = st.one_of(
    st.sampled_from([None, True, -1, 7, 2**31, 0.5, b"x", (), [], {}, object(), int]),
    st.sampled_from(["", "edit", "text-to-image", "16:9", "640x640", CAT, "a fox", "a\ud83d", "https://["]),
    st.lists(st.sampled_from([CAT, "cat.png", None, 7]), max_size=3),
    st.dictionaries(st.sampled_from(["a", "seed", 1]), st.sampled_from([1, math.nan, CAT, object()]), max_size=2),
    st.text("19*x: \ud83d\n", max_size=9),
)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("prompt", "type", "size", "seed", "model", "extra", "id"), anything)
    ),
    st.lists(anything, max_size=3),
)
def test_anything_is_prepared_or_refused(fields: dict[str, object], images: list[object]) -> None:
    """No value of any type raises another error, and what is prepared is fit to be prepared again."""
    with suppress(InvalidRequest):
        request = prepared(**fields, images=images)
        assert prepare(request, API_IN_ONE) == request
