"""Reading batch input: what is a row, and what is a bad line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async.cli.inputs import FORMATS, LONGEST_LINE, BadLine, Format, Row, input_format, read_rows
from hunyuan_async.cli.invalid import write_invalid
from hunyuan_async.errors import InvalidRequest


def read(data: bytes, form: Format) -> list[Row | BadLine]:
    """All rows of *data*."""
    return list(read_rows(io.BytesIO(data), form))


def problem(data: bytes, form: Format) -> tuple[int, str]:
    """Line and problem of the one bad line in *data*."""
    (bad,) = [row for row in read(data, form) if isinstance(row, BadLine)]
    return bad.line, bad.problem


@pytest.mark.parametrize(
    ("form", "data", "rows"),
    [
        ("txt", "a koi\n\n# no\n  a fox  \r\n", [Row(1, {"prompt": "a koi"}), Row(4, {"prompt": "a fox"})]),
        ("txt", "\ufeffa koi", [Row(1, {"prompt": "a koi"})]),
        ("jsonl", '{"prompt": "a", "n": [1]}\n\n{}\n', [Row(1, {"prompt": "a", "n": [1]}), Row(3, {})]),
        ("jsonl", '\ufeff{"seed": 7}', [Row(1, {"seed": 7})]),
        ("csv", "prompt,sku\na koi,7\n", [Row(2, {"prompt": "a koi", "sku": "7"})]),
        ("csv", "\ufeffprompt;sku\r\na, koi;7\r\n", [Row(2, {"prompt": "a, koi", "sku": "7"})]),
        ("csv", "prompt\tsku\na; koi\t7", [Row(2, {"prompt": "a; koi", "sku": "7"})]),
        ("tsv", "prompt, with comma\na koi\n", [Row(2, {"prompt, with comma": "a koi"})]),
        (
            "csv",
            'prompt,sku\n"a\nkoi ""pond""",7\na fox,8\n',
            [Row(2, {"prompt": 'a\nkoi "pond"', "sku": "7"}), Row(4, {"prompt": "a fox", "sku": "8"})],
        ),
        (
            "csv",
            '\n prompt ,,\na 5" nail,x\n,,\n\n',
            [Row(3, {"prompt": 'a 5" nail', "column 2": "x", "column 3": ""})],
        ),
        ("csv", "prompt\n", []),
        ("csv", "", []),
    ],
)
def test_rows_keep_their_line_and_columns(form: Format, data: str, rows: list[Row]) -> None:
    """Every form is read with byte order marks, delimiters, quotes, blank lines and short rows."""
    assert read(data.encode(), form) == rows


@pytest.mark.parametrize(
    ("form", "data", "line", "words"),
    [
        ("txt", b"a\ncaf\xe9\n", 2, "byte 4 of line 2 is not UTF-8"),
        ("txt", b"x" * (LONGEST_LINE + 1) + b"\nnext", 1, "longer than"),
        ("jsonl", b'{"prompt": "a"}\n["b"]\n', 2, "not a JSON object"),
        ("jsonl", b'"a"', 1, "not a JSON object"),
        ("jsonl", b'{"prompt": ', 1, "not JSON"),
        ("jsonl", b'{"prompt": "a", "n": NaN}', 1, "NaN is not a number"),
        ("jsonl", b'{"prompt": "a", "n": 1e999}', 1, "1e999 is not a number"),
        ("jsonl", b'{"prompt": "a", "n": ' + b"[" * 80 + b"]" * 80 + b"}", 1, "64 levels"),
        ("jsonl", b"[" * 100_000, 1, "not JSON"),
        ("csv", b"prompt,sku\na koi, pond,7\n", 2, "3 cells for 2 columns"),
        ("csv", b'prompt,sku\na,1\n"a koi\npond,7\n', 3, "up to line 4: unexpected end of data; is a quote not closed"),
        ("csv", b'prompt,sku\n"a"koi,7\nb,8\n', 2, "is a quote not closed, or not doubled?"),
        ("csv", b"prompt,sku\ncaf\xe9,7\nb,8\n", 2, "byte 4 of line 2 is not UTF-8"),
        ("csv", b'prompt,sku\n"a\ncaf\xe9",7\nb,8\n', 2, "byte 4 of line 3 is not UTF-8"),
        ("csv", b"prompt,sku\n" + b"x" * (LONGEST_LINE + 1) + b",7\nb,8\n", 2, "longer than"),
        ("csv", b"prompt,sku\n" + b"x" * 200_000 + b",7\nb,8\n", 2, "field larger than"),
    ],
)
def test_bad_lines_name_their_line_and_their_problem(form: Format, data: bytes, line: int, words: str) -> None:
    """A bad line is told with the number of its first line; the others are still read."""
    where, what = problem(data, form)
    assert where == line
    assert words in what


def test_rows_after_a_bad_line_are_read() -> None:
    """Neither a huge line nor a stray quote swallows what follows."""
    assert read(b"x" * (3 * LONGEST_LINE) + b"\nnext", "txt")[1:] == [Row(2, {"prompt": "next"})]
    assert read(b'prompt\n"a"b \xe9\nnext\n', "csv")[1:] == [Row(3, {"prompt": "next"})]


def test_a_bad_line_keeps_what_could_be_read() -> None:
    """The person who corrects it sees its cells, also those that have no column."""
    assert read(b"prompt\na,b\n", "csv")[0].columns == {"prompt": "a", "column 2": "b"}
    assert read(b"caf\xe9", "txt")[0].columns == {"text": "caf\\xe9"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"prompt,size,prompt\n", "the header names 'prompt' twice"),
        (b'prompt,"size\n', "header"),
        (b"caf\xe9,prompt\n", "UTF-8"),
    ],
)
def test_a_header_that_cannot_be_used_is_an_error(data: bytes, words: str) -> None:
    """Without a header nothing of the table can be trusted."""
    with pytest.raises(InvalidRequest, match=words):
        read(data, "csv")


@pytest.mark.parametrize(
    ("name", "given", "form"),
    [
        ("a.TXT", None, "txt"),
        ("a.jsonl", None, "jsonl"),
        ("a.csv", None, "csv"),
        ("a.b.tsv", None, "tsv"),
        ("-", "csv", "csv"),
        ("a.txt", "jsonl", "jsonl"),
    ],
)
def test_the_format_follows_from_the_suffix_unless_it_is_given(name: str, given: str | None, form: str) -> None:
    """What the user says wins over the file's name."""
    assert input_format(name, given) == form


@pytest.mark.parametrize(("name", "words"), [("-", "standard input"), ("a.xlsx", "a.xlsx"), ("prompts", "prompts")])
def test_an_unknown_format_is_an_error_that_names_the_option(name: str, words: str) -> None:
    """Nothing is guessed from a file's content."""
    with pytest.raises(InvalidRequest, match=rf"{words}.*--input-format"):
        input_format(name)


def test_a_header_has_a_bound() -> None:
    """Every row has every column: short rows below a long header would fill the memory."""
    assert len(read(b",".join(b"c%d" % n for n in range(1000)) + b"\nx\n", "csv")) == 1
    with pytest.raises(InvalidRequest, match="1,001 columns"):
        read(b",".join(b"c%d" % n for n in range(1001)) + b"\nx\n", "csv")


def test_a_problem_is_safe_to_print() -> None:
    """The delimiter, which Python's message names, is a control character in some tables."""
    [row] = read(b'prompt\tb\n"x"y\n', "tsv")
    assert isinstance(row, BadLine)
    assert row.problem.isprintable()


@given(st.binary(max_size=300), st.sampled_from(FORMATS))
def test_no_input_raises_anything_but_our_own_errors(data: bytes, form: Format) -> None:
    """Whatever a file holds, its lines are rows or bad lines, in order."""
    try:
        rows = read(b"prompt,b\n" + data, form)
    except InvalidRequest:
        return
    assert [row.line for row in rows] == sorted(row.line for row in rows)


def test_invalid_lines_can_be_corrected_and_read_again(tmp_path: Path) -> None:
    """The table has the line, the problem and every column, and is input again."""
    path = tmp_path / "invalid.csv"
    bad = [BadLine(3, "too long", {"prompt": "ein Füchslein,\nrot", "n": -1}), BadLine(4, "odd", {"text": "{"})]
    write_invalid(path, bad)
    with path.open("rb") as source:
        rows = list(read_rows(source, "csv"))
    assert [row.columns for row in rows] == [
        {"line": "3", "problem": "too long", "prompt": "ein Füchslein,\nrot", "n": "-1", "text": ""},
        {"line": "4", "problem": "odd", "prompt": "", "n": "", "text": "{"},
    ]
    write_invalid(path, [BadLine(row.line, "still odd", row.columns) for row in rows])
    assert path.read_text(encoding="utf-8-sig").startswith("line,problem,prompt,n,text\n")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "-1+"])
def test_invalid_lines_hold_no_formula(start: str, tmp_path: Path) -> None:
    """A spreadsheet must not run what a stranger wrote into a cell or a column's name."""
    path = tmp_path / "invalid.csv"
    write_invalid(path, [BadLine(1, "odd", {f"{start}HEAD": f"{start}CELL"})])
    assert f"'{start}HEAD".encode() in path.read_bytes()
    assert f"'{start}CELL".encode() in path.read_bytes()


def test_a_lone_surrogate_can_be_reported(tmp_path: Path) -> None:
    """JSON can hold half a character, which no file can."""
    write_invalid(tmp_path / "invalid.csv", [BadLine(1, "odd", {"prompt": "\ud800"})])
    assert r"\ud800" in (tmp_path / "invalid.csv").read_text(encoding="utf-8-sig")
