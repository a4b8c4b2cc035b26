"""How a journal lies on disk: safe when the power fails, and with some bytes put by for when the disk is full."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

from hunyuan_async.errors import InvalidRequest, JournalError

JOURNAL = "journal.sqlite"  # in a run's directory
# What stands beside a journal, under its name and one of these; the lock comes last, as it guards the others.
SUFFIXES = ("", "-wal", "-shm", "-journal", ".ballast", ".lock")
BALLAST = 2**20  # bytes: for the ids of some hundred submits that are out when the disk fills up
_CACHE = 65_536  # KiB: the ids of a million items
_LONGEST_LOG = 2**26  # bytes kept of the write-ahead log once it is copied into the file
_FULL, _EXTRA = 2, 3
_MOUNTS = Path("/proc/self/mountinfo")  # see "man 5 proc"
# Shared memory, which the write-ahead log needs, does not reach from machine to machine.
_NETWORK = ("9p", "afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "nfs", "smb3", "smbfs")


def find_journal(directory: Path) -> Path | None:
    """Return where the journal of a run's *directory* is; None if there is none yet.

    Raises:
        InvalidRequest: It is kept elsewhere, and is not there.
    """
    path = directory / JOURNAL
    if path.is_symlink() and not path.exists():
        raise InvalidRequest(
            f"The journal of {directory} is missing: it was kept at {path.readlink()}. Bring it back (is the disk "
            "mounted?): without it nobody knows what is paid."
        )
    return path.resolve() if path.exists() else None


def place_journal(directory: Path, elsewhere: Path | None = None) -> Path:
    """Return where the journal of a run's *directory* is or will be; *elsewhere*, the directory gets a link to it.

    Raises:
        InvalidRequest: It is kept in another place, or another run's is kept there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = find_journal(directory)
    if path is None and elsewhere:
        if elsewhere.exists() and elsewhere.stat().st_size:
            raise InvalidRequest(f"{elsewhere} is another run's journal: name a file that does not exist yet")
        elsewhere.parent.mkdir(parents=True, exist_ok=True)
        elsewhere.touch(0o600)
        (directory / JOURNAL).symlink_to(elsewhere.absolute())
        path = elsewhere.resolve()
    if path and elsewhere and path != elsewhere.resolve():
        raise InvalidRequest(f"the journal of {directory} is {path}: leave --journal out")
    return path or (directory / JOURNAL).resolve()


def refuse_links(journal: Path) -> None:
    """Check that what is about to be opened for writing is what it looks like.

    A link in a directory that somebody else made would have us overwrite what it leads to, and two names of one
    journal have two logs.

    Raises:
        JournalError: Something is a link, has a second name, or is no plain file.
    """
    for suffix in {*SUFFIXES} - {".ballast"}:  # that is always made anew
        path = journal.with_name(journal.name + suffix)
        with contextlib.suppress(FileNotFoundError):
            about = path.lstat()
            if stat.S_ISDIR(about.st_mode):
                continue  # that fails by itself
            if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
                raise JournalError(
                    f"{path} is a link, has a second name, or is no plain file, and would be written to. Remove it, "
                    "or copy the journal to a place of its own.",
                    kind="invalid",
                )


def make_durable(connection: sqlite3.Connection, path: Path, *, wal: bool) -> None:
    """See to it that what is committed survives a power failure, with a write-ahead log if *wal* and if possible.

    Raises:
        JournalError: The file system allows neither way.
    """
    # macOS returns from a plain fsync before the disk has the data; elsewhere these two do nothing.
    connection.execute("PRAGMA fullfsync = 1")
    connection.execute("PRAGMA checkpoint_fullfsync = 1")
    connection.execute(f"PRAGMA cache_size = -{_CACHE}")
    connection.execute(f"PRAGMA journal_size_limit = {_LONGEST_LOG}")
    for mode, level in (("wal", _FULL), ("truncate", _EXTRA))[not wal :]:
        [mode_now] = connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
        connection.execute(f"PRAGMA synchronous = {level}")
        [level_now] = connection.execute("PRAGMA synchronous").fetchone()
        if (mode_now, level_now) == (mode, level):
            return
    raise JournalError(
        f"{path.parent} does not let a journal be written safely; it may be a network folder. "
        "Keep the journal on a disk of this machine (journal=, or --journal PATH)."
    )


def is_on_network(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether *path* lies on another machine's disk, as far as Linux tells; elsewhere nobody knows."""
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in mounts.read_text().splitlines():
            mount, _, kind = line.partition(" - ")
            if mount.split()[2] == number:
                return kind.startswith(_NETWORK)
    return False


def lay_ballast(journal: Path) -> None:
    """Put some bytes by; a file system that compresses cannot save on them.

    Raises:
        OSError: The disk is full already.
    """
    path = _ballast(journal)
    if path.exists() and path.stat().st_size == BALLAST:
        return
    drop_ballast(journal)  # it may be a link
    path.touch(0o600, exist_ok=False)
    try:
        with path.open("wb") as file:
            file.write(os.urandom(BALLAST))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        drop_ballast(journal)
        raise


def drop_ballast(journal: Path) -> None:
    """Give the bytes back to the disk."""
    with contextlib.suppress(OSError):
        _ballast(journal).unlink()


def _ballast(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.ballast")
