"""results.jsonl: one line for every image asked for, the last line of an id wins."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Self, cast

from hunyuan_async._core.text import printable
from hunyuan_async.cli.items import BatchItem
from hunyuan_async.cli.result_lines import ResultLine, result_line
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.settings import Service

FILE_NAME = "results.jsonl"


class ResultsFile:
    """Appends lines to an output directory's results as items end, and puts them in order at the end.

    Use it as a context manager. Its methods block for as long as the disk takes. The file is for its owner
    alone: it holds prompts, and addresses that may be signed.
    """

    def __init__(self, out_dir: Path) -> None:
        self._out_dir = out_dir
        self._path = out_dir / FILE_NAME
        self._path.touch(0o600)
        with self._path.open("rb") as file:
            self._starts, end = _last_lines(file)
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(end)  # what a crash left of a line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, line: ResultLine) -> None:
        """Write a line; it replaces an earlier one of the same id.

        Raises:
            OSError: The disk is full, for example; nothing of the line is left behind.
        """
        start = self._file.seek(0, os.SEEK_END)
        rest = memoryview(_encoded(line))
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(start)
            raise
        self._starts[line["id"]] = start

    def rewrite(self, items: Iterable[BatchItem], service: Service) -> None:
        """Replace the file, in one step, by one line for each of *items* in their order, then all other lines.

        An item without a line is `pending`, or `skipped` if it repeats another. Nothing can be appended after.
        """
        others = dict(self._starts)
        temporary = self._path.with_name(f".{FILE_NAME}.part")
        temporary.touch(0o600)
        with temporary.open("wb") as file, self._path.open("rb") as lines:
            for item in items:
                start = others.pop(item.id, None)
                if start is None:
                    file.write(_encoded(result_line(item, None, self._out_dir, service)))
                else:
                    lines.seek(start)
                    file.write(lines.readline())
            for start in others.values():
                lines.seek(start)
                file.write(lines.readline())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        self._file.close()


def read_results(path: Path) -> Iterator[ResultLine]:
    """The last line of every id, in the order of the file, without a line that a crash cut short.

    Raises:
        InvalidRequest: A line is not a result.
    """
    with path.open("rb") as file:
        starts, _ = _last_lines(file)
        for start in sorted(starts.values()):
            file.seek(start)
            yield _decoded(file.readline())


def _last_lines(file: BinaryIO) -> tuple[dict[str, int], int]:
    """Where the last line of each id starts, and where the last whole line ends."""
    starts: dict[str, int] = {}
    end = 0
    for raw in file:
        if not raw.endswith(b"\n"):
            break
        starts[_decoded(raw)["id"]] = end
        end += len(raw)
    return starts, end


def _encoded(line: ResultLine) -> bytes:
    # A lone surrogate becomes an escape that JSON reads back.
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace") + b"\n"


def _decoded(raw: bytes) -> ResultLine:
    try:
        line = json.loads(raw)
    except ValueError:
        line = None
    if not (isinstance(line, dict) and ResultLine.__required_keys__ <= line.keys()):
        shown_line = printable(raw.decode(errors="replace"), 80)
        raise InvalidRequest(f"{FILE_NAME} holds a line that is not a result: {shown_line}")
    return cast("ResultLine", line)
