"""What a journal's troubles are called, and what to do about each."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import TypeVar

from hunyuan_async._core.text import printable
from hunyuan_async.errors import JournalError

T = TypeVar("T")

_ADVICE = {
    errno.ENOSPC: "the disk is full. Free some space and run the same command again; it goes on where it stopped",
    errno.EDQUOT: "your disk quota is used up. Free some space and run the same command again",
    errno.EROFS: "it cannot be written. Make it writable, or keep the journal on another disk",
    errno.EIO: "the disk fails. Save what you can; a new journal may be kept on another disk",
    errno.ESTALE: "it was moved or removed. If it was moved, bring it back, and run the same command again",
    errno.EBUSY: "another program holds it locked. Close that program and run the same command again",
    errno.ENOLCK: "its file system knows no locks. Keep the journal on a disk of this machine",
    errno.EINVAL: "it is not a journal, or it is damaged. Restore it from a copy, or name another",
}
_NUMBERS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_PROTOCOL: errno.ENOLCK,
    sqlite3.SQLITE_NOTADB: errno.EINVAL,
    sqlite3.SQLITE_CORRUPT: errno.EINVAL,
}
_FINAL = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


def explained(path: Path, failure: sqlite3.Error | OSError) -> JournalError:
    """Return what *failure* means for the journal at *path*; its cause is an `OSError`, which tells a full disk."""
    if isinstance(failure, OSError):
        cause = failure
    else:
        # What Python's own part of SQLite finds wrong, such as a closed connection, has no code.
        number = _NUMBERS.get(getattr(failure, "sqlite_errorcode", 0) & 0xFF)
        cause = OSError(number, os.strerror(number)) if number else OSError(str(failure))
    advice = _ADVICE.get(cause.errno or 0) or printable(cause.strerror or str(cause))
    error = JournalError(f"The journal {path} cannot be used: {advice}.")
    error.__cause__ = cause
    return error


def in_words(path: Path, work: Callable[[], T]) -> T:
    """Do *work* on the journal at *path* and return what it returns.

    Raises:
        JournalError: SQLite or the system refused; the message says what to do.
    """
    try:
        return work()
    except (sqlite3.Error, OSError) as error:
        failure = error
    raise explained(path, failure)


def is_final(failure: sqlite3.Error) -> bool:
    """Whether the disk refused to say that data is safe: it may have dropped it, and forget that when asked again."""
    return getattr(failure, "sqlite_errorcode", 0) in _FINAL


def once_more(error: JournalError) -> JournalError:
    """Return an equal error for another item; what one waiter notes on its own must not show in the others'."""
    again = copy(error)
    again.__cause__ = error.__cause__
    return again
