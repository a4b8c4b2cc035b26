"""The one seam between the engine and the network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from hunyuan_async._core.replies import Fetched, NoReply, Reply
from hunyuan_async.models import ImageRequest

BeforeSend = Callable[[], Awaitable[None]]


class Transport(Protocol):
    """Sends requests and says what came back; it neither retries nor judges."""

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """POST *request*, awaiting *before_send* after connecting and before the first byte leaves.

        What *before_send* raises is passed on as it is, and then no byte has left.
        """

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Look once at a task."""

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Stream an image to *write*, chunk by chunk."""

    async def aclose(self) -> None:
        """Close every connection."""
