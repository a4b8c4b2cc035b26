"""One runner at a time: the right to write a journal."""

from __future__ import annotations

import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from hunyuan_async._core.text import printable
from hunyuan_async.errors import JournalError


class RunLock:
    """Held by the one process that may write a journal; the system frees it when the process dies, however it dies."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, journal: Path) -> Self:
        """Take the lock, or refuse at once.

        Raises:
            JournalError: Another process holds it; the message names process, host and since when.
            OSError: The file system knows no locks, for example.
        """
        path = journal.with_name(f"{journal.name}.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            since = datetime.now(UTC).isoformat(" ", "seconds")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {since}".encode(), 0)
            return cls(descriptor)
        except BlockingIOError:
            holder = printable(os.pread(descriptor, 500, 0).decode(errors="replace")) or "another process"
            os.close(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        raise JournalError(
            f"The journal {journal} is in use by {holder}. Wait until it is done, or stop it; "
            "two runners would pay for the same images."
        )

    def release(self) -> None:
        """Let others have it, even while a forked child still has the file open. Not to be called in such a child."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
