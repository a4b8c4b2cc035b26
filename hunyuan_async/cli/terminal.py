"""Words on the terminal: stdout carries results alone, everything said goes to stderr."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import NoReturn

import click

from hunyuan_async.cli.exits import Exit


def say(text: str) -> None:
    """Print a line on stderr."""
    click.echo(text, err=True)


def run(work: Coroutine[object, object, int]) -> NoReturn:
    """Run a command's coroutine, on uvloop if it is installed, and leave with the exit code that it returns."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            sys.exit(runner.run(work))
    except KeyboardInterrupt:
        sys.exit(Exit.SIGNAL + signal.SIGINT)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
