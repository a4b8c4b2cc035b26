"""How rows of a batch file become requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async._core.wire import read_request
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest

A, B, C = (f"https://cdn.example/{name}.png" for name in "abc")


@pytest.mark.parametrize(
    ("row", "request_"),
    [
        ({"prompt": "a fox"}, ImageRequest("a fox")),
        (
            {"prompt": "a fox", "id": "sku-42", "seed": 7, "size": "16:9", "type": "edit", "images": [A, B]},
            ImageRequest("a fox", id="sku-42", seed=7, size="16:9", type="edit", images=(A, B)),
        ),
        (
            {"prompt": "a fox", "id": "42", "seed": " 7 ", "size": "", "type": " Edit", "images": A},
            ImageRequest("a fox", id="42", seed=7, type="edit", images=(A,)),
        ),
        ({"prompt": "a fox", "id": 42, "seed": "-1"}, ImageRequest("a fox", id="42", seed=-1)),
        ({"prompt": "a fox", "id": "", "seed": " ", "type": None, "images": ""}, ImageRequest("a fox")),
        ({"prompt": "a fox", "model": 7, "extra": 7, "colour": "red"}, ImageRequest("a fox")),
    ],
)
def test_rows_are_read(row: dict[str, object], request_: ImageRequest) -> None:
    """Typed values and text cells give the same request; empty cells give the defaults."""
    assert read_request(row) == request_


@pytest.mark.parametrize(
    ("cell", "images"),
    [
        (f"{A} {B}", (A, B)),
        (f"{A},{B}", (A, B)),
        (f" {A} , {B}\n", (A, B)),
        (f"{A},{B}, {C}", (A, B, C)),
        (f"{A}|{B}", (A, B)),
        (f"{A}?crop=1,2,{B}", (f"{A}?crop=1,2", B)),
        (f"{A},", (A,)),
        ("cat.png", ("cat.png",)),
    ],
)
def test_a_cell_may_hold_several_addresses(cell: str, images: tuple[str, ...]) -> None:
    """Spaces, bars and commas separate, except a comma within an address."""
    assert read_request({"prompt": "a fox", "images": cell}).images == images


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({}, "prompt: is missing"),
        ({"prompt": " "}, "prompt: is missing"),
        ({"prompt": 7}, "prompt: must be text, got a value of type int"),
        ({"prompt": "a", "size": 1024}, "size: must be text, got a value of type int"),
        ({"prompt": "a", "type": ["edit"]}, "type: must be text, got a value of type list"),
        ({"prompt": "a", "id": True}, "id: must be text, got a value of type bool"),
        ({"prompt": "a", "seed": "x"}, "seed: must be a whole number, got 'x'"),
        ({"prompt": "a", "seed": "7.0"}, "seed: must be a whole number, got '7.0'"),
        ({"prompt": "a", "seed": "9" * 5000}, "seed: must be a whole number, got '999"),
        ({"prompt": "a", "seed": 7.0}, "seed: must be a whole number, got a value of type float"),
        ({"prompt": "a", "seed": True}, "seed: must be a whole number, got a value of type bool"),
        ({"prompt": "a", "images": 7}, "images: must be a list of addresses, got a value of type int"),
        ({"prompt": "a", "images": [A, 7]}, "images: must be text, got a value of type int"),
    ],
)
def test_a_wrong_type_is_named_with_its_field(row: dict[str, object], complaint: str) -> None:
    """Nothing is guessed from a value of another type."""
    with pytest.raises(InvalidRequest) as refused:
        read_request(row)

    assert refused.value.message.startswith(complaint)
    assert len(refused.value.message) < 200
    assert refused.value.__context__ is None


def test_every_wrong_field_is_reported_at_once() -> None:
    """One look at the message is enough to correct the row."""
    with pytest.raises(
        InvalidRequest, match=r"^prompt: is missing; size: must be text.*; seed: must be a whole number"
    ):
        read_request({"size": 5, "seed": "x"})


cells = st.one_of(
    st.sampled_from([None, True, 7, 0.5, "", "7", A, f"{A},{B}", [], [A, None], {}, {"a": 1}]),
    st.text("a ,|7\n\ud83d", max_size=9),
)


@given(st.dictionaries(st.sampled_from(["prompt", "type", "size", "images", "seed", "id", "extra", "x"]), cells))
def test_any_row_is_read_or_refused(row: dict[str, object]) -> None:
    """No value raises anything but our own error."""
    try:
        read_request(row)
    except InvalidRequest as refused:
        assert ": " in refused.message  # noqa: PT017 - either end is right
