"""From a finished task to checked files on disk."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from hunyuan_async._core.fetching import judge_fetch, retry_delay
from hunyuan_async._core.replies import Fetched, NoReply
from hunyuan_async._files import ImageFile
from hunyuan_async._targets import Target
from hunyuan_async.errors import DownloadFailed, HunyuanError, TaskLost
from hunyuan_async.models import SavedImage, TaskStatus
from hunyuan_async.transport import Transport

ATTEMPTS = 4


class Saver:
    """Fetches finished images, a few at once, and writes them atomically."""

    def __init__(self, transport: Transport, downloads: int) -> None:
        self._transport = transport
        self._places = asyncio.Semaphore(downloads)
        self._closed = False

    async def save(
        self, urls: tuple[str, ...], target: Target, refresh: Callable[[], Awaitable[TaskStatus | HunyuanError]]
    ) -> tuple[SavedImage, ...]:
        """Save every image of a task; an address that has expired is asked for once more by *refresh*.

        Raises:
            DownloadFailed: An image could not be fetched or saved, or its address has expired for good; that is so
                only if the service said so.
        """
        saved: list[SavedImage] = []
        async with self._places:
            try:
                await self._save_rest(urls, target, saved)
                return tuple(saved)
            except DownloadFailed as error:
                if error.kind != "expired":
                    raise
                expired = error
            status = await refresh()
            if isinstance(status, HunyuanError) and not isinstance(status, TaskLost):
                raise DownloadFailed(f"No fresh address of the image: {status.message}", retry="same")
            if isinstance(status, HunyuanError) or not status.urls:
                raise expired
            await self._save_rest(status.urls, target, saved)
        return tuple(saved)

    def close(self) -> None:
        """Fetch nothing from now on: the transport is about to close."""
        self._closed = True

    async def _save_rest(self, urls: tuple[str, ...], target: Target, saved: list[SavedImage]) -> None:
        for number, url in enumerate(urls[len(saved) :], start=len(saved) + 1):
            saved.append(await self._save_one(url, target.numbered(number)))

    async def _save_one(self, url: str, target: Target) -> SavedImage:
        attempt = 1
        while True:
            file = ImageFile(target.path, exact=target.exact, overwrite=target.overwrite)
            seen = await self._fetch(url, file)
            saved = judge_fetch(seen) or await self._commit(file, url)
            if isinstance(saved, SavedImage):
                return saved
            file.discard()
            if saved.retry != "same" or attempt == ATTEMPTS:
                raise saved
            attempt += 1
            await asyncio.sleep(retry_delay(attempt, random.random(), seen))  # noqa: S311 - spreads load, hides nothing

    async def _fetch(self, url: str, file: ImageFile) -> Fetched | NoReply:
        if self._closed:
            raise DownloadFailed("The client was closed before the image was saved.", retry="same")
        try:
            return await self._transport.fetch(url, file.write)
        except BaseException:
            file.discard()
            raise

    async def _commit(self, file: ImageFile, url: str) -> SavedImage | DownloadFailed:
        try:
            # Whoever is cancelled, a commit is seen through: it alone cleans up behind itself.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, file.commit, url))
        except DownloadFailed as failure:
            return failure
