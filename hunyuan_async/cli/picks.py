"""picks.csv: what a person thinks of the images of a run, a line for every time that somebody changed their mind.

A line is stored before anybody is told that it is. One that is torn off, by a power cut or a full disk, was not, and
counts for nothing. A later line about an image replaces an earlier one.
"""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import attrs

from hunyuan_async._core.text import shown
from hunyuan_async._files import sync_directory
from hunyuan_async.cli.cells import cell, text_of
from hunyuan_async.errors import InvalidRequest

Verdict = Literal["keep", "reject", "redo", "none"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
PICKS = "picks.csv"  # in a run's directory
HEADER = ("id", "verdict", "at")


@attrs.frozen
class Pick:
    """A line of picks.csv.

    Attributes:
        id: The image's.
        verdict: What is thought of it; "none" takes back what was.
        at: When that was said.
    """

    id: str
    verdict: Verdict
    at: datetime

    def is_about(self, sending_at: datetime | None) -> bool:
        """Whether what was seen is the attempt sent at that time, and not an image that it has replaced since."""
        return sending_at is None or sending_at <= self.at


def read_picks(text: bytes) -> Iterator[Pick] | None:
    """Read a table of verdicts in the order of its lines; None if it is none.

    Raises:
        InvalidRequest: It does not tell when they were made, so that nobody knows which images they are about.
    """
    first, *lines = text.decode("utf-8-sig", "replace").split("\n")
    delimiter = max(",;\t", key=first.count)  # some spreadsheets write others
    header = _cells(first, delimiter)
    if not {"id", "verdict"} <= {*header}:
        return None
    if "at" not in header:
        raise InvalidRequest('the table has a column "verdict" and none "at": is it a picks.csv?')
    # Line by line: an id has no line break here, and a quote that was torn off must not swallow what follows.
    rows = (dict(zip(header, _cells(line, delimiter), strict=False)) for line in lines)
    return (pick for row in rows if (pick := _pick(row)))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r")], delimiter=delimiter), [])
    except csv.Error:  # longer than any cell of ours
        return []


def _pick(row: dict[str, str]) -> Pick | None:
    verdict = row.get("verdict")
    try:
        at = datetime.fromisoformat(row.get("at", "").strip())
    except ValueError:
        return None
    # The zone stands last: a line that has one is whole.
    if verdict not in VERDICTS or at.tzinfo is None or not row.get("id"):
        return None
    return Pick(text_of(row["id"]), verdict, at)


class PicksFile:
    """The picks.csv of a run's directory, to which any number of processes add lines.

    Each method waits for the disk: call it in a thread, one call at a time.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / PICKS
        self._read_up_to = 0

    def add(self, item_id: str, verdict: Verdict, at: datetime | None = None) -> None:
        """Add a line about what was seen *at* that time, or now; when this returns, it is safe on disk.

        Raises:
            InvalidRequest: The id cannot stand in a line, or the file is a link.
            OSError: The disk is full, for example.
        """
        if {"\n", "\r"} & {*item_id}:
            raise InvalidRequest(f"the id {shown(item_id)} has a line break in it, and cannot stand in {PICKS}")
        when = (at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        descriptor = self._opened(os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            start = _before_a_line(descriptor)
            text = (start + _line(item_id, verdict, when)).encode()
            if os.write(descriptor, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if start:
            sync_directory(self._path.parent)

    def news(self) -> list[Pick]:
        """Read what was added since the last call, by whomever.

        Raises:
            InvalidRequest: It is a link, or no table of verdicts.
            OSError: It cannot be read.
        """
        if not os.path.lexists(self._path):
            return []
        with open(self._opened(os.O_RDONLY), "rb") as file:
            header = file.readline()
            if header.decode("utf-8-sig", "replace").rstrip() != _line(*HEADER).rstrip():
                raise InvalidRequest(f"{self._path} does not begin with {','.join(HEADER)}: move it away")
            start = max(self._read_up_to, len(header))
            if os.fstat(file.fileno()).st_size < start:
                raise InvalidRequest(f"{self._path} was replaced by a shorter one: start the studio again")
            file.seek(start)
            added = file.read()
        added = added[: added.rfind(b"\n") + 1]  # what is not whole yet, the next call reads
        self._read_up_to = start + len(added)
        return list(read_picks(header + added) or ())

    def _opened(self, flags: int) -> int:
        # A directory that somebody else made must not lead out of itself.
        if self._path.is_symlink():
            raise InvalidRequest(f"{self._path} is a link, and would be written to: remove it")
        return os.open(self._path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def _line(*values: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(map(cell, values))
    return line.getvalue()


def _before_a_line(descriptor: int) -> str:
    """What has to stand before a line that is added: a header if there is none, an end if the last line has none."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        return _line(*HEADER)
    return "" if os.pread(descriptor, 1, size - 1) == b"\n" else "\n"
