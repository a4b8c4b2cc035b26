"""What a kind of fault is, and what it finds when it acts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias, get_args

import attrs
from aiohttp import web

Place: TypeAlias = Literal["connect", "submit", "poll", "fetch"]
"""What may meet a fault: a connection, a submit, a look at a task, a download of an image."""
PLACES: tuple[Place, ...] = get_args(Place)
API: tuple[Place, ...] = ("submit", "poll")
REQUESTS: tuple[Place, ...] = ("submit", "poll", "fetch")

Effect: TypeAlias = Literal["unread", "refused", "done"]
"""What became of the request: its body was not read; it was read, and nothing was done; or it was carried out, so
that a submit is paid whatever its answer says."""


@attrs.frozen
class Reply:
    """An answer as it goes over the wire.

    Attributes:
        status: The HTTP status.
        body: As sent.
        headers: Beyond those that HTTP itself needs.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Scene:
    """A request that meets a fault.

    Attributes:
        request: The request.
        transport: Its connection.
        honest: What the service answers to it; empty unless it was carried out.
        seconds: How long the fault's pauses are.
    """

    request: web.Request
    transport: asyncio.Transport
    honest: Reply
    seconds: float


@attrs.frozen
class Kind:
    """A kind of fault.

    Attributes:
        word: Its name.
        means: What is seen on the wire.
        at: What may meet it.
        effect: What became of the request.
    """

    word: str
    means: str
    at: tuple[Place, ...]
    effect: Effect


@attrs.frozen
class RequestKind(Kind):
    """A kind of fault that a request meets.

    Attributes:
        act: Does it; returns what is still to be sent, if the connection goes on.
    """

    act: Callable[[Scene], Awaitable[web.Response | None]]


@attrs.frozen
class ConnectionKind(Kind):
    """A kind of fault that a connection meets before anything was read from it.

    Attributes:
        act: Does it, and returns whether the connection is left open.
    """

    act: Callable[[socket.socket], bool]


def replying(
    word: str, means: str, at: tuple[Place, ...], effect: Effect, make: Callable[[Scene], Reply]
) -> RequestKind:
    """A kind of fault that is a well-formed answer of its own."""

    async def act(scene: Scene) -> web.Response:
        reply = make(scene)
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    return RequestKind(word, means, at, effect, act)
