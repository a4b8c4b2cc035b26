"""What the emulated service accepts in the body of a submit."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import attrs

from hunyuan_async.emulator._answers import Rejected, invalid

MODEL = "hunyuan-image-3"
MAX_SEED = 2**31 - 1
REFUSED_MARK = "[refuse]"
"""A prompt with this is refused, as the content policy would."""
FAILING_MARK = "[fail]"
"""A task whose prompt has this is accepted, charged, and fails later."""


@attrs.frozen
class Order:
    """A submit whose fields are in order.

    Attributes:
        prompt: Trimmed.
        width: In pixels.
        height: In pixels.
        images: Addresses of the input images; empty unless it is an edit.
        seed: -1 leaves it to the service.
    """

    prompt: str
    width: int
    height: int
    images: tuple[str, ...]
    seed: int


def read_order(body: bytes) -> Order:
    """Read the body of a submit; fields that are not documented are ignored.

    Raises:
        Rejected: With 400 for a field that is missing or wrong, or a prompt that the content policy forbids.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise invalid("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise invalid("the body is not an object")
    if fields.get("model") != MODEL:
        raise invalid(f"model must be {MODEL}")
    prompt = _prompt(fields.get("prompt"))
    width, height = _size(fields.get("size", "1024*1024"))
    images = _images(fields.get("type", "text-to-image"), fields.get("images", []))
    return Order(prompt, width, height, images, _seed(fields.get("seed", -1)))


def _prompt(prompt: object) -> str:
    if not isinstance(prompt, str) or not 1 <= len(prompt.strip()) <= 2000:
        raise invalid("prompt must have 1 to 2000 characters")
    if REFUSED_MARK in prompt:
        raise Rejected(400, "The prompt violates the content policy", "content_policy_violation")
    return prompt.strip()


def _size(size: object) -> tuple[int, int]:
    sides = re.fullmatch(r"([0-9]{1,5})\*([0-9]{1,5})", size) if isinstance(size, str) else None
    if sides is None:
        raise invalid("size must be W*H")
    width, height = int(sides[1]), int(sides[2])
    if not (256 <= width <= 1536 and 256 <= height <= 1536):
        raise invalid("both sides must be 256 to 1536 pixels")
    return width, height


def _images(kind: object, images: object) -> tuple[str, ...]:
    if kind not in ("text-to-image", "edit"):
        raise invalid("type must be text-to-image or edit")
    if not isinstance(images, list) or not all(isinstance(url, str) for url in images):
        raise invalid("images must be a list of addresses")
    if kind == "text-to-image" and images:
        raise invalid("images are for type edit")
    if kind == "edit" and not 1 <= len(images) <= 2:
        raise invalid("an edit needs 1 or 2 images")
    if not all(_is_address(url) for url in images):
        raise invalid("images must be http or https addresses")
    return tuple(images)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _seed(seed: object) -> int:
    if not isinstance(seed, int) or isinstance(seed, bool) or not -1 <= seed <= MAX_SEED:
        raise invalid(f"seed must be -1 to {MAX_SEED}")
    return seed
