"""From a finished task to checked files on disk."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs

from hunyuan_async._core.fetching import judge_fetch, retry_delay
from hunyuan_async._files import ImageFile
from hunyuan_async.errors import DownloadFailed
from hunyuan_async.models import SavedImage, TaskStatus
from hunyuan_async.transport import Transport

ATTEMPTS = 4


@attrs.frozen
class Target:
    """Where an item's images go.

    Attributes:
        path: The file's whole name, or a name without the extension, which then follows from the bytes.
        exact: Whether the name is kept as it is.
        overwrite: Whether a file of that name may be replaced.
    """

    path: Path
    exact: bool = False
    overwrite: bool = False

    def numbered(self, number: int) -> Target:
        """Return the target of a task's image *number*, counted from 1."""
        if number == 1:
            return self
        suffix = self.path.suffix if self.exact else ""
        stem = self.path.name.removesuffix(suffix)
        return attrs.evolve(self, path=self.path.with_name(f"{stem}-{number}{suffix}"))


class Saver:
    """Fetches finished images, a few at once, and writes them atomically."""

    def __init__(self, transport: Transport, downloads: int) -> None:
        self._transport = transport
        self._places = asyncio.Semaphore(downloads)

    async def save(
        self, urls: tuple[str, ...], target: Target, refresh: Callable[[], Awaitable[TaskStatus | None]]
    ) -> tuple[SavedImage, ...]:
        """Save every image of a task; an address that has expired is asked for once more by *refresh*.

        Raises:
            DownloadFailed: An image could not be fetched or saved, or its address has expired for good.
            InvalidRequest: The file exists and may not be replaced.
        """
        async with self._places:
            try:
                return await self._save_all(urls, target)
            except DownloadFailed as error:
                if error.kind != "expired":
                    raise
                expired = error
            status = await refresh()
            if status is None or not status.urls:
                raise expired
            return await self._save_all(status.urls, attrs.evolve(target, overwrite=True))

    async def _save_all(self, urls: tuple[str, ...], target: Target) -> tuple[SavedImage, ...]:
        numbered = enumerate(urls, start=1)
        return tuple([await self._save_one(url, target.numbered(number)) for number, url in numbered])

    async def _save_one(self, url: str, target: Target) -> SavedImage:
        attempt = 1
        while isinstance(saved := await self._try(url, target), DownloadFailed):
            if saved.retry != "same" or attempt == ATTEMPTS:
                raise saved
            attempt += 1
            await asyncio.sleep(retry_delay(attempt, random.random()))  # noqa: S311 - spreads load, hides nothing
        return saved

    async def _try(self, url: str, target: Target) -> SavedImage | DownloadFailed:
        file = ImageFile(target.path, exact=target.exact, overwrite=target.overwrite)
        try:
            error = judge_fetch(await self._transport.fetch(url, file.write))
        except BaseException:
            file.discard()
            raise
        if error:
            file.discard()
            return error
        try:
            # A thread outlives the cancellation of its waiter, so commit cleans up behind itself.
            return await asyncio.to_thread(file.commit, url)
        except DownloadFailed as failure:
            return failure
