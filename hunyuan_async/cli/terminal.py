"""Words on the terminal, and signals: stdout carries results alone, everything said goes to stderr."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress

from hunyuan_async.cli.exits import Exit

SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def say(text: str) -> None:
    """Print a line on stderr; a terminal that is gone ends nothing."""
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")  # unlike click's echo, this appears above a live panel


def can_draw() -> bool:
    """Whether stderr is a terminal that can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def run(work: Coroutine[object, object, int], react: Callable[[signal.Signals], None] | None = None) -> int:
    """Run a command's coroutine, on uvloop if it is installed, and return its exit code.

    *react* is called in the loop for every signal that asks the command to end; without it, *work* is cancelled.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_interruptible(work, react))


async def _interruptible(work: Coroutine[object, object, int], react: Callable[[signal.Signals], None] | None) -> int:
    loop, working = asyncio.get_running_loop(), asyncio.ensure_future(work)
    received: list[signal.Signals] = []

    def cancel(number: signal.Signals) -> None:
        received.append(number)
        working.cancel()

    for number in SIGNALS:
        # `nohup` and shells that start a command in the background have it ignore signals: so it stays.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, react or cancel, number)
    try:
        return await working
    except asyncio.CancelledError:
        if not received:
            raise
        return Exit.SIGNAL + received[0]
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
