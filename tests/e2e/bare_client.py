"""A client that is nobody's: bytes over a socket to an emulator, and what came back as it came."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Mapping
from typing import Literal, TypeAlias, cast

import attrs

from hunyuan_async.emulator import Emulator, EmulatorSettings, Fault, fixed

ORDER = json.dumps({"model": "hunyuan-image-3", "prompt": "a koi pond", "seed": 7}).encode()
OPEN_AFTER = 0.1  # seconds of silence after which a connection counts as left open, where that is expected
PATIENCE = 20.0  # seconds for everything else
SETTINGS = EmulatorSettings(latency=fixed(0), small_pictures=True)

End: TypeAlias = Literal["closed", "reset", "open"]
Place: TypeAlias = Literal["submit", "poll", "fetch"]
PLACES: tuple[Place, ...] = ("submit", "poll", "fetch")


@attrs.frozen
class Seen:
    """What came back on a connection.

    Attributes:
        text: All of it.
        end: What followed.
    """

    text: bytes
    end: End

    @property
    def head(self) -> bytes:
        """The status line and the headers."""
        return self.text.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """What came after the head."""
        return self.text.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        """Of the status line."""
        return int(self.head.split()[1])

    @property
    def headers(self) -> Mapping[str, str]:
        """By their names in small letters."""
        lines = [line.partition(": ") for line in self.head.decode().split("\r\n")[1:]]
        return {name.lower(): value for name, _, value in lines}

    @property
    def length(self) -> int:
        """The length of the body, as announced."""
        return int(self.headers["content-length"])

    def json(self) -> object:
        """The body, which must be as long as announced."""
        assert len(self.body) == self.length
        return json.loads(self.body)

    def task(self) -> dict[str, object]:
        """The task's fields in the documented envelope."""
        whole = self.json()
        assert isinstance(whole, dict)
        assert isinstance(whole["data"], dict)
        return whole["data"]


@attrs.frozen
class Served:
    """An emulator in another process.

    Attributes:
        base_url: Where it is.
        api_key: A key that it knows.
    """

    base_url: str
    api_key: str


@attrs.define
class Line:
    """A connection to an emulator.

    Attributes:
        emulator: The emulator.
        tls: For https.
    """

    emulator: Emulator | Served
    tls: ssl.SSLContext | None = None
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, text: bytes) -> None:
        """Send bytes, on the same connection as before."""
        if self._streams is None:
            host, port = self.emulator.base_url.split("/")[2].split(":")
            self._streams = await asyncio.open_connection(host, int(port), ssl=self.tls)
        self._streams[1].write(text)

    async def see(self, *, chunks: int | None = None, patience: float = PATIENCE) -> Seen:
        """Read to the end, until nothing more comes, or so many chunks."""
        assert self._streams
        text = b""
        try:
            while chunks is None or chunks > 0:
                chunk = await asyncio.wait_for(self._streams[0].read(2**20), patience)
                if not chunk:
                    return Seen(text, "closed")
                text, chunks = text + chunk, chunks and chunks - 1
        except TimeoutError:
            pass
        except ConnectionError:
            return Seen(text, "reset")
        return Seen(text, "open")

    async def aclose(self) -> None:
        """Leave."""
        if self._streams:
            self._streams[1].close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await self._streams[1].wait_closed()


def submit(emulator: Emulator | Served, *, keep: bool = False) -> bytes:
    """A submit; the server is asked to close the connection, unless it is to be kept."""
    return _request(emulator, "POST /api/v1/images/generations", keep, f"Content-Length: {len(ORDER)}\r\n") + ORDER


def get(emulator: Emulator | Served, path: str, *, keep: bool = False) -> bytes:
    """A look or a download."""
    return _request(emulator, f"GET {path}", keep)


def _request(emulator: Emulator | Served, line: str, keep: bool, length: str = "") -> bytes:
    host = emulator.base_url.split("/")[2]
    connection = "keep-alive" if keep else "close"
    head = f"{line} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {emulator.api_key}\r\n"
    return f"{head}Connection: {connection}\r\n{length}\r\n".encode()


async def ask(
    emulator: Emulator | Served, text: bytes, tls: ssl.SSLContext | None = None, *, end: End = "closed"
) -> Seen:
    """Send a request on a connection of its own."""
    line = Line(emulator, tls)
    try:
        await line.send(text)
        return await line.see(patience=OPEN_AFTER if end == "open" else PATIENCE)
    finally:
        await line.aclose()


async def prepare(emulator: Emulator, place: Place, tls: ssl.SSLContext | None = None) -> bytes:
    """The request of a place, after what has to come before it."""
    if place == "submit":
        return submit(emulator)
    task_id = (await ask(emulator, submit(emulator), tls)).task()["task_id"]
    look = get(emulator, f"/api/v1/tasks/{task_id}")
    if place == "poll":
        return look
    (url,) = cast("list[str]", (await ask(emulator, look, tls)).task()["outputs"])
    return get(emulator, url[url.index("/files") :])


def with_fault(kind: str, place: Place, **rule: float) -> EmulatorSettings:
    """Settings with one fault."""
    return attrs.evolve(SETTINGS, faults=[Fault(kind, at=place, **rule)])  # type: ignore[arg-type]
