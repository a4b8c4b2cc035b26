"""Images of this machine as something to edit: recognised as one of ours, or uploaded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from hunyuan_async._core.text import printable
from hunyuan_async._journal.disk import find_journal
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.cli.connection import Connection
from hunyuan_async.cli.terminal import say
from hunyuan_async.errors import InvalidRequest, JournalError
from hunyuan_async.uploads import UPLOAD_VARIABLE, digest_of_image, live_url_of, uploader_of

LOCAL = "http://127.0.0.1"  # an emulator that is not started yet
DEPTH = 3  # folders between an image and its run's directory, at most


def is_local(image: str) -> bool:
    """Tell whether *image* names a file, not an address."""
    return "://" not in image


async def web_addresses(images: Iterable[str], connection: Connection) -> list[str]:
    """Return *images* with a web address in place of each local file, which is uploaded if need be.

    Raises:
        InvalidRequest: A file cannot be used, or nobody said how to upload it; nothing was uploaded then.
        NotSent: An upload failed.
    """
    given = [*images]
    base_url = LOCAL if connection.emulator else connection.address
    uploader = uploader_of(os.environ, base_url)
    known = {
        image: await asyncio.to_thread(_known_address, Path(image), base_url) for image in given if is_local(image)
    }
    if missing := [image for image, address in known.items() if address is None and uploader is None]:
        raise InvalidRequest(
            f"{printable(missing[0])} is a file on this machine, and the service fetches images itself. Set "
            f"{UPLOAD_VARIABLE} to a command that uploads {{file}} and prints its address, or upload the file yourself "
            "and pass its https address"
        )
    connection.check()
    for image, address in known.items():
        if address is None and uploader:
            say(f"uploading {printable(image)}")
            known[image] = await uploader.upload(Path(image))
    return [known.get(image) or image for image in given]


def _known_address(path: Path, base_url: str) -> str | None:
    """Check the image at *path*; return the address that it was fetched from, if it is one of a run and that works."""
    digest = digest_of_image(path)
    for folder in path.absolute().parents[:DEPTH]:
        try:
            journal = find_journal(folder)
            if journal is None:
                continue
            with JournalReader.read_only(journal, folder) as reader:
                return live_url_of(digest, reader, now=datetime.now(UTC), base_url=base_url)
        except (InvalidRequest, JournalError):  # then it is uploaded, like any other file
            return None
    return None
