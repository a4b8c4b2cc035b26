"""The review of a run: what its page asks for, and what the person who looks at it thinks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs
import cattrs
from aiohttp import web

from hunyuan_async._core.text import printable
from hunyuan_async._journal.disk import JOURNAL
from hunyuan_async.cli.directories import open_run
from hunyuan_async.cli.picks import PICKS, PicksFile, Verdict
from hunyuan_async.errors import HunyuanError
from hunyuan_async.settings import API_IN_ONE
from hunyuan_async.studio._gallery import Gallery, Picture, Wanted, sent
from hunyuan_async.studio._pictures import Pictures

T = TypeVar("T")

MOST_ITEMS = 500  # told at once


@attrs.frozen
class Asked:
    """A verdict as the page sends it.

    Attributes:
        position: Of the image.
        verdict: What is thought of it.
        sent: Which attempt the page shows.
        after: How many changes the page knows.
        over: The verdict that it takes back, if it does.
    """

    position: int
    verdict: Verdict
    sent: str
    after: int = 0
    over: Verdict | None = None


class Review:
    """The run in a directory, opened to be looked through; only picks.csv and small copies of images are written.

    Raises:
        InvalidRequest: The directory holds no run, or its picks.csv cannot be used.
        JournalError: Its journal cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._gallery = self._read()
        self._pictures = Pictures(directory)
        # One thread, so that verdicts stand in the file in the order in which they were given.
        self._turns = ThreadPoolExecutor(1, "picks")

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What the page asks for."""
        return [
            web.get("/api/review", self._tell_run),
            web.get("/api/review/positions", self._tell_positions),
            web.get("/api/review/items", self._tell_items),
            web.get("/api/review/verdicts", self._tell_verdicts),
            web.post("/api/review/verdicts", self._take_verdict),
            web.get("/images/{sha256}", self._serve_image),
            web.get("/thumbnails/{sha256}", self._serve_thumbnail),
        ]

    def close(self) -> None:
        """End the threads; verdicts on their way are stored."""
        self._turns.shutdown()
        self._pictures.close()

    async def _tell_run(self, request: web.Request) -> web.Response:
        await self._in_turn(self._catch_up)
        return web.json_response(
            {
                "title": printable(self._directory.resolve().name),
                "directory": printable(str(self._directory)),
                "total": len(self._gallery.shots),
                "statuses": self._gallery.statuses(),
                "columns": self._gallery.columns(),
                "credits": API_IN_ONE.credits_per_image,
                "dollars": API_IN_ONE.credits_per_image * API_IN_ONE.usd_per_credit,
                **self._gallery.news(0),
            }
        )

    async def _tell_positions(self, request: web.Request) -> web.Response:
        names = [field.name for field in attrs.fields(Wanted)]
        wanted = Wanted(**{name: request.query.get(name, "") for name in names})
        return web.json_response({"positions": self._gallery.positions(wanted)})

    async def _tell_items(self, request: web.Request) -> web.Response:
        try:
            positions = [int(text) for text in request.query.get("positions", "").split(",")]
        except ValueError:
            positions = []
        shots = self._gallery.shots
        if not 0 < len(positions) <= MOST_ITEMS or not all(0 <= position < len(shots) for position in positions):
            raise web.HTTPBadRequest(reason="there are no such positions, or too many")
        return web.json_response({"items": {position: shots[position].as_json() for position in positions}})

    async def _tell_verdicts(self, request: web.Request) -> web.Response:
        await self._in_turn(self._take_news)
        after = request.query.get("after", "")
        return web.json_response(self._gallery.news(int(after) if after.isdecimal() else 0))

    async def _take_verdict(self, request: web.Request) -> web.Response:
        asked = _asked(await request.read(), len(self._gallery.shots))
        before = await self._in_turn(partial(self._store, asked))
        if before is None:
            raise web.HTTPConflict(reason="it is not what you see any more: reload the page, and look again")
        if asked.over is not None and before != asked.over:
            raise web.HTTPConflict(reason="somebody else has thought otherwise since, and that stays")
        return web.json_response({"before": before, **self._gallery.news(asked.after)})

    def _store(self, asked: Asked) -> Verdict | None:
        """Store a verdict, unless it is meant to replace another one than there is; return the one there was.

        None is returned, and nothing stored, if it is about an image that was made again since: it would count for the
        new one, and a redo would pay for that again.
        """
        shot = self._gallery.shots[asked.position]
        at = datetime.now(UTC)  # an attempt that is sent after the look below is not what it is about
        with open_run(self._directory) as (reader, record):
            item = reader.item(record.run, shot.id)
        if item is None or sent(item.sending_at) != asked.sent:
            return None
        self._take_news()
        before = shot.verdict
        if asked.over in (None, before):
            self._picks.add(shot.id, asked.verdict, at)
            self._take_news()
        return before

    def _take_news(self) -> None:
        self._gallery.take(self._picks.news())

    async def _serve_image(self, request: web.Request) -> web.Response:
        return await self._pictures.serve(request, self._picture(request), small=False)

    async def _serve_thumbnail(self, request: web.Request) -> web.Response:
        return await self._pictures.serve(request, self._picture(request), small=True)

    def _picture(self, request: web.Request) -> Picture:
        try:
            return self._gallery.pictures[request.match_info["sha256"]]
        except KeyError:
            raise web.HTTPNotFound(reason="this run has no such image") from None

    async def _in_turn(self, work: Callable[[], T]) -> T:
        """Do what waits for the disk in the one thread for it; a browser that leaves does not stop it."""
        try:
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._turns, work))
        except HunyuanError as error:
            reason = printable(error.message)
        except OSError as error:
            reason = printable(f"{PICKS} could not be used: {error.strerror}")
        raise web.HTTPInsufficientStorage(reason=reason)

    def _catch_up(self) -> None:
        if self._stamp() != self._seen:  # some images were made again since
            gallery = self._read()
            gallery.follow(self._gallery)
            self._gallery = gallery  # whoever sees it, sees it whole

    def _read(self) -> Gallery:
        self._seen = self._stamp()
        with open_run(self._directory) as (reader, record):
            gallery = Gallery.of(reader.latest(record.run), self._directory)
        self._picks = PicksFile(self._directory)
        gallery.take(self._picks.news())
        return gallery

    def _stamp(self) -> list[tuple[int, int]]:
        journal = (self._directory / JOURNAL).resolve()
        files = [path.stat() for path in (journal, journal.with_name(f"{journal.name}-wal")) if path.exists()]
        return [(file.st_mtime_ns, file.st_size) for file in files]


def _asked(body: bytes, shots: int) -> Asked:
    try:
        asked = cattrs.structure(json.loads(body), Asked)
    except (ValueError, RecursionError, cattrs.BaseValidationError):
        asked = None
    if asked is None or not 0 <= asked.position < shots:
        raise web.HTTPBadRequest(reason="this is no verdict about an image of the run")
    return asked
