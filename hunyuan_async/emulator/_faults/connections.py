"""Faults of a connection from which nothing was read yet."""

from __future__ import annotations

import socket

from hunyuan_async.emulator._faults.kinds import ConnectionKind
from hunyuan_async.emulator._faults.wire import NO_LINGER

REFUSED = "refused"


def _reset(connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    return False


def _answer_unasked(connection: socket.socket) -> bool:
    connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    return True


CONNECTIONS = (
    ConnectionKind(
        REFUSED, "nobody listens for *seconds*; one that came just before is reset", ("connect",), "unread", _reset
    ),
    ConnectionKind("accept-reset", "reset when it is accepted", ("connect",), "unread", _reset),
    ConnectionKind("accept-close", "closed when it is accepted", ("connect",), "unread", lambda connection: False),
    ConnectionKind(
        "accept-silence",
        "accepted, and never read: under TLS no handshake",
        ("connect",),
        "unread",
        lambda connection: True,
    ),
    ConnectionKind(
        "accept-plain", "a plain 400 before anything is asked, under TLS too", ("connect",), "unread", _answer_unasked
    ),
)
