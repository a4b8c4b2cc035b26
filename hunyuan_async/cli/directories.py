"""Where journals are: that of a run in its directory, your own in the platform's folder for state."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from hunyuan_async._journal.disk import JOURNAL, find_journal
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.reader import JournalReader, RunRecord
from hunyuan_async.errors import InvalidRequest

run_directory = click.argument(
    "directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
"""Adds the directory of a run to a command, which gets it as `directory`."""


@contextmanager
def open_run(out_dir: Path) -> Iterator[tuple[JournalReader, RunRecord]]:
    """Open the journal of the run in *out_dir* to look at it, also while a runner writes it.

    Raises:
        InvalidRequest: There is no run.
        JournalError: The journal cannot be read.
    """
    with JournalReader.read_only(_journal_of(out_dir), out_dir) as reader:
        yield reader, _run_of(reader, out_dir)


@contextmanager
def edit_run(out_dir: Path) -> Iterator[tuple[JournalFile, RunRecord]]:
    """Open the journal of the run in *out_dir* to change it; what was being sent when its runner ended is unknown.

    Raises:
        InvalidRequest: There is no run, or another process works on it.
        JournalError: The journal cannot be used.
    """
    with JournalFile.open(_journal_of(out_dir), out_dir) as file:
        record = _run_of(file, out_dir)
        file.lose_answers(record.run)
        yield file, record


def _journal_of(out_dir: Path) -> Path:
    path = find_journal(out_dir)
    if path is None:
        raise _no_run(out_dir, f"there is no {JOURNAL}")
    return path


def _run_of(reader: JournalReader, out_dir: Path) -> RunRecord:
    record = reader.only_run()
    if record is None:
        raise _no_run(out_dir, "its journal is empty")
    return record


def log_folder() -> Path:
    """Return where the journals of `generate` and `edit` are."""
    import platformdirs

    return platformdirs.user_state_path("hunyuan_async") / "log"


def _no_run(out_dir: Path, told: str) -> InvalidRequest:
    command = f"hunyuan batch FILE --out {shlex.quote(str(out_dir))}"
    return InvalidRequest(f"{out_dir} holds no run: {told}. Name a run's directory, or start one with: {command}")
