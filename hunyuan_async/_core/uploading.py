"""Uploading an image: what to run, what its answer means, and whether an address of ours still works."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from hunyuan_async._core.image_urls import is_web_address
from hunyuan_async._core.text import shown
from hunyuan_async.errors import InvalidRequest

PLACE = "{file}"
UNSIGNED_LIVES = timedelta(hours=1)  # from when it was handed out; nobody says how long it is
NEEDED = timedelta(minutes=5)  # that an address must still live: the request may wait, and the service takes its time
EARLIEST = 1_000_000_000  # seconds since 1970: a smaller number is no instant

_SIGNED_AT = re.compile(r"x-(\w+)-date", re.IGNORECASE)  # amz, goog, tos, ...: all sign as Amazon does


def command_words(command: str, path: str) -> list[str]:
    """Return the program and the arguments of *command* for the file at *path*; no shell will read them.

    Raises:
        InvalidRequest: It names no place for the file, or a quote in it does not end.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not any(PLACE in word for word in words[1:]):
        raise InvalidRequest(
            f"the upload command must be a program with {PLACE} among its arguments, and every quote must end; "
            f"got {shown(command)}"
        )
    return [word.replace(PLACE, path) for word in words]


def printed_address(output: bytes) -> str | None:
    """Return the web address in the last line that is not empty; None if there stands something else."""
    lines = output.decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last if is_web_address(last) else None


def is_worth_trying(url: str, handed_out_at: datetime | None, now: datetime) -> bool:
    """Tell whether an image's address most likely works for some minutes more, by what its signature says, or its age.

    Only fetching it would show for certain, and it is the service that fetches.
    """
    if ends := _signed_until(url):
        return now + NEEDED <= min(ends)
    return handed_out_at is not None and now - handed_out_at <= UNSIGNED_LIVES - NEEDED


def _signed_until(url: str) -> list[datetime]:
    """Return when the signatures in *url* end, as far as they can be read."""
    # Here, as in `image_urls`: it costs a part of importing the client.
    from urllib.parse import parse_qsl, urlsplit

    fields = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    ends: list[datetime | None] = []
    for name, value in fields.items():
        if name == "expires":
            ends.append(_instant(value))
        elif name == "q-sign-time":  # from; until
            ends.append(_instant(value.rpartition(";")[2]))
        elif signed := _SIGNED_AT.fullmatch(name):
            ends.append(_later(value, fields.get(f"x-{signed[1]}-expires", "")))
    return [end for end in ends if end]


def _instant(seconds: str) -> datetime | None:
    with suppress(ArithmeticError, OSError, ValueError):
        if int(seconds) >= EARLIEST:
            return datetime.fromtimestamp(int(seconds), UTC)
    return None


def _later(compact: str, seconds: str) -> datetime | None:
    """Return the instant so many *seconds* after a time such as 20261122T120000Z."""
    with suppress(ArithmeticError, ValueError):
        return datetime.strptime(f"{compact}+0000", "%Y%m%dT%H%M%SZ%z") + timedelta(seconds=int(seconds))
    return None
