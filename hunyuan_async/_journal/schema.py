"""What a journal's tables look like, and how older ones come to look like that."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from hunyuan_async.errors import JournalError

APPLICATION_ID = 0x48594A4C  # "HYJL"

TRAFFIC = """TABLE traffic (
            run TEXT NOT NULL, at TEXT NOT NULL,
            submits INTEGER NOT NULL, polls INTEGER NOT NULL, limited INTEGER NOT NULL,
            PRIMARY KEY (run, at)
        ) WITHOUT ROWID"""

# Each entry leads from the version that is its index to the next; a published one never changes.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE runs (
            run TEXT PRIMARY KEY, base_url TEXT NOT NULL, key_fingerprint TEXT NOT NULL, salt BLOB NOT NULL,
            seed INTEGER NOT NULL, created_at TEXT NOT NULL, settings TEXT NOT NULL
        )""",
        # What is asked for most stands first in a row, so that long answers need not be read.
        """CREATE TABLE items (
            number INTEGER PRIMARY KEY,
            run TEXT NOT NULL, id TEXT NOT NULL, attempt INTEGER NOT NULL, latest INTEGER NOT NULL DEFAULT 1,
            state TEXT NOT NULL, tenant TEXT NOT NULL, credits INTEGER NOT NULL, given TEXT NOT NULL,
            request TEXT, detail TEXT NOT NULL, task_id TEXT, sending_at TEXT, submitted_at TEXT, finished_at TEXT,
            error TEXT, files TEXT, urls TEXT, raw BLOB,
            UNIQUE (run, id, attempt)
        )""",
        "CREATE INDEX items_by_state ON items (run, state, number, latest, credits)",
        "CREATE INDEX items_by_task ON items (task_id) WHERE task_id IS NOT NULL",
        """CREATE TRIGGER newer_attempt AFTER INSERT ON items WHEN new.attempt > 1 BEGIN
            UPDATE items SET latest = 0 WHERE run = new.run AND id = new.id AND attempt < new.attempt;
        END""",
    ),
    (f"CREATE {TRAFFIC}",),
)


def bring_up_to_date(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> None:
    """Give the journal at *path* today's tables, all or nothing; a copy of an older one stays beside it.

    Raises:
        JournalError: It is no journal, or a newer version of this library made it.
        sqlite3.Error: The disk is full, for example.
    """
    version = version_of(connection, path, len(migrations))
    if version == len(migrations):
        return
    if version:
        _copy(connection, path.with_name(f"{path.name}.v{version}"))
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def version_of(connection: sqlite3.Connection, path: Path, newest: int = len(MIGRATIONS)) -> int:
    """Return the format's version, 0 for an empty file; nothing is changed.

    Raises:
        JournalError: It is a database, but no journal, or one of a version beyond the *newest* that is known.
    """
    [application_id] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id != APPLICATION_ID and (version or tables):
        raise JournalError(f"{path} is a database, but no journal. Name another file for the journal.")
    if version > newest:
        raise JournalError(
            f"The journal {path} was made by a newer version of this library (format {version}, this one knows "
            f"{newest}). Update with: pip install -U hunyuan-async"
        )
    return int(version)


def _copy(connection: sqlite3.Connection, path: Path) -> None:
    # Not by its file: the last commits may stand in the log beside it.
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(path)) as target:
        connection.backup(target)
