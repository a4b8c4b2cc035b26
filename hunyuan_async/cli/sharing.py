"""A copy of a run's images to give away: the images and a table of them, and nothing else of the run."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from hunyuan_async._core.image_bytes import read_image
from hunyuan_async._core.lifecycle import Item
from hunyuan_async._core.names import safe_name
from hunyuan_async._files import link, sync_directory
from hunyuan_async.cli.cells import cell
from hunyuan_async.cli.inside import read_inside
from hunyuan_async.errors import DownloadFailed, InvalidRequest

MANIFEST = "manifest.csv"
PER_FOLDER = 1000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that an archive can tell; the same images make the same bytes

Add = Callable[[str, bytes], None]
"""Adds a file to a copy: its name, with slashes, and its bytes."""


@attrs.frozen
class Shared:
    """What a copy holds.

    Attributes:
        images: How many images.
        missing: Files that are not there, or are no images.
    """

    images: int
    missing: list[str]


def share(items: Iterable[Item], directory: Path, add: Add, *, prompts: bool) -> Shared:
    """Copy the images of *items*, which are in the run's *directory*, and a table of them.

    Files are named after ids: other names may have been made of prompts.
    """
    columns = ["id", "file", *(["prompt"] if prompts else []), "size", "seed", "sha256"]
    rows, missing = [columns], []
    for item in items:
        assert item.request is not None  # what a run makes, it asks for
        for number, file in enumerate(item.files, start=1):
            path = Path(os.path.relpath(file.path, directory)).as_posix()
            try:
                data = read_inside(directory, path)
                facts = read_image(data)
            except (OSError, DownloadFailed):
                missing.append(path)
                continue
            stem = safe_name(item.id, item.id) + (f".{number}" if number > 1 else "")
            name = f"images/{(len(rows) - 1) // PER_FOLDER:04}/{stem}.{facts.extension}"
            add(name, data)
            values = {
                "id": item.id,
                "file": name,
                "prompt": item.request.prompt,
                "size": f"{facts.width}*{facts.height}" if facts.width and facts.height else item.request.size,
                "seed": "" if item.request.seed == -1 else str(item.request.seed),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            rows.append([values[column] for column in columns])
    table = io.StringIO(newline="")
    csv.writer(table).writerows([map(cell, row) for row in rows])
    add(MANIFEST, table.getvalue().encode("utf-8-sig"))
    return Shared(len(rows) - 1, missing)


@contextmanager
def new_copy(target: Path) -> Iterator[Add]:
    """Make a folder, or an archive if *target* ends in ".zip": under its name whole, or not at all.

    Raises:
        InvalidRequest: There is something of that name, or no folder to make it in.
    """
    if os.path.lexists(target):
        raise _taken(target)
    if not target.parent.is_dir():
        raise InvalidRequest(f"there is no folder {target.parent}: make it first")
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        if target.suffix.lower() == ".zip":
            yield from _archive(temporary)
            if not link(temporary, target):
                raise _taken(target)
        else:
            temporary.mkdir()
            yield _add_to_folder(temporary)
            if os.path.lexists(target):
                raise _taken(target)
            temporary.rename(target)
        sync_directory(target.parent)
    finally:
        temporary.unlink(missing_ok=True) if temporary.is_file() else shutil.rmtree(temporary, ignore_errors=True)


def _archive(path: Path) -> Iterator[Add]:
    with path.open("xb") as file:
        # Images do not get smaller by being packed.
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

            def add(name: str, data: bytes) -> None:
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data)

            yield add
        file.flush()
        os.fsync(file.fileno())


def _add_to_folder(folder: Path) -> Add:
    def add(name: str, data: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)

    return add


def _taken(target: Path) -> InvalidRequest:
    return InvalidRequest(f"{target} exists already: choose another name; nothing was copied")
