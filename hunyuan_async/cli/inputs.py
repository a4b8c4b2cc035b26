"""Batch input: a file of prompts as rows, read line by line, whatever is in it."""

from __future__ import annotations

import csv
import itertools
import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import PurePath
from typing import BinaryIO, Literal, get_args

import attrs

from hunyuan_async._core.text import printable, shown
from hunyuan_async.cli.cells import is_ours, text_of
from hunyuan_async.errors import InvalidRequest

Format = Literal["txt", "jsonl", "csv", "tsv"]
FORMATS: tuple[Format, ...] = get_args(Format)
LONGEST_LINE = 2**20  # bytes
DEEPEST_ROW = 64  # levels
MOST_COLUMNS = 1000  # as every row has every column, however short it is


@attrs.frozen
class Row:
    """One row as it was given.

    Attributes:
        line: Where it starts, counted from 1.
        columns: Cells by column name; text unless the file is JSONL.
    """

    line: int
    columns: Mapping[str, object]


@attrs.frozen
class BadLine:
    """A row that no image can be made from.

    Attributes:
        line: Where it starts, counted from 1.
        problem: What is wrong with it, safe to print.
        columns: What could be read of it; `text` alone if that is all there is.
    """

    line: int
    problem: str
    columns: Mapping[str, object] = attrs.field(factory=dict)


def input_format(name: str, given: str | None = None) -> Format:
    """The format of a file by its suffix, unless one is *given*.

    Args:
        name: The file's name, or "-" for standard input.
        given: What the user says it is.

    Raises:
        InvalidRequest: Neither says which one it is.
    """
    wanted = given or PurePath(name).suffix.lower().removeprefix(".")
    for form in FORMATS:
        if form == wanted:
            return form
    what = "standard input" if name == "-" else shown(name)
    raise InvalidRequest(f"cannot tell the format of {what}: add --input-format txt, jsonl, csv or tsv")


@contextmanager
def opened(source: str) -> Iterator[BinaryIO]:
    """Open an input file, or "-" for standard input, which stays open.

    Raises:
        InvalidRequest: It cannot be read.
    """
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else open(source, "rb") as file:
            yield file
            return
    except OSError as error:
        problem = error.strerror
    raise InvalidRequest(f"{source} cannot be read: {problem}")


def read_rows(source: BinaryIO, form: Format) -> Iterator[Row | BadLine]:
    """Rows of a file opened in binary mode, in their order; no line of it raises.

    Raises:
        InvalidRequest: The header of a table cannot be used.
    """
    lines = _Lines(source)
    match form:
        case "txt":
            return _prompts(lines)
        case "jsonl":
            return _objects(lines)
        case "csv":
            return _table(lines, None)
        case "tsv":
            return _table(lines, "\t")


@attrs.define
class _Lines(Iterator[str]):
    """Decoded lines of a file, and what was wrong with them since that was last asked for."""

    source: BinaryIO
    number: int = 0
    _problem: str | None = None

    def __next__(self) -> str:
        raw = self.source.readline(LONGEST_LINE + 1)
        if not raw:
            raise StopIteration
        self.number += 1
        if len(raw) > LONGEST_LINE:
            self._problem = f"the line is longer than {LONGEST_LINE} bytes"
            rest = raw
            while rest and not rest.endswith(b"\n"):
                rest = self.source.readline(LONGEST_LINE)
            return raw[:100].decode(errors="replace")
        try:
            return raw.decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            self._problem = f"byte {error.start + 1} of line {self.number} is not UTF-8: save the file as UTF-8"
            return raw.decode(errors="backslashreplace")

    def take_problem(self) -> str | None:
        """What was wrong with the lines read since the last call."""
        problem, self._problem = self._problem, None
        return problem


def _prompts(lines: _Lines) -> Iterator[Row | BadLine]:
    for line in lines:
        text = line.strip()
        if problem := lines.take_problem():
            yield BadLine(lines.number, problem, {"text": text})
        elif text and not text.startswith("#"):
            yield Row(lines.number, {"prompt": text})


def _objects(lines: _Lines) -> Iterator[Row | BadLine]:
    for line in lines:
        text = line.strip()
        if problem := lines.take_problem():
            yield BadLine(lines.number, problem, {"text": text})
        elif text:
            yield _object(lines.number, text)


def _object(number: int, text: str) -> Row | BadLine:
    try:
        content = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        reason = printable(str(error).replace("line 1 column", "column"), 100)
        return BadLine(number, f"not JSON: {reason}", {"text": text})
    if not isinstance(content, dict):
        return BadLine(number, 'not a JSON object: write {"prompt": "..."}', {"text": text})
    if _is_too_deep(content):
        return BadLine(number, f"nested more than {DEEPEST_ROW} levels deep", {"text": text})
    return Row(number, content)


def _is_too_deep(content: object) -> bool:
    # What json can just read from a shallow stack, it cannot write from a deep one.
    level = [content]
    for _ in range(DEEPEST_ROW):
        held = [value for value in level if isinstance(value, dict | list)]
        if not held:
            return False
        level = [inner for value in held for inner in (value.values() if isinstance(value, dict) else value)]
    return bool(level)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number that JSON can hold")
    return number


def _table(lines: _Lines, delimiter: str | None) -> Iterator[Row | BadLine]:
    first = next((line for line in lines if line.strip()), "")
    # On a tie the comma, which stands first, wins.
    delimiter = delimiter or max(",;\t", key=first.count)
    records = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    header = _header(records, lines)
    read = text_of if is_ours(header) else str
    header = [*map(read, header)]
    while True:
        start = lines.number + 1
        try:
            cells = next(records, None)
        except csv.Error as error:
            told = printable(str(error))
            reason = lines.take_problem() or f"no cells can be told apart up to line {lines.number}: {told}"
            yield BadLine(start, f"{reason}; is a quote not closed, or not doubled?")
            continue
        if cells is None:
            return
        problem = lines.take_problem()
        if any(cell.strip() for cell in cells):
            yield _table_row(start, header, [*map(read, cells)], problem)


def _header(records: Iterator[list[str]], lines: _Lines) -> list[str]:
    try:
        cells = next(records, [])
    except csv.Error as error:
        raise InvalidRequest(f"the header cannot be read: {printable(str(error))}") from None
    if problem := lines.take_problem():
        raise InvalidRequest(f"the header cannot be read: {problem}")
    if len(cells) > MOST_COLUMNS:
        raise InvalidRequest(f"the header names {len(cells):,} columns, and {MOST_COLUMNS:,} are the most")
    names = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, start=1)]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidRequest(f"the header names {', '.join(map(shown, repeated))} twice: rename one")
    return names


def _table_row(start: int, header: list[str], cells: list[str], problem: str | None) -> Row | BadLine:
    names = header + [f"column {number + 1}" for number in range(len(header), len(cells))]
    columns = dict(itertools.zip_longest(names, cells, fillvalue=""))
    if len(cells) > len(header):
        problem = problem or f"{len(cells)} cells for {len(header)} columns: quote a cell that holds the delimiter"
    return BadLine(start, problem, columns) if problem else Row(start, columns)
