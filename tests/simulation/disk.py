"""A loop in step with its threads, and a disk whose every step is watched: a process may die at any of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple
from unittest.mock import patch

import attrs

from hunyuan_async.testing import VirtualTimeLoop

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

COMMIT_SECONDS = 0.002
SECOND_NAME = os.link  # as it is while nobody watches


class LockstepLoop(VirtualTimeLoop):
    """A loop that does nothing while a thread works, and hears of the end a moment later: every run is the same."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], T], *args: *Arguments
    ) -> asyncio.Future[T]:
        """Have a thread do something, and wait for it; what it returns arrives after a moment of virtual time."""
        arrived: asyncio.Future[T] = self.create_future()

        def arrive() -> None:
            if not arrived.done():
                arrived.set_exception(failure) if failure else arrived.set_result(result)

        failure: BaseException | None = None
        try:
            result = executor.submit(func, *args).result() if executor else func(*args)
        except Exception as error:  # noqa: BLE001 - it is the caller's
            failure = error
        self.call_later(COMMIT_SECONDS, arrive)
        return arrived


class _WatchedConnection(sqlite3.Connection):
    """A connection whose commits are watched."""

    moment: Callable[[str], None] = staticmethod(lambda _: None)

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Run a statement."""
        if sql != "COMMIT":
            return super().execute(sql, *values)
        self.moment("before a commit")
        cursor = super().execute(sql, *values)
        self.moment("after a commit")
        return cursor


@attrs.define
class Disk:
    """Python's own ways to the disk while somebody watches them.

    Attributes:
        moment: Told of every step, by its name; whoever dies then leaves the files as they are.
        durable: Names of images that would be there, and whole, even if the power failed.
    """

    moment: Callable[[str], None]
    durable: set[str] = attrs.field(factory=set)
    _synced: set[int] = attrs.field(factory=set, init=False)
    _named: set[Path] = attrs.field(factory=set, init=False)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch commits, names that files get, and what makes them last."""
        connection = type("Watched", (_WatchedConnection,), {"moment": staticmethod(self.moment)})
        connect = partial(sqlite3.connect, factory=connection)
        with (
            patch.object(sqlite3, "connect", connect),
            patch.object(os, "link", self._naming(os.link)),
            patch.object(os, "replace", self._naming(os.replace)),
            patch.object(os, "fsync", self._syncing(os.fsync)),
        ):
            yield

    def survives(self, path: Path) -> bool | None:
        """Whether an image survives a power failure; None if it does so under a name that may be forgotten."""
        if path.name in self.durable:
            return True
        return None if path.stat().st_ino in self._synced else False

    def _naming(self, real: Callable[..., None]) -> Callable[..., None]:
        def name(source: Path, target: Path) -> None:
            self.moment(f"before {Path(target).name} appears")
            if Path(source).stat().st_ino in self._synced:
                self._named.add(Path(target))
            real(source, target)
            self.moment(f"after {Path(target).name} appears")

        return name

    def _syncing(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(descriptor: int) -> None:
            real(descriptor)
            inode = os.fstat(descriptor).st_ino
            self._synced.add(inode)
            self.durable |= {path.name for path in self._named if path.parent.stat().st_ino == inode}

        return sync


def copy_file(source: str, target: str) -> None:
    """Copy a file; the bytes put by are only ever removed, so that a second name will do."""
    (SECOND_NAME if source.endswith(".ballast") else shutil.copyfile)(source, target)


def visible(directory: Path) -> list[Path]:
    """The images under their final names in a run's directory."""
    return [path for path in directory.glob("images/*/*") if not path.name.startswith(".")]
