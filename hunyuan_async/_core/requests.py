"""What may be sent: everything about a request is checked here, before it can cost anything."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import get_args

import attrs

from hunyuan_async._core.image_urls import is_web_address
from hunyuan_async._core.text import shown
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest, RequestType
from hunyuan_async.settings import Service

_SIZE = re.compile(r"([0-9]{1,6})[*xX\u00d7]([0-9]{1,6})")
_LARGEST_SEED = 2**31 - 1
_LONGEST_NAME = 200  # characters


def prepare(request: ImageRequest, service: Service) -> ImageRequest:
    """Check a request and return it as it will be sent: prompt trimmed, size as "W*H".

    A seed of None stays None: drawing one is the client's part.

    Raises:
        InvalidRequest: Something in it cannot be right; the message says what to change.
    """
    if not isinstance(request, ImageRequest):
        raise InvalidRequest(f"expected an ImageRequest, got {shown(request)}")
    if request.type not in get_args(RequestType):
        raise InvalidRequest(f'type must be "text-to-image" or "edit", got {shown(request.type)}')
    _check_images(request, service)
    _check_seed(request.seed)
    check_name("model", request.model)
    check_name("id", request.id)
    _check_extra(request.extra, service)
    prompt, size = _prompt(request.prompt, service), _size(request.size, service)
    if (prompt, size) == (request.prompt, request.size):
        return request
    return attrs.evolve(request, prompt=prompt, size=size)


def digest_of(request: ImageRequest, given: Iterable[str]) -> str:
    """Return a SHA-256 of what was *given* of a request, by the names of its fields, before defaults and seeds."""
    as_given = {name: str(getattr(request, name)).strip() for name in sorted(given)}
    return hashlib.sha256(json.dumps(as_given).encode()).hexdigest()


def _prompt(prompt: str, service: Service) -> str:
    if not isinstance(prompt, str):
        raise InvalidRequest(f"prompt must be text, got {shown(prompt)}")
    trimmed = prompt.strip()
    if not 1 <= len(trimmed) <= service.prompt_chars:
        advice = "shorten it" if trimmed else "say what the image should show"
        raise InvalidRequest(
            f"prompt has {len(trimmed)} characters, and 1 to {service.prompt_chars} are allowed: {advice}"
        )
    _check_encodable("prompt", trimmed)
    return trimmed


def _size(size: str, service: Service) -> str:
    if isinstance(size, str):
        compact = "".join(size.split())
        if match := _SIZE.fullmatch(service.ratios.get(compact, compact)):
            width, height = int(match[1]), int(match[2])
            if service.min_side <= min(width, height) and max(width, height) <= service.max_side:
                return f"{width}*{height}"
    raise InvalidRequest(
        f'size must be "W*H" with both sides from {service.min_side} to {service.max_side} pixels, '
        f"or one of {', '.join(service.ratios)}; got {shown(size)}"
    )


def _check_images(request: ImageRequest, service: Service) -> None:
    count = len(request.images)
    if request.type != "edit":
        if count:
            raise InvalidRequest('images are for edits only: use type="edit" or client.edit(), or leave them out')
        return
    if not 1 <= count <= service.max_images:
        raise InvalidRequest(f"an edit needs 1 to {service.max_images} images, got {count}: pass their https addresses")
    for number, image in enumerate(request.images, 1):
        if not is_web_address(image):
            # What follows a "?" may be a signature, which is a secret.
            given = shown(image.partition("?")[0] if isinstance(image, str) else image)
            raise InvalidRequest(
                f"image {number} must be an http(s) address, got {given}. The service fetches images itself: "
                "upload the file somewhere it can reach and pass its https address"
            )


def _check_seed(seed: int | None) -> None:
    if seed is None:
        return
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise InvalidRequest(f"seed must be a whole number, got {shown(seed)}")
    if not -1 <= seed <= _LARGEST_SEED:
        raise InvalidRequest(f"seed must be from 0 to {_LARGEST_SEED}, or -1 to let the service draw one")


def check_name(what: str, text: object) -> None:
    """Check a model's or an item's name, if there is one.

    Raises:
        InvalidRequest: It is no text that can be stored or sent.
    """
    if text is None:
        return
    if not isinstance(text, str) or not 1 <= len(text) <= _LONGEST_NAME:
        raise InvalidRequest(f"{what} must be text of 1 to {_LONGEST_NAME} characters; leave it out otherwise")
    _check_encodable(what, text)


def _check_encodable(name: str, text: str) -> None:
    try:
        text.encode()
        return
    except UnicodeEncodeError as error:
        position = error.start
    raise InvalidRequest(f"{name} holds half a character at position {position} (a lone surrogate): remove it")


def _check_extra(extra: Mapping[str, object], service: Service) -> None:
    if extra == {}:
        return
    if not isinstance(extra, Mapping) or not all(isinstance(name, str) for name in extra):
        raise InvalidRequest("extra must map names of body fields to values")
    if taken := sorted(extra.keys() & set(service.fields.values())):
        raise InvalidRequest(f"extra may not hold {', '.join(taken)}: set the request's own fields instead")
    try:
        json.dumps(dict(extra), ensure_ascii=False, allow_nan=False).encode()
        return
    except (TypeError, ValueError, RecursionError):
        pass
    raise InvalidRequest("extra must hold only what JSON can: text, finite numbers, true, false, null, lists, objects")
