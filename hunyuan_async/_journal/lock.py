"""One runner at a time: the right to write a journal."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Self

from hunyuan_async._core.text import printable
from hunyuan_async.errors import JournalError

_PAUSES = (0.0, *[0.01] * 20)  # seconds before each try: who only asks for the holder is gone by one of them


class JournalInUse(JournalError):
    """Raised if another process has the journal."""


class RunLock:
    """Held by the one process that may write a journal; the system frees it when the process dies, however it dies."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, journal: Path) -> Self:
        """Take the lock, or refuse within a quarter of a second.

        Raises:
            JournalInUse: Another process holds it; the message names process, host and since when.
            OSError: The file system knows no locks, for example.
        """
        path = _path(journal)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if any(map(partial(_try, descriptor, path), _PAUSES)):
                since = datetime.now(UTC).isoformat(" ", "seconds")
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {since}".encode(), 0)
                return cls(path, descriptor)
            told = _told(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        raise JournalInUse(
            f"The journal {journal} is in use by {told}. Wait until it is done, or stop it; "
            "two runners would pay for the same images.",
            kind="invalid",
        )

    def is_in_place(self) -> bool:
        """Whether its file is still there, so that others meet it."""
        return _is_same_file(self._path, self._descriptor)

    def release(self) -> None:
        """Let others have it, even while a forked child still has the file open. Not to be called in such a child."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


def holder(journal: Path) -> str | None:
    """Say which process, on which host and since when, may write *journal*; None if none does.

    The lock itself is asked, for what stands in its file may be of a process that died, or whose number another has
    by now. That takes it for a moment, together with others who ask; a runner that starts then tries again.

    Raises:
        OSError: The file system knows no locks, for example.
    """
    try:
        descriptor = os.open(_path(journal), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _told(descriptor)
    finally:
        os.close(descriptor)
    return None


def _try(descriptor: int, path: Path, pause: float) -> bool:
    time.sleep(pause)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # The one before may have erased it with its journal: then nobody else would meet this lock.
    return _is_same_file(path, descriptor)


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _told(descriptor: int) -> str:
    return printable(os.pread(descriptor, 500, 0).decode(errors="replace")) or "another process"


def _path(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.lock")
