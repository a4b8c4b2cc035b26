"""Prompts filled from columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async.cli.templates import check_names, parse_template
from hunyuan_async.errors import InvalidRequest

COLUMNS = {"title": " red shoe ", "Product name": "Boot {1}", "price": 7, "weight": 1.5, "0": "zero", "é": "ü"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("studio photo of {title}, {price}", "studio photo of red shoe, 7"),
        ("{Product name} {weight} kg", "Boot {1} 1.5 kg"),
        ("{0}{é}{0}", "zeroüzero"),
        ("{{title}} {title}}}", "{title} red shoe}"),
        ("no names", "no names"),
        ("", ""),
    ],
)
def test_names_are_replaced_by_cells(template: str, text: str) -> None:
    """Doubled braces stand for braces, and what a cell holds is not read as a template."""
    assert parse_template(template).fill(COLUMNS) == text


@pytest.mark.parametrize(
    "template",
    ["{title", "title}", "{}", "{ }", "{title!r}", "{title:>9}", "{title.upper}", "{title[0]}", "{a{b}}", "{:{title}}"],
)
def test_only_plain_names_may_stand_in_braces(template: str) -> None:
    """No format, attribute or index reaches the values."""
    with pytest.raises(InvalidRequest):
        parse_template(template)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"colour": "red"}, "no 'title' here; there are: colour"),
        ({"title": "  "}, "column 'title' is empty"),
        ({"title": None}, "column 'title' is empty"),
        ({"title": True}, "'title' holds a value of type bool"),
        ({"title": ["a"]}, "'title' holds a value of type list"),
    ],
)
def test_a_cell_must_hold_text(columns: dict[str, object], words: str) -> None:
    """A prompt with a hole in it is not worth paying for."""
    with pytest.raises(InvalidRequest, match=words):
        parse_template("photo of {title}").fill(columns)


def test_unknown_names_are_told_with_those_that_are_known() -> None:
    """The list shows a typing mistake at once."""
    with pytest.raises(InvalidRequest, match="no 'colour' here; there are: title, color"):
        check_names(["title", "colour"], ["title", "color"])


@given(st.text(max_size=30))
def test_any_template_is_read_or_refused(text: str) -> None:
    """Nothing else than our own error comes of what a person types."""
    try:
        template = parse_template(text)
        template.fill(dict.fromkeys(template.names, "x"))
    except InvalidRequest:
        pass


@given(st.text(max_size=30))
def test_doubled_braces_give_any_text_back(text: str) -> None:
    """Every text can be written as a template."""
    assert parse_template(text.replace("{", "{{").replace("}", "}}")).fill({}) == text
