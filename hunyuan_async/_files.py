"""Images on disk: whole and checked, or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from hunyuan_async._core.image_bytes import ImageFacts, read_image
from hunyuan_async.errors import DownloadFailed
from hunyuan_async.models import SavedImage


class ImageFile:
    """An image on its way to disk, under a temporary name in the directory where it will stand.

    It gets its own name in `commit`, in one step, once its bytes are checked and safe on disk. It follows the
    umask, like any file that is made to be looked at. Nothing is created before the first byte arrives.
    """

    def __init__(self, path: Path, *, exact: bool, overwrite: bool) -> None:
        """Prepare a file.

        Args:
            path: The whole name, or a name that gets the extension that the bytes show.
            exact: Whether *path* is the whole name.
            overwrite: Whether a file of that name may be replaced.
        """
        self._path = path
        self._exact = exact
        self._overwrite = overwrite
        self._temporary = path.with_name(f".{secrets.token_hex(8)}.part")
        self._file: FileIO | None = None

    def write(self, chunk: bytes) -> None:
        """Append *chunk*.

        Raises:
            DownloadFailed: The system refused, for example because the disk is full; its error is the cause.
        """
        with _system_errors_named(self._path):
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = FileIO(self._temporary, "x+")
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]

    def commit(self, url: str) -> SavedImage:
        """Check the image, which came from *url*, and give it its name.

        It waits for the disk: call it in a thread. Whatever fails, nothing is left behind.

        Raises:
            DownloadFailed: The bytes are no whole image, the file exists and may not be replaced, or the system
                refused.
        """
        try:
            with _system_errors_named(self._path):
                data = self._read_back()
                facts = read_image(data)
                path = self._path if self._exact else self._with_extension(facts)
                self._appear_as(path)
        finally:
            self.discard()
        digest = hashlib.sha256(data).hexdigest()
        return SavedImage(path, url, digest, len(data), facts.width, facts.height)

    def discard(self) -> None:
        """Remove what has not been committed."""
        if self._file is not None:
            # A forgotten temporary file is harmless; an error here would hide how the download ended.
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._temporary.unlink()
            self._file = None

    def _read_back(self) -> bytes:
        if self._file is None:
            return b""
        self._file.seek(0)
        return self._file.readall()

    def _with_extension(self, facts: ImageFacts) -> Path:
        return self._path.with_name(f"{self._path.name}.{facts.extension}")

    def _appear_as(self, path: Path) -> None:
        assert self._file is not None, "an empty image passes no check"
        os.fsync(self._file.fileno())
        if self._overwrite:
            self._temporary.replace(path)
        elif not link(self._temporary, path):
            raise DownloadFailed(
                f"{path} exists already: choose another name, or allow it to be replaced.", retry="after_change"
            )
        sync_directory(path.parent)


def link(temporary: Path, path: Path) -> bool:
    """Give *temporary* the name *path* too; return false if there is such a file."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError:
        # Some file systems have no links. The gap between check and rename is the price.
        if os.path.lexists(path):
            return False
        temporary.replace(path)
    return True


def sync_directory(directory: Path) -> None:
    """Make the names in *directory* survive a power failure."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _system_errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadFailed(f"{path} could not be written: {error.strerror or error}.", retry="same") from error
