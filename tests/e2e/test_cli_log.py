"""The journal of your own, which `generate` and `edit` note what they do in."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hunyuan_async.emulator import Emulator, EmulatorSettings, fixed

if TYPE_CHECKING:
    from tests.e2e.conftest import CommandLine

QUICK = EmulatorSettings(latency=fixed(0.05), small_pictures=True)
SLOW = EmulatorSettings(latency=fixed(3), small_pictures=True)


def state_folder(command_line: CommandLine) -> Path:
    """Where journals of one's own are."""
    return Path(command_line.environment["HOME"]) / ".local" / "state"


async def test_what_was_made_is_listed(command_line: CommandLine) -> None:
    """The latest first, also what two commands make at the same time; nobody else can read it."""
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        first = await command_line.run("generate", "a fox", "--seed", "3")
        both = await asyncio.gather(
            command_line.run("generate", "a koi", "--seed", "7"),
            command_line.run("edit", "a cat", "--image", "https://example.com/cat.png", "--seed", "8"),
        )
        refused = await command_line.run("generate", "[refuse]", "--seed", "9")
        assert ([first.code, *(ended.code for ended in both)], refused.code) == ([0, 0, 0], 1)
        issued = {*emulator.issued}

    listed = await command_line.run("log", "--json")
    lines = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [line["seed"] for line in (lines[0], lines[-1])] == [9, 3]
    assert {line["seed"] for line in lines[1:3]} == {7, 8}
    assert {line["task_id"] for line in lines} - {None} == issued
    shown = (await command_line.run("log", "--limit", "1")).stdout.decode()
    assert ("seed 9  [refuse]" in shown, shown.count("\n")) == (True, 1)
    modes = {path.stat().st_mode & 0o077 for path in (state_folder(command_line) / "hunyuan_async" / "log").iterdir()}
    assert modes == {0}


async def test_what_was_paid_when_the_command_was_killed_is_fetched_later(command_line: CommandLine) -> None:
    """The log shows the command for it, which works as it stands, and notes that it was made."""
    async with Emulator(settings=SLOW) as emulator:
        command_line.use(emulator)
        command = await command_line.start("generate", "a koi", "--seed", "7")
        await command.says("task ")
        command.receives(signal.SIGKILL)
        assert (await command.ends()).code == -signal.SIGKILL
        listed = (await command_line.run("log")).stdout.decode()
        _, _, fetch = listed.partition("paid; fetch it with: hunyuan ")
        assert fetch == f"task {emulator.issued[0]} -o a-koi-7.png\n"
        fetched = await command_line.run(*shlex.split(fetch))
        assert (fetched.code, fetched.stdout, len(emulator.posts)) == (0, b"a-koi-7.png\n", 1)
    [line] = (await command_line.run("log", "--json")).stdout.splitlines()
    assert json.loads(line)["state"] == "completed"


@pytest.mark.parametrize("option", ["--no-log", "--emulator"])
async def test_nothing_is_noted_if_so_wished(command_line: CommandLine, option: str) -> None:
    """Nor is it of an emulator, whose tasks end with it."""
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        ended = await command_line.run("generate", "a koi", "-o", "koi.png", "--size", "256x256", option)
    assert (ended.code, os.listdir(command_line.place), state_folder(command_line).exists()) == (0, ["koi.png"], False)
    empty = await command_line.run("log")
    assert (empty.code, empty.stdout, "There is nothing in " in empty.stderr) == (0, b"", True)


@pytest.mark.parametrize("broken", ["folder", "journal"])
async def test_a_log_that_cannot_be_written_costs_nothing(command_line: CommandLine, broken: str) -> None:
    """Nothing is sent, and it says how to go on without it."""
    folder = state_folder(command_line)
    if broken == "folder":
        folder.parent.mkdir(parents=True)
        folder.write_text("mine")
    else:
        (folder / "hunyuan_async" / "log" / "1.sqlite").mkdir(parents=True)
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        ended = await command_line.run("generate", "a koi", "-o", "koi.png")
        assert (ended.code, emulator.posts) == (5, [])
        assert "Nothing was sent. To go on without a record, add --no-log.\n" in ended.stderr
        assert str(folder) in ended.stderr
        assert "Traceback" not in ended.stderr
        assert (await command_line.run("generate", "a koi", "-o", "koi.png", "--no-log")).code == 0
