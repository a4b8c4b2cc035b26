"""A service that answers at once, in a process of its own: what a client's process then spends is the client's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

BACKLOG = 4096  # connections; the benchmarks open 2,000 at once
PATIENT_TASKS = 5  # every so many-th task needs a second look, which is what the library's schedule aims at
WHOLE_HEAD = re.compile(rb"(GET|POST) (\S+) HTTP/1\.[01]\r\n(.*?)\r\n\r\n", re.DOTALL)
LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)

Body: TypeAlias = Mapping[str, object]
Answer: TypeAlias = Callable[[str, str, bytes, bytes], tuple[str, Body]]
"""Takes method, path, headers and body; returns the status line's rest with further headers, and the JSON."""


class _Connection(asyncio.Protocol):
    """Reads requests, and answers them in turn, each so many seconds later."""

    def __init__(self, answer: Answer, after: float) -> None:
        self._answer, self._after = answer, after
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while request := WHOLE_HEAD.match(self._received):
            method, path, headers = request.groups()
            length = LENGTH.search(headers)
            end = request.end() + (int(length[1]) if length else 0)
            if len(self._received) < end:
                return
            body, self._received = self._received[request.end() : end], self._received[end:]
            self._send(*self._answer(method.decode(), path.decode(), headers, body))

    def _send(self, status: str, body: Body) -> None:
        content = json.dumps(body).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        if self._after:
            asyncio.get_running_loop().call_later(self._after, self._transport.write, head.encode() + content)
        else:
            self._transport.write(head.encode() + content)


async def listen(answer: Answer, *, after: float = 0.0) -> None:
    """Serve on a free port of this machine, and print it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answer, after), "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)


class _Service:
    """Takes everything at once, and has it done by the first look or the second."""

    def __init__(self) -> None:
        self._accepted = 0
        self._looks: Counter[str] = Counter()

    def answer(self, method: str, path: str, headers: bytes, body: bytes) -> tuple[str, Body]:
        data = self._accept() if method == "POST" else self._look(path.rpartition("/")[2])
        return "200 OK", {"code": 200, "message": "success", "data": data}

    def _accept(self) -> Body:
        self._accepted += 1
        return {"task_id": f"n68{self._accepted:06}_hunyuan3", "status": "IN_PROGRESS"}

    def _look(self, task_id: str) -> Body:
        self._looks[task_id] += 1
        if int(task_id[3:9]) % PATIENT_TASKS == 0 and self._looks[task_id] == 1:
            return {"task_id": task_id, "status": "IN_PROGRESS"}
        return {"task_id": task_id, "status": "completed", "outputs": [f"https://images.example/{task_id}.png"]}


async def _serve() -> None:
    await listen(_Service().answer)
    await asyncio.Event().wait()


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
