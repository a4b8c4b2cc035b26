"""Where the images of a finished task stand.

The service does not document it, so every place seen at this gateway, its provider and sibling services is
looked at, in one fixed order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TypeGuard

# The first of these that holds an address wins. They are looked for under "data", then at the top, and in
# the same order inside every object that they lead to.
_PLACES = (
    "outputs",
    "output",
    "images",
    "image_url",
    "image_urls",
    "url",
    "urls",
    "result",
    "response",
    "data",
)
_LONGEST_ADDRESS = 8192  # characters
_NEVER_IN_ADDRESSES = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_web_address(value: object) -> TypeGuard[str]:
    """Tell whether *value* is an http or https address with a host, fit to be sent and fetched."""
    # Here, since it costs a twentieth of importing the client, and only edits and answers need it.
    from urllib.parse import urlsplit

    if not isinstance(value, str) or len(value) > _LONGEST_ADDRESS or _NEVER_IN_ADDRESSES.search(value):
        return False
    try:
        address = urlsplit(value)
    except ValueError:  # an unfinished "[", or characters that would change the host when normalised
        return False
    return address.scheme in {"http", "https"} and bool(address.hostname)


def find_image_urls(body: Mapping[str, object], ignore: Collection[str] = ()) -> tuple[str, ...]:
    """Return the addresses of the images in a task's answer, in its order and without duplicates.

    Args:
        body: The parsed answer.
        ignore: Addresses that are never results: the input images, which some services echo.
    """
    data = body.get("data")
    under_data = _urls_of(data, ignore) if isinstance(data, Mapping) else ()
    return tuple(dict.fromkeys(under_data or _urls_of(body, ignore)))


def _urls_of(holder: Mapping[str, object], ignore: Collection[str]) -> tuple[str, ...]:
    for place in _PLACES:
        value = holder.get(place)
        if not value or (place == "urls" and isinstance(value, Mapping)):
            continue  # an object there holds links to the API: get, cancel, ...
        if found := tuple(_urls_at(value, ignore)):
            return found
    return ()


def _urls_at(value: object, ignore: Collection[str]) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Mapping):
            yield from _urls_of(item, ignore)
        elif is_web_address(item) and item not in ignore:
            yield item
