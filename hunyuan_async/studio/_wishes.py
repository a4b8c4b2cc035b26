"""What the page asks for with one click, checked before anything is ordered."""

from __future__ import annotations

import json

import attrs
import cattrs
from aiohttp import web

from hunyuan_async.client import LARGEST_SEED
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import RequestType

MOST_VARIATIONS = 8
LONGEST_ID = 100  # characters


@attrs.frozen
class Source:
    """An image that an edit starts from: one of three ways to name it.

    Attributes:
        url: By its address.
        handle: As an image of an order.
        number: Which one of that order's images.
        upload: By the SHA-256 that its upload was answered with.
    """

    url: str | None = None
    handle: str | None = None
    number: int = 0
    upload: str | None = None


@attrs.frozen
class Wish:
    """What the page asks for with one click.

    Attributes:
        id: Of the click, so that it counts once.
        prompt: As typed.
        type: What to do.
        size: In pixels or as a ratio.
        seed: Of the first image; None draws one for each.
        variations: How many images.
        images: What an edit starts from.
    """

    id: str
    prompt: str
    type: RequestType = "text-to-image"
    size: str = "1024*1024"
    seed: int | None = None
    variations: int = 1
    images: tuple[Source, ...] = ()


def read_wish(body: bytes) -> Wish:
    """Read what the page asks for.

    Raises:
        web.HTTPBadRequest: It is none of our page's.
        InvalidRequest: It cannot be right.
    """
    try:
        wish = cattrs.structure(json.loads(body), Wish)
    except (ValueError, RecursionError, cattrs.BaseValidationError):
        wish = None
    if wish is None or not 1 <= len(wish.id) <= LONGEST_ID:
        raise web.HTTPBadRequest(reason="this is no wish for images")
    if not 1 <= wish.variations <= MOST_VARIATIONS:
        raise InvalidRequest(f"Ask for 1 to {MOST_VARIATIONS} variations at once.")
    if wish.seed is not None and not 0 <= wish.seed <= LARGEST_SEED + 1 - wish.variations:
        raise InvalidRequest(f"The seeds must be from 0 to {LARGEST_SEED}, that of the last variation as well.")
    return wish
