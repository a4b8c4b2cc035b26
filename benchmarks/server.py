"""A service that answers at once, in a process of its own: what a client's process then spends is the client's."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

BACKLOG = 4096  # connections; the benchmarks open 2,000 at once
PATIENT_TASKS = 5  # every so many-th task needs a second look, which is what the library's schedule aims at


class _Connection(asyncio.Protocol):
    """Reads requests and answers in the documented shapes; requests never overlap on one connection."""

    numbers = itertools.count(1)
    looks: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        if head.startswith(b"GET") and self._received.endswith(b"\r\n\r\n"):
            task_id = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
            self._answer(self._look(task_id))
        elif head.startswith(b"POST") and body.endswith(b"}"):
            self._answer({"task_id": f"n68{next(self.numbers):06}_hunyuan3", "status": "IN_PROGRESS"})

    def _look(self, task_id: str) -> dict[str, object]:
        self.looks[task_id] += 1
        if int(task_id[3:9]) % PATIENT_TASKS == 0 and self.looks[task_id] == 1:
            return {"task_id": task_id, "status": "IN_PROGRESS"}
        return {"task_id": task_id, "status": "completed", "outputs": [f"https://images.example/{task_id}.png"]}

    def _answer(self, data: dict[str, object]) -> None:
        self._received = b""
        body = json.dumps({"code": 200, "message": "success", "data": data}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run the service in another process; gives its base URL."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.server"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/api/v1"
        finally:
            server.kill()


if __name__ == "__main__":
    asyncio.run(_serve())
