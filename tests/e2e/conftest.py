"""The command line as a person starts it: in a process of its own, against an emulator in the test's loop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

import attrs
import pytest

from hunyuan_async.emulator import Emulator


@attrs.frozen
class Ended:
    """What a command left behind.

    Attributes:
        code: Its exit code.
        stdout: What it printed as its result.
        stderr: What it said.
    """

    code: int
    stdout: bytes
    stderr: str


@attrs.define
class Command:
    """A command under way.

    Attributes:
        process: Its process.
    """

    process: asyncio.subprocess.Process
    _said: list[str] = attrs.field(factory=list)

    async def says(self, text: str) -> str:
        """Wait for a line on stderr that holds *text*."""
        assert self.process.stderr is not None
        while line := (await self.process.stderr.readline()).decode():
            self._said.append(line)
            if text in line:
                return line
        raise AssertionError(f"{text!r} is not in {self._said}")

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def ended(self, stdin: bytes | None = None) -> Ended:
        """Wait for its end."""
        stdout, rest = await self.process.communicate(stdin)
        assert self.process.returncode is not None
        return Ended(self.process.returncode, stdout, "".join(self._said) + rest.decode())


class Start(Protocol):
    """Starts `hunyuan` with arguments, in the test's own directory and with hardly any environment."""

    async def __call__(
        self, *arguments: str | Path, of: Emulator | None = None, before: Callable[[], None] | None = None, **env: str
    ) -> Command:
        """Start it against the emulator *of* the test; *before* runs in the child."""


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start commands; what still runs in the end is killed."""
    processes: list[asyncio.subprocess.Process] = []

    async def start(
        *arguments: str | Path, of: Emulator | None = None, before: Callable[[], None] | None = None, **env: str
    ) -> Command:
        # Without an emulator nothing listens: no test may reach the real service.
        place = {"HUNYUAN_BASE_URL": of.base_url, "HUNYUAN_API_KEY": of.api_key} if of else {}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hunyuan_async", *map(str, arguments)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path / "home"),
                "HUNYUAN_BASE_URL": "http://127.0.0.1:9/api/v1",
                **place,
                **env,
            },
            preexec_fn=before,
        )
        processes.append(process)
        return Command(process)

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def results(out: Path) -> list[dict[str, object]]:
    """The lines of a run's results."""
    return [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]


def statuses(out: Path) -> Counter[object]:
    """How many items of a run ended how."""
    return Counter(line["status"] for line in results(out))


def accepted(emulator: Emulator) -> Counter[str]:
    """How often each prompt was accepted, and so paid."""
    return Counter(cast("str", json.loads(post.body)["prompt"]) for post in emulator.posts if post.task_id)


def write_prompts(path: Path, rows: list[Mapping[str, object]]) -> Path:
    """Write *rows* as JSON lines."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path
