"""Addresses for the images that an edit starts from: the service fetches them itself."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import attrs

from hunyuan_async._core.image_bytes import ImageFacts, read_image
from hunyuan_async._core.uploading import is_worth_trying
from hunyuan_async._journal.disk import find_journal
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.errors import DownloadFailed, InvalidRequest, JournalError
from hunyuan_async.uploads import FORMATS, UPLOAD_VARIABLE, Uploader, live_url_of

LARGEST = 20 * 2**20  # bytes
ADDRESSES_KEPT = 200  # of uploads


@attrs.frozen
class LocalImage:
    """An image of this machine, checked.

    Attributes:
        data: Its bytes.
        facts: Its format and size.
        sha256: Of its bytes.
    """

    data: bytes
    facts: ImageFacts
    sha256: str


@attrs.define
class Sources:
    """Finds an address for an image of the studio or of this machine, and uploads it if there is none.

    Attributes:
        directory: The store's.
        base_url: Where the API is.
        uploader: Puts files where the service can fetch them; None if nobody said how.
        emulated: Whether the service is an emulator: it takes any address, and knows its own images for ever.
    """

    directory: Path
    base_url: str
    uploader: Uploader | None
    emulated: bool
    _uploaded: dict[str, tuple[str, datetime]] = attrs.field(factory=dict, init=False)
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    async def of_file(self, path: Path, sha256: str, local: str) -> str:
        """Return an address of the image at *path*; *local* is one that only this machine can reach.

        Raises:
            InvalidRequest: There is none, and nobody said how to upload it.
            NotSent: The upload failed.
        """
        if address := await self.known(sha256):  # without waiting for the uploads of others
            return address
        async with self._turn:  # the same image is uploaded once
            if address := await self.known(sha256):
                return address
            if self.emulated:
                address = local
            elif self.uploader:
                address = await self.uploader.upload(path)
            else:
                raise InvalidRequest(
                    "The service fetches images itself, and cannot reach this one: its address works no more, or never "
                    f"did. Set {UPLOAD_VARIABLE} to a command that uploads {{file}} and prints its address, and start "
                    "the studio again; or upload the image yourself, and give its https address."
                )
            self._keep(sha256, address)
            return address

    async def of_bytes(self, image: LocalImage, local: str) -> str:
        """Return an address of an image of this machine, by way of a file that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="hunyuan-studio-") as folder:
            path = Path(folder, f"{image.sha256[:16]}.{image.facts.extension}")
            await asyncio.to_thread(path.write_bytes, image.data)
            return await self.of_file(path, image.sha256, local)

    async def known(self, sha256: str) -> str | None:
        """Return an address that most likely still works."""
        address, since = self._uploaded.get(sha256, ("", datetime.now(UTC)))
        if address and (self.emulated or is_worth_trying(address, since, datetime.now(UTC))):
            return address
        return await asyncio.to_thread(self._in_journal, sha256)

    def _keep(self, sha256: str, address: str) -> None:
        self._uploaded[sha256] = address, datetime.now(UTC)
        while len(self._uploaded) > ADDRESSES_KEPT:
            del self._uploaded[next(iter(self._uploaded))]

    def _in_journal(self, sha256: str) -> str | None:
        try:
            journal = find_journal(self.directory)
            if journal is None:
                return None
            with JournalReader.read_only(journal, self.directory) as reader:
                if self.emulated:
                    saved = (file for files, _ in reader.saved_as(sha256) for file in files)
                    return next((str(file["url"]) for file in saved if file["sha256"] == sha256), None)
                return live_url_of(sha256, reader, now=datetime.now(UTC), base_url=self.base_url)
        except (InvalidRequest, JournalError):  # then it is uploaded, like any other image
            return None


def check_image(data: bytes) -> LocalImage:
    """Return an image that can be edited; all of it is read, so call it in a thread.

    Raises:
        InvalidRequest: It is none.
    """
    try:
        facts = read_image(data)
    except DownloadFailed:
        facts = None
    if facts is None or facts.extension not in FORMATS:
        raise InvalidRequest("This is no whole PNG, JPEG or WebP image.")
    return LocalImage(data, facts, hashlib.sha256(data).hexdigest())
