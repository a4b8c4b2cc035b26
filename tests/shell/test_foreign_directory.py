"""A directory that somebody else made: its journal and its links overwrite, move and steer nothing."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.resuming import check_files
from hunyuan_async.cli.app import hunyuan
from hunyuan_async.cli.invalid import write_invalid
from hunyuan_async.cli.report import build_report
from hunyuan_async.errors import ContentRefused, HunyuanError, JournalError, SubmitUnknown
from hunyuan_async.models import SavedImage

if TYPE_CHECKING:
    from tests.shell.conftest import WriteRun

MakeItem = Callable[..., Item]

PRECIOUS = b"nobody else's business\n"
NO_TERMINAL_SHOWS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028\ud800-\udfff]")
CELLS = ("id", "tenant", "state", "credits", "given", "request", "detail", "task_id", "sending_at", "submitted_at",
         "finished_at", "error", "files", "urls", "raw", "attempt", "latest")  # fmt: skip
HOSTILE = "\x1b[2J\x9b\u202e\u2028=cmd|' /C calc'!A0<script>"


@pytest.fixture
def precious(tmp_path: Path) -> Iterator[Path]:
    """A file outside of the directory, which is the same in the end."""
    path = tmp_path / "home" / "precious"
    path.parent.mkdir()
    path.write_bytes(PRECIOUS)
    yield path
    assert (os.listdir(path.parent), path.read_bytes()) == (["precious"], PRECIOUS)


@pytest.fixture
def out(write_run: WriteRun, batch_item: MakeItem, tmp_path: Path) -> Path:
    """A run with an item of every kind that is shown."""
    image = SavedImage(tmp_path / "out" / "images" / "0000" / "x0.png", "https://cdn.example/a", "ab" * 32, 9, 64, 32)
    unknown, refusal = SubmitUnknown("?"), ContentRefused("no")
    unknown.request_ids = {"x-request-id": "r1"}
    return write_run(
        batch_item(0, State.DOWNLOADED, files=(image,)),
        batch_item(1, State.UNKNOWN, error=unknown),
        batch_item(2, State.REJECTED, error=refusal),
        batch_item(3, State.SUBMITTED),
        out=tmp_path / "out",
    )


def change(out: Path, statement: str, *values: object) -> None:
    """Change the journal behind the library's back."""
    with closing(sqlite3.connect(out / "journal.sqlite", isolation_level=None)) as journal:
        assert journal.execute(statement, values).rowcount


def run(*arguments: str | Path) -> Result:
    """Run a command in this process, with a key and no service."""
    environment = {"HUNYUAN_API_KEY": "aio_mine_1234", "HUNYUAN_BASE_URL": "http://127.0.0.1:9"}
    return CliRunner().invoke(hunyuan, [*map(str, arguments)], env=environment)


@pytest.mark.parametrize("suffix", [".lock", ".ballast", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_journal_beside_links_is_not_opened(
    out: Path, precious: Path, suffix: str, link: Callable[[Path, Path], None]
) -> None:
    """Else the lock's file would empty what it leads to, and SQLite or the ballast fill it with something else."""
    beside = out / f"journal.sqlite{suffix}"
    beside.unlink(missing_ok=True)
    link(beside, precious)

    with pytest.raises(JournalError, match="is a link") if suffix != ".ballast" else nullcontext():
        JournalFile.open(out / "journal.sqlite", out).close()


def test_a_journal_with_a_second_name_is_not_opened(out: Path, tmp_path: Path) -> None:
    """SQLite looks for the log by the name: two names are two logs, and the end of the file."""
    (tmp_path / "second").hardlink_to(out / "journal.sqlite")

    with pytest.raises(JournalError, match="second name"):
        JournalFile.open(out / "journal.sqlite", out)


def test_a_link_to_a_foreign_database_leaves_it_as_it_is(out: Path, precious: Path) -> None:
    """A journal may be kept elsewhere, behind a link; what is no journal there is refused and keeps every byte."""
    (out / "journal.sqlite").unlink()
    (out / "journal.sqlite").symlink_to(precious)

    for command in (["status"], ["report"], ["resolve", "--abandon", "x1"], ["redo", "x0"]):
        assert run(command[0], out, *command[1:]).exit_code in {2, 5}
    for suffix in (".lock", ".ballast"):
        precious.with_name(f"precious{suffix}").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["report.html", "report/page-0001.html", "invalid.csv"])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_what_is_written_anew_does_not_go_through_a_link(
    out: Path, precious: Path, name: str, link: Callable[[Path, Path], None]
) -> None:
    """The link is replaced, or the report refused."""
    (out / "report").mkdir()
    link(out / name, precious)

    run("report", out)
    write_invalid(out / "invalid.csv", [])


@pytest.mark.parametrize("name", ["report", "report/thumbs", "report/thumbs/images/0000"])
def test_a_report_is_not_written_into_a_linked_folder(out: Path, precious: Path, name: str) -> None:
    """It says which folder is to be removed."""
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).symlink_to(precious.parent)

    with pytest.raises(HunyuanError, match="link"):
        build_report(out)


@pytest.mark.parametrize("path", ["{}", "../home/precious", "images/../../home/precious"])
@pytest.mark.parametrize("verify", [False, True])
def test_no_file_outside_is_taken_for_a_changed_image(out: Path, precious: Path, path: str, verify: bool) -> None:
    """It would be set aside, under another name; the item is fetched again instead."""
    place = path.format(precious)
    change(out, "UPDATE items SET files = json_set(files, '$[0].path', ?) WHERE files IS NOT NULL", place)

    with JournalFile.open(out / "journal.sqlite", out) as file:
        record = file.only_run()
        assert record
        assert check_files(file, record.run, verify=verify) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", HOSTILE, "datetime", "__class__"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "index", "path"]), inner),
    max_leaves=5,
)
cells = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=9)
    | st.sampled_from([HOSTILE, "[" * 100_000, "1e999", "planned", "2026-11-22T12:00:00", "9" * 5000])
    | json_values.map(json.dumps)
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(CELLS), st.integers(1, 4), cells)
@example("error", 3, json.dumps({"type": "datetime", "request_ids": {}}))
@example("detail", 1, "[]")
@example("request", 2, '{"prompt": 7}')
@example("files", 1, '[{"path": 7}]')
def test_whatever_stands_in_a_row_it_is_shown_or_refused(out: Path, cell: str, number: int, value: object) -> None:
    """Every command that looks ends as documented, and nothing that it says steers a terminal."""
    [(before,)] = _cell(out, cell, number)
    try:
        change(out, f"UPDATE items SET {cell} = ? WHERE number = ?", value, number)  # noqa: S608 - of our own list
    except sqlite3.IntegrityError:
        return
    for command in ("status", "unknown", "results", "report"):
        shown = run(command, out)
        assert shown.exit_code in {0, 1, 2, 3, 5}, (command, shown.output)
        if command != "results":
            assert not NO_TERMINAL_SHOWS.search(shown.output)
    change(out, f"UPDATE items SET {cell} = ? WHERE number = ?", before, number)  # noqa: S608


@pytest.mark.parametrize(
    ("column", "value"),
    [("settings", "[]"), ("settings", '{"connection": 7}'), ("settings", "{"), ("created_at", "yesterday"),
     ("salt", "text"), ("seed", "x"), ("base_url", HOSTILE)],
)  # fmt: skip
@pytest.mark.parametrize("command", ["status", "report", "resume", "redo"])
def test_whatever_a_run_is_pinned_to_it_is_shown_or_refused(out: Path, column: str, value: str, command: str) -> None:
    """Likewise; a run whose settings make no sense does not go on."""
    change(out, f"UPDATE runs SET {column} = ?", value)  # noqa: S608
    options = {"resume": ["--dry-run"], "redo": ["x0", "--dry-run"]}.get(command, [])

    shown = run(command, out, *options)

    assert shown.exit_code in {0, 2, 5}, shown.output
    assert not NO_TERMINAL_SHOWS.search(shown.output)


def _cell(out: Path, cell: str, number: int) -> list[tuple[object]]:
    with closing(sqlite3.connect(out / "journal.sqlite")) as journal:
        return journal.execute(f"SELECT {cell} FROM items WHERE number = ?", (number,)).fetchall()  # noqa: S608
