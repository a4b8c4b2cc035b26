"""From rows to items: ids, variations, defaults, repeats and contradictions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._core.seeds import derived_seed
from hunyuan_async._journal.reader import RunRecord
from hunyuan_async.cli.inputs import BadLine, Row
from hunyuan_async.cli.items import RowOptions, read_items
from hunyuan_async.cli.seen import Seen
from hunyuan_async.cli.templates import parse_template
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest

Columns = dict[str, object]
PLAIN = RowOptions()
ADDRESS = "https://cdn.example/a.png"
RECORD = RunRecord("spring", "", "", b"", 7, datetime(2026, 11, 22, tzinfo=UTC))


@attrs.frozen
class Batch:
    """What an input came to."""

    items: list[Item]
    duplicates: list[Item]
    bad: list[BadLine]

    @property
    def requests(self) -> list[ImageRequest]:
        """What is asked for."""
        return [item.request for item in self.items if item.request]


def read(*rows: Columns, options: RowOptions = PLAIN) -> Batch:
    """The batch of rows that stand in lines 1, 2, ..."""
    batch = Batch([], [], [])
    with Seen() as seen:
        for entry in read_items((Row(line, columns) for line, columns in enumerate(rows, 1)), options, RECORD, seen):
            if isinstance(entry, BadLine):
                batch.bad.append(entry)
            else:
                (batch.items if entry.state is State.PLANNED else batch.duplicates).append(entry)
    return batch


def ids(batch: Batch) -> list[str]:
    """The ids of what is made."""
    return [item.id for item in batch.items]


def line(entry: Item | BadLine) -> int:
    """Where it stands in the input."""
    return entry.line if isinstance(entry, BadLine) else cast("int", entry.detail["line"])


def test_a_row_becomes_a_request_fit_to_be_sent() -> None:
    """Fields are read and checked; other columns stay with the item and out of the request."""
    batch = read({"id": "sku42", "prompt": " a koi ", "size": "16:9", "seed": "7", "shop": "north", "n": [1]})
    (item,) = batch.items
    assert item.request == ImageRequest("a koi", size="1280*720", seed=7, id="sku42")
    assert (item.run, item.id, item.credits, item.state, item.attempt) == ("spring", "sku42", 25, State.PLANNED, 1)
    assert item.detail == {
        "line": 1,
        "variation": 1,
        "input": {"shop": "north", "n": [1]},
        "given": {"prompt": " a koi ", "size": "16:9", "seed": "7"},
    }


def test_defaults_hold_for_rows_that_give_nothing() -> None:
    """A row's own value wins, an empty cell does not."""
    defaults = {"size": "1:1", "seed": 5, "type": "edit", "images": [ADDRESS]}
    batch = read({"prompt": "a"}, {"prompt": "b", "size": "2:3", "seed": ""}, options=RowOptions(defaults=defaults))
    assert [(request.size, request.seed) for request in batch.requests] == [("1024*1024", 5), ("832*1248", 5)]
    assert {request.images for request in batch.requests} == {(ADDRESS,)}


def test_rows_without_an_id_get_one_that_depends_on_the_request_as_given_alone() -> None:
    """Neither order nor defaults nor other columns move an image to another row's id."""
    first = read({"prompt": "a", "n": 1}, {"prompt": "b", "seed": "7"})
    again = read({"seed": 7, "prompt": "b "}, {"prompt": "a", "id": " "}, options=RowOptions(defaults={"size": "2:3"}))
    assert ids(first) == ids(again)[::-1]
    filled = read({"seed": 7, "name": "b"}, options=RowOptions(prompt=parse_template("{name}")))
    assert ids(filled) == ids(first)[1:]
    assert len({*ids(first), *ids(read({"prompt": "a", "size": "1024*1024"}))}) == 3


def test_ids_may_come_from_another_column() -> None:
    """The named column and a column "id" then come back with the other columns."""
    options = RowOptions(id_column="sku")
    batch = read({"sku": 42, "prompt": "a", "id": "x"}, {"sku": "", "prompt": "b"}, options=options)
    assert ids(batch) == ["42"]
    assert batch.items[0].detail["input"] == {"sku": 42, "id": "x"}
    assert "'sku' is empty" in batch.bad[0].problem


def test_a_template_makes_the_prompt_from_columns() -> None:
    """A column "prompt" is then a column like any other."""
    options = RowOptions(prompt=parse_template("photo of {title}, {prompt}"))
    batch = read({"title": "shoe", "prompt": "red"}, {"title": "", "prompt": "red"}, {"prompt": "b"}, options=options)
    assert [request.prompt for request in batch.requests] == ["photo of shoe, red"]
    assert batch.items[0].detail["input"] == {"title": "shoe", "prompt": "red"}
    assert [bad.line for bad in batch.bad] == [2, 3]


@pytest.mark.parametrize("options", [RowOptions(prompt=parse_template("{titel}")), RowOptions(id_column="titel")])
def test_an_unknown_column_is_one_error_not_a_thousand_bad_lines(options: RowOptions) -> None:
    """The first row shows a typing mistake; the message lists the columns."""
    with pytest.raises(InvalidRequest, match="no 'titel' here; there are: title, prompt"):
        read({"title": "shoe", "prompt": "red"}, options=options)


@pytest.mark.parametrize(
    ("seed", "seeds"),
    [(7, [7, 8, 9]), (None, [derived_seed(7, item_id) for item_id in ("x", "x-2", "x-3")]), (-1, [-1] * 3)],
)
def test_variations_count_up_ids_and_seeds(seed: int | None, seeds: list[int]) -> None:
    """Only a given seed is counted up; each undrawn one derives from the id, and the service's own stay its own."""
    options = RowOptions(variations=3)
    batch = read({"id": "x", "prompt": "a", "seed": seed}, {"id": "y", "prompt": "b"}, options=options)
    assert ids(batch) == ["x", "x-2", "x-3", "y", "y-2", "y-3"]
    assert [request.seed for request in batch.requests][:3] == seeds
    assert [item.detail["variation"] for item in batch.items] == [1, 2, 3] * 2
    assert len({item.given for item in batch.items}) == 2


def test_ids_and_seeds_stay_whatever_becomes_of_other_rows() -> None:
    """Rows may be inserted, deleted and reordered; the second of equal rows stays the second."""
    a, b, c = ({"prompt": text} for text in "abc")
    options = RowOptions(duplicates="make", variations=2)
    seeds = [
        {item.id: (item.request and item.request.seed, item.given) for item in read(*rows, options=options).items}
        for rows in ([a, b, b], [b, c, a, {"prompt": 7}, b], [b, b])
    ]
    assert seeds[0].items() <= seeds[1].items()
    assert seeds[2].items() <= seeds[0].items()
    assert len(seeds[0]) == 6


def test_an_edited_prompt_keeps_id_and_seed_and_is_known_to_be_edited() -> None:
    """With an id of its own; other columns and defaults are no edit."""
    (before,) = read({"id": "x", "prompt": "a", "n": 1}).items
    (same,) = read({"n": 2, "prompt": "a ", "id": "x"}, options=RowOptions(defaults={"size": "2:3"})).items
    (edited,) = read({"id": "x", "prompt": "b"}).items
    assert before.request
    assert edited.request
    assert (edited.id, edited.request.seed) == (before.id, before.request.seed)
    assert edited.given != before.given == same.given


def test_a_variation_without_a_seed_left_makes_the_row_bad() -> None:
    """The largest seed has no successor."""
    batch = read({"prompt": "a", "seed": 2**31 - 2}, options=RowOptions(variations=3))
    assert not batch.items
    assert "seed" in batch.bad[0].problem


EQUAL_ROWS: list[tuple[Columns, Columns]] = [
    ({"prompt": "a", "seed": 7, "n": 1}, {"prompt": "a", "seed": "7", "n": 2}),
    ({"id": "x", "prompt": "a"}, {"id": "x", "prompt": " a", "size": ""}),
]


@pytest.mark.parametrize(("first", "second"), EQUAL_ROWS)
def test_equal_rows_are_made_once(first: Columns, second: Columns) -> None:
    """The repeat is told, with the id of the item that is made."""
    batch = read(first, second, options=RowOptions(variations=2))
    assert len(batch.items) == 2
    assert [item.detail["duplicate_of"] for item in batch.duplicates] == ids(batch)
    assert [item.id for item in batch.duplicates] == [f"{ids(batch)[0]}_2", f"{ids(batch)[0]}_2-2"]
    assert {*map(line, batch.duplicates)} == {2}


@pytest.mark.parametrize(("first", "second"), EQUAL_ROWS)
def test_equal_rows_are_made_each_if_wanted(first: Columns, second: Columns) -> None:
    """Every repeat then is an item with an id of its own."""
    batch = read(first, second, second, options=RowOptions(duplicates="make"))
    assert not batch.duplicates
    assert ids(batch) == [ids(batch)[0] + suffix for suffix in ("", "_2", "_3")]


def test_equal_requests_with_ids_of_their_own_are_no_repeats() -> None:
    """Who names two items wants two."""
    assert ids(read({"id": "x", "prompt": "a"}, {"id": "y", "prompt": "a"})) == ["x", "y"]


@pytest.mark.parametrize(
    ("rows", "variations"),
    [
        ([{"id": "x", "prompt": "a"}, {"id": "x", "prompt": "b"}], 1),
        ([{"id": "x", "prompt": "a"}, {"id": "x", "prompt": "a", "seed": 1}], 1),
        ([{"id": "x", "prompt": "a"}, {"id": "x-2", "prompt": "a"}], 2),
        ([{"id": "x-2", "prompt": "a"}, {"id": "x", "prompt": "a"}], 2),
        ([{"id": 0, "prompt": "a"}, {"id": "0", "prompt": "b"}], 1),
    ],
)
def test_one_id_with_two_requests_is_a_bad_line_that_names_the_other(rows: list[Columns], variations: int) -> None:
    """The earlier row stands; also an id that a variation took is taken."""
    batch = read(*rows, options=RowOptions(variations=variations))
    assert {*map(line, batch.items)} == {1}
    (bad,) = batch.bad
    assert bad.line == 2
    assert "in line 1" in bad.problem
    assert bad.columns == rows[1]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"shop": "north"}, "prompt: is missing"),
        ({"prompt": "a" * 2001}, "2001 characters"),
        ({"prompt": "a", "seed": "x"}, "seed"),
        ({"prompt": "a", "size": "9*9"}, "size"),
        ({"prompt": "a", "images": ADDRESS}, "edit"),
        ({"prompt": "a", "id": ["x"]}, "'id' holds a value"),
        ({"prompt": "a", "id": "x" * 201}, "id"),
        ({"prompt": "a", "id": "\ud800"}, "surrogate"),
        ({"prompt": {"a": 1}}, "prompt"),
    ],
)
def test_rows_that_cannot_be_sent_are_bad_lines(columns: Columns, words: str) -> None:
    """Everything is checked before anything is paid; the other rows stand."""
    batch = read({"prompt": "before"}, columns, {"prompt": "after"})
    assert [*map(line, batch.items)] == [1, 3]
    (bad,) = batch.bad
    assert bad.line == 2
    assert words in bad.problem


def test_items_come_one_by_one_with_bad_lines_in_their_place() -> None:
    """A long input need not be in memory."""
    rows: Iterator[Row | BadLine] = iter([Row(1, {"prompt": "a"}), BadLine(2, "odd"), Row(3, {"prompt": "b"})])
    with Seen() as seen:
        entries = read_items(rows, PLAIN, RECORD, seen)
        assert line(next(entries)) == 1
        assert next(rows) == BadLine(2, "odd")
        assert line(next(entries)) == 3


CELLS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
ROWS = st.dictionaries(
    st.sampled_from(["id", "prompt", "size", "seed", "type", "images", "shop"]),
    CELLS | st.lists(CELLS, max_size=2),
)


@given(st.lists(ROWS, max_size=8), st.integers(1, 3), st.sampled_from(["once", "make"]))
def test_every_row_gives_items_or_a_bad_line_and_no_id_twice(
    rows: list[Columns], variations: int, duplicates: str
) -> None:
    """Whatever the cells hold, nothing raises and every line is accounted for."""
    options = RowOptions(variations=variations, duplicates="make" if duplicates == "make" else "once")
    batch = read(*rows, options=options)
    items = [*batch.items, *batch.duplicates]
    assert len({item.id for item in items}) == len(items)
    assert {*map(line, items), *map(line, batch.bad)} == set(range(1, len(rows) + 1))
