"""Files of a run's directory, read without leaving it."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from hunyuan_async._core.names import leads_out


def read_inside(directory: Path, path: str) -> bytes:
    """Read the file at *path* below *directory*; nothing on the way may be a link, as it could lead anywhere.

    Raises:
        OSError: There is no such plain file, or a link is in the way.
    """
    if leads_out(path):
        raise FileNotFoundError(path)
    *folders, name = PurePosixPath(path).parts
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = inner
        # Without O_NONBLOCK a pipe of that name would be waited for.
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FileNotFoundError(path)
            return file.read()
    finally:
        os.close(place)
