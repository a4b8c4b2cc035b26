"""Cells of tables that people correct in a spreadsheet."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async.cli.cells import cell, text_of
from hunyuan_async.cli.inputs import Row, read_rows

FORMULAS = ["=1+1", "+1", "@SUM(A1)", "\t=1", "\r=1", "-1+1", "'=1", "''-x"]


@given(st.text() | st.sampled_from(FORMULAS))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    """What is written is never a formula, and nothing is added to or lost from the text."""
    written = cell(text)
    assert text_of(written) == text
    assert not written.startswith(("=", "+", "@", "\t", "\r"))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text_by_an_apostrophe(text: str) -> None:
    """As a spreadsheet marks it."""
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(("value", "written"), [(None, ""), (-1, "-1"), ("-1.5", "-1.5"), ([1], "[1]"), ("'a", "'a")])
def test_what_is_no_formula_stays(value: object, written: str) -> None:
    """What was not given is empty, and what is no text is JSON."""
    assert cell(value) == written


@pytest.mark.parametrize(
    ("header", "prompt"),
    [
        ("line,problem,prompt,'=x", "=koi"),
        ("prompt,result_status,result_run,'=x", "=koi"),
        ("prompt,line,x,'=x", "'=koi"),
    ],
)
def test_only_a_table_of_ours_has_apostrophes_of_ours(header: str, prompt: str) -> None:
    """In anybody else's it is part of the prompt that is paid for."""
    cells = ["'=koi" if name == "prompt" else "1" for name in header.split(",")]
    (row,) = read_rows(io.BytesIO(f"{header}\n{','.join(cells)}\n".encode()), "csv")
    assert isinstance(row, Row)
    assert row.columns["prompt"] == prompt
    assert [*row.columns][-1] == ("=x" if prompt == "=koi" else "'=x")
