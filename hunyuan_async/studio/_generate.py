"""The page that makes images: it places orders in a store, follows them, and shows what was said to the service."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import attrs
from aiohttp import web

from hunyuan_async._assembly import base_url_of, key_of
from hunyuan_async._core.names import slug
from hunyuan_async.client import LARGEST_SEED, Client
from hunyuan_async.errors import HunyuanError, InvalidRequest, NoSuchOrder
from hunyuan_async.integrations.aiohttp_web import send_events
from hunyuan_async.integrations.web import EventStream, answer_to, last_event_id
from hunyuan_async.models import ImageRequest, SavedImage
from hunyuan_async.store import Order, Quotas, Store
from hunyuan_async.studio._calls import CallLog
from hunyuan_async.studio._gallery import Picture
from hunyuan_async.studio._pictures import Pictures
from hunyuan_async.studio._sources import LARGEST, Sources, check_image
from hunyuan_async.studio._wishes import MOST_VARIATIONS, Source, read_wish
from hunyuan_async.uploads import Uploader

TENANT = "studio"
PAGE = 60  # orders
LONGEST_NUMBER = 19  # digits
LONGEST_PAGE = 200
SHOWN = (
    *("waiting", "in_flight", "slots", "saving", "waiting_for", "rate", "rate_found", "submits", "polls", "limited"),
    *("latency_p50", "latency_p95", "polls_per_task", "credits_spent", "credits_reserved", "credits_at_risk"),
)
Answer = web.StreamResponse
Handler = Callable[[web.Request], Awaitable[Answer]]


class Generator:
    """What the page asks for. It holds nothing that a reload would lose.

    Args:
        store: Takes the orders, all of one tenant.
        calls: Hears what its client sends.
        sources: Finds addresses for the images of edits.
        key: The API key, which no answer may hold.
        base_url: Where the API is.

    Attributes:
        store: Holds everything that a reload shows.
    """

    def __init__(self, store: Store, calls: CallLog, sources: Sources, *, key: str, base_url: str) -> None:
        self.store = store
        self._calls, self._sources = calls, sources
        self._key, self._base_url = key, base_url
        self._pictures = Pictures(store.directory)

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What the page asks for."""
        return [
            web.get("/api/studio", self._answered(self._tell_service)),
            web.get("/api/statistics", self._answered(self._tell_statistics)),
            web.get("/api/orders", self._answered(self._tell_orders)),
            web.post("/api/orders", self._answered(self._place)),
            web.get("/api/orders/{handle}", self._answered(self._tell_order)),
            web.get("/api/orders/{handle}/calls", self._answered(self._tell_calls)),
            web.post("/api/orders/{handle}/withdraw", self._answered(self._withdraw)),
            web.post("/api/uploads", self._answered(self._take_upload)),
            web.get("/api/events", self._follow),
            web.get(r"/images/{handle}/{number:\d{1,3}}", self._answered(self._serve_image)),
            web.get(r"/thumbnails/{handle}/{number:\d{1,3}}", self._answered(self._serve_thumbnail)),
        ]

    def close(self) -> None:
        """End the threads that read images."""
        self._pictures.close()

    def _answered(self, handler: Handler) -> Handler:
        """Answer with what *handler* returns, or with the error in its own words: who reads them is the operator."""

        async def answer(request: web.Request) -> Answer:
            try:
                return await handler(request)
            except HunyuanError as error:
                told = answer_to(error)
                return self._json({"error": _told(error)}, told.status, told.headers)

        return answer

    def _text(self, content: object) -> str:
        """Write JSON without the key, whoever may have put it there: the service may repeat it in its answers."""
        return json.dumps(content).replace(json.dumps(self._key)[1:-1], "(the key)")

    def _json(self, content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
        return web.Response(text=self._text(content), status=status, headers=headers, content_type="application/json")

    async def _tell_service(self, request: web.Request) -> web.Response:
        service = self.store.client.service
        return self._json(
            {
                "base_url": self._base_url,
                "emulated": self._sources.emulated,
                "directory": str(self.store.directory),
                "ratios": dict(service.ratios),
                "min_side": service.min_side,
                "max_side": service.max_side,
                "prompt_chars": service.prompt_chars,
                "max_images": service.max_images,
                "credits": service.credits_per_image,
                "usd_per_credit": service.usd_per_credit,
                "max_variations": MOST_VARIATIONS,
                "largest_seed": LARGEST_SEED,
                "can_upload": self._sources.emulated or self._sources.uploader is not None,
                "largest_upload": LARGEST,
                "now": datetime.now(UTC).isoformat(),
            }
        )

    async def _tell_statistics(self, request: web.Request) -> web.Response:
        statistics = attrs.asdict(await self.store.statistics())
        finite = {name: None if statistics[name] == math.inf else statistics[name] for name in SHOWN}
        return self._json({**finite, "sends": self.store.sends})

    async def _tell_orders(self, request: web.Request) -> web.Response:
        before, limit = _number(request, "before"), min(_number(request, "limit") or PAGE, LONGEST_PAGE)
        orders = await self.store.orders(tenant=TENANT, before=before, limit=limit)
        return self._json({"orders": [_shown(order) for order in orders], "more": len(orders) == limit})

    async def _tell_order(self, request: web.Request) -> web.Response:
        return self._json(_shown(await self._order(request)))

    async def _tell_calls(self, request: web.Request) -> web.Response:
        order = await self._order(request)
        return self._json(self._calls.as_json(order.handle, order.request))

    async def _place(self, request: web.Request) -> web.Response:
        wish = read_wish(await request.read())
        images = [await self._address(source, request) for source in wish.images]
        placed: list[Order] = []
        for variation in range(wish.variations):
            seed = None if wish.seed is None else wish.seed + variation
            wanted = ImageRequest(wish.prompt, wish.type, wish.size, images, seed)
            try:
                placed.append(await self.store.submit(wanted, tenant=TENANT, id=f"{wish.id}.{variation}"))
            except HunyuanError as error:
                if not placed:
                    raise
                return self._json({"orders": [_shown(order) for order in placed], "error": _told(error)})
        return self._json({"orders": [_shown(order) for order in placed], "error": None})

    async def _withdraw(self, request: web.Request) -> web.Response:
        return self._json(_shown(await self.store.withdraw(request.match_info["handle"], tenant=TENANT)))

    async def _take_upload(self, request: web.Request) -> web.Response:
        data = bytearray()
        async for chunk in request.content.iter_any():
            data += chunk
            if len(data) > LARGEST:
                raise InvalidRequest(f"The image has more than {LARGEST >> 20} MiB.")
        image = await asyncio.to_thread(check_image, bytes(data))
        await self._sources.of_bytes(image, f"http://{request.host}/uploads/{image.sha256}")
        return self._json({"upload": image.sha256, "width": image.facts.width, "height": image.facts.height})

    async def _address(self, source: Source, request: web.Request) -> str:
        if source.url:
            return source.url
        if source.upload:
            if address := await self._sources.known(source.upload):
                return address
            raise InvalidRequest("The uploaded image is not at hand any more: choose the file again.")
        order = await self.store.order(source.handle or "", tenant=TENANT)
        file, number = _file(order, source.number), source.number
        local = f"http://{request.host}/images/{order.handle}/{number}"
        return await self._sources.of_file(file.path, file.sha256, local)

    async def _follow(self, request: web.Request) -> Answer:
        after = last_event_id(request.headers.get("Last-Event-ID") or request.query.get("after"))
        changes = self.store.follow(tenant=TENANT, after=after)
        return await send_events(request, EventStream(changes, tell=lambda order: self._text(_shown(order))))

    async def _serve_image(self, request: web.Request) -> web.Response:
        return await self._pictures.serve(request, await self._picture(request), small=False)

    async def _serve_thumbnail(self, request: web.Request) -> web.Response:
        return await self._pictures.serve(request, await self._picture(request), small=True)

    async def _picture(self, request: web.Request) -> Picture:
        file = _file(await self._order(request), int(request.match_info["number"]))
        path = file.path.relative_to(self.store.directory)
        return Picture(file.sha256, path.as_posix(), file.width, file.height)

    async def _order(self, request: web.Request) -> Order:
        return await self.store.order(request.match_info["handle"], tenant=TENANT)


@asynccontextmanager
async def open_generator(
    client: Client, directory: Path, *, uploader: Uploader | None, emulated: bool, key_changed: bool = False
) -> AsyncIterator[Generator]:
    """Open the store in *directory* with a *client* that has not been used yet, and what the page asks for.

    Raises:
        JournalError: The directory cannot be used.
        InvalidRequest: It belongs to another service or account.
    """
    calls, base_url = CallLog.of(client), base_url_of(client)
    quotas = Quotas(None, None, None)  # there is one tenant: the account's owner
    async with Store(directory, client=client, quotas=quotas, key_changed=key_changed) as store:
        sources = Sources(directory, base_url, uploader, emulated)
        with closing(Generator(store, calls, sources, key=key_of(client), base_url=base_url)) as generator:
            yield generator


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name, "")
    return int(text) if text.isdecimal() and len(text) < LONGEST_NUMBER else None


def _file(order: Order, number: int) -> SavedImage:
    if not 0 <= number < len(order.files):
        raise NoSuchOrder("There is no such image.")
    return order.files[number]


def _shown(order: Order) -> dict[str, object]:
    """What a tenant may see, and what the operator, who sits at the studio, may see besides."""
    stem = f"{slug(order.request.prompt)}-{order.request.seed}"
    several = len(order.files) > 1
    return {
        **order.public(),
        "number": order.number,
        "withdrawing": order.withdrawing,
        "files": [
            f"{stem}{f'-{number}' if several else ''}{file.path.suffix}" for number, file in enumerate(order.files, 1)
        ],
        "told": order.error and _told(order.error),
    }


def _told(error: HunyuanError) -> dict[str, str]:
    return {"kind": error.kind, "message": error.message, "charged": error.charged}
