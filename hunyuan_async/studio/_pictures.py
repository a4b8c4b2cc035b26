"""Image bytes for the browser: of files that the journal names, and small ones made of them on demand."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import attrs
from aiohttp import web

from hunyuan_async._core.image_bytes import read_image
from hunyuan_async.cli.inside import read_inside
from hunyuan_async.cli.thumbnails import make_thumbnail
from hunyuan_async.errors import DownloadFailed
from hunyuan_async.studio._gallery import Picture

THUMBNAILS = ".thumbnails"  # in a run's directory
THREADS = 4
TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}
# The name of the bytes is what they are, so whoever has them need not ask again.
KEPT = "private, max-age=31536000, immutable"


@attrs.define
class Pictures:
    """Reads the images of a run's directory, a few at a time.

    Attributes:
        directory: The run's.
    """

    directory: Path
    _threads: ThreadPoolExecutor = attrs.field(factory=lambda: ThreadPoolExecutor(THREADS, "pictures"), init=False)

    async def serve(self, request: web.Request, picture: Picture, *, small: bool) -> web.Response:
        """Answer with the image, or a small copy of it; its type is what its bytes are.

        Raises:
            web.HTTPNotFound: There is no such file, or it is no image.
        """
        tag = f"{picture.sha256}{'-small' if small else ''}"
        headers = {"Cache-Control": KEPT, "ETag": f'"{tag}"'}
        if any(known.value == tag for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        read = partial(self._read, picture, small=small)
        try:
            data, kind = await asyncio.get_running_loop().run_in_executor(self._threads, read)
        except (OSError, DownloadFailed):
            raise web.HTTPNotFound(reason="the image is not there, or is none") from None
        return web.Response(body=data, content_type=kind, headers=headers)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _read(self, picture: Picture, *, small: bool) -> tuple[bytes, str]:
        data = self._small(picture) if small else self._whole(picture)
        return data, TYPES[read_image(data).extension]

    def _whole(self, picture: Picture) -> bytes:
        return read_inside(self.directory, picture.path)

    def _small(self, picture: Picture) -> bytes:
        """Read a thumbnail; without Pillow, or where none can be kept, the image itself."""
        name = f"{THUMBNAILS}/{picture.sha256}.webp"
        folder = self.directory / THUMBNAILS
        with suppress(OSError):  # there is none yet
            return read_inside(self.directory, name)
        whole = self._whole(picture)  # it is read without links, before Pillow opens it by its name
        with suppress(ModuleNotFoundError, OSError):
            if not folder.is_symlink() and make_thumbnail(self.directory / picture.path, self.directory / name):
                return read_inside(self.directory, name)
        return whole
