"""What a run shows while it works: a live panel, lines, JSON, or nothing."""

from __future__ import annotations

import asyncio
import enum
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Literal

import attrs

from hunyuan_async._core.text import printable
from hunyuan_async.cli.progress import Progress, Snapshot, View
from hunyuan_async.cli.terminal import can_draw, say
from hunyuan_async.errors import HunyuanError
from hunyuan_async.events import Event, Paused

Mode = Literal["panel", "lines", "json", "none"]
TROUBLE_EVERY = 300.0  # seconds between lines about what heals by itself


class Troubles(View):
    """Prints why nothing is sent, and again every five minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_at = -TROUBLE_EVERY

    def happened(self, event: Event) -> None:
        """Print a pause, unless one was printed lately."""
        if isinstance(event, Paused) and self._clock() - self._told_at >= TROUBLE_EVERY:
            self._told_at = self._clock()
            say(f"{_time()}  waiting: {printable(event.reason)}")


class Lines(Troubles):
    """Prints a line every ten seconds."""

    every = 10.0

    def show(self, snapshot: Snapshot) -> None:
        """Print the snapshot in one line."""
        parts = snapshot.counts, snapshot.speed, snapshot.money, snapshot.activity
        say(printable(f"{_time()}  {snapshot.ended:,} of {snapshot.total:,}   {'   '.join(parts)}"))


class JsonLines(View):
    """Prints every event, and a snapshot a second, as a JSON object a line on stdout."""

    every = 1.0

    def show(self, snapshot: Snapshot) -> None:
        """Print the snapshot."""
        _print_json({"event": "progress", **attrs.asdict(snapshot), "eta": snapshot.eta})

    def happened(self, event: Event) -> None:
        """Print the event."""
        # An image's address may be signed, and is a secret then.
        fields = attrs.asdict(event, filter=lambda field, _: field.name != "url")
        _print_json({"event": type(event).__name__.lower(), **fields})


def _print_json(content: dict[str, object]) -> None:
    try:
        sys.stdout.write(f"{json.dumps(content, default=_as_json)}\n")
        sys.stdout.flush()
    except OSError:
        # The reader is gone. The run goes on, and so must the interpreter's own last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _as_json(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case enum.Enum():
            return value.value
        case HunyuanError():
            return {"kind": value.kind, "message": value.message, "charged": value.charged, "task_id": value.task_id}
    assert isinstance(value, Path)
    return str(value)


def open_view(mode: Mode | None) -> View:
    """Return the view that was asked for; without one, a panel on a terminal that can draw it, else lines."""
    match mode or ("panel" if can_draw() else "lines"):
        case "lines":
            return Lines()
        case "json":
            return JsonLines()
        case "none":
            return View()
    from hunyuan_async.cli.panel import LivePanel

    return LivePanel()


@contextmanager
def shown(progress: Progress, view: View) -> Iterator[None]:
    """Show a snapshot now and then, and one at the end."""
    showing = asyncio.create_task(_keep_showing(progress, view))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(OSError):  # the terminal may be gone
            view.show(progress.snapshot())
            view.close()


async def _keep_showing(progress: Progress, view: View) -> None:
    with suppress(OSError):
        while True:
            view.show(progress.snapshot())
            await asyncio.sleep(view.every)


def _time() -> str:
    return time.strftime("%H:%M:%S")
