"""What the emulated service answers, and the errors it knows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from hunyuan_async.emulator._shapes import Json


@attrs.frozen
class Answer:
    """One answer of the API.

    Attributes:
        status: The HTTP status.
        body: To be sent as JSON.
        headers: Beyond those that every answer has.
    """

    status: int
    body: Mapping[str, Json]
    headers: Mapping[str, str] = attrs.field(factory=dict)


class Rejected(Exception):
    """Raised if the service says no; carries the documented error envelope.

    Attributes:
        answer: What to send.
    """

    def __init__(self, status: int, message: str, type: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        headers = {} if retry_after is None else {"Retry-After": str(max(1, math.ceil(retry_after)))}
        error: dict[str, Json] = {"code": status, "message": message, "type": type}
        self.answer = Answer(status, {"error": error}, headers)


def invalid(message: str) -> Rejected:
    """The error of a request that cannot be right."""
    return Rejected(400, f"Invalid parameters: {message}", "invalid_request")
