"""`hunyuan redo`: more attempts of items of a run, counted and paid, beside those that there were."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from hunyuan_async.emulator import Emulator, EmulatorSettings, fixed

if TYPE_CHECKING:
    from tests.e2e.conftest import CommandLine

QUICK = EmulatorSettings(latency=fixed(0.05), small_pictures=True)
ENDLESS = EmulatorSettings(latency=fixed(3600), small_pictures=True)
BATCH = "batch", "koi.jsonl", "--out", "out", "--rate", "500/s", "--in-flight", "2", "--progress", "json"


async def test_items_are_made_again_with_another_seed(command_line: CommandLine) -> None:
    """Each attempt is one line of the results; the images of both are kept, and nothing else is sent."""
    command_line.koi(range(3))
    images = command_line.place / "out" / "images" / "0000"
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH)).code == 0
        before = {path.name: path.read_bytes() for path in images.iterdir()}
        seeds = [line["request"]["seed"] for line in command_line.results()]
        redone = await command_line.run("redo", "out", "k0", "k2", "k0")
        assert (redone.code, command_line.paid()) == (0, {"koi 0": 2, "koi 1": 1, "koi 2": 2})
        assert "Left   2 images\n" in redone.stderr
        assert "125 credits spent" in redone.stderr
        again = await command_line.run("redo", "out", "k0")
        known = await command_line.run(*BATCH)
        assert (again.code, known.code, command_line.paid()["koi 0"]) == (0, 0, 3)
    after = {path.name: path.read_bytes() for path in images.iterdir()}
    assert before.items() <= after.items()
    assert len({*after.values()}) == 6
    lines = command_line.results()
    assert [(line["id"], line["attempt"]) for line in lines] == [("k0", 3), ("k1", 1), ("k2", 2)]
    assert [line["request"]["seed"] == seed for line, seed in zip(lines, seeds, strict=True)] == [False, True, False]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ids.txt", "k2\nk0\n"),
        ("ids.csv", "prompt,id\nx,k2\ny,k0\n"),
        ("ids.jsonl", '{"id": "k2"}\n{"id": "k0", "prompt": "x"}\n'),
        ("-", "k2\nk0\n"),
    ],
)
async def test_ids_come_from_a_file(command_line: CommandLine, name: str, text: str) -> None:
    """Also from one that `hunyuan results` wrote, or from a pipe; the same seed tells whether the bytes agree."""
    command_line.koi(range(3))
    if name != "-":
        (command_line.place / name).write_text(text)
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH)).code == 0
        redone = await command_line.run("redo", "out", "--ids", name, "--same-seed", stdin=text.encode())
        assert (redone.code, command_line.paid()) == (0, {"koi 0": 2, "koi 1": 1, "koi 2": 2})
    assert "The same seed made the same bytes 2 times, and others 0 times.\n" in redone.stderr


async def test_all_get_another_prompt(command_line: CommandLine) -> None:
    """It may use the old one and the row's columns; the batch then still knows the rows."""
    command_line.koi(range(2), colour="gold")
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH)).code == 0
        template = "{prompt} in {colour}, at night"
        redone = await command_line.run("redo", "out", "--all", "--prompt", template, "--same-seed")
        assert "same bytes 0 times, and others 2 times" in redone.stderr
        known = await command_line.run(*BATCH)
        sent = [json.loads(post.body) for post in emulator.posts]
    assert (redone.code, known.code, len(sent)) == (0, 0, 4)
    assert {(body["prompt"], body["seed"]) for body in sent[2:]} == {
        (f"koi {number} in gold, at night", number) for number in range(2)
    }


async def test_a_plan_alone_makes_nothing(command_line: CommandLine) -> None:
    """It says what it would cost."""
    command_line.koi(range(2))
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH)).code == 0
        dry = await command_line.run("redo", "out", "k0", "--dry-run")
        resumed = await command_line.run("resume", "out")
        assert (dry.code, resumed.code, len(emulator.posts)) == (0, 0, 2)
    assert "Cost   25 credits" in dry.stderr


async def test_what_is_not_finished_is_not_made_again(command_line: CommandLine) -> None:
    """Nor is what there is not; then nothing is sent at all."""
    command_line.koi(range(4))
    async with Emulator(settings=ENDLESS) as emulator:
        command_line.use(emulator)
        command = await command_line.start(*BATCH)
        await command.prints('"submitted"', times=2)
        command.receives(signal.SIGTERM)
        await command.ends()
        paid = next(line["id"] for line in command_line.results() if line["status"] == "submitted")
        for arguments, told in (
            ((paid,), "is paid and not finished: run hunyuan resume first"),
            (("k9",), "there is no item 'k9' in this run"),
            ((), "name the items"),
            ((paid, "--all"), "name the items"),
            (("k3", "--prompt", "{color}"), "there is no 'color' here"),
        ):
            refused = await command_line.run("redo", "out", *arguments)
            assert (refused.code, told in refused.stderr, len(emulator.posts)) == (2, True, 2), refused.stderr


async def test_what_was_not_asked_for_again_is_not_sent(command_line: CommandLine) -> None:
    """Rows that an earlier command left wait for `resume`."""
    command_line.koi(range(8))
    async with Emulator(settings=EmulatorSettings(latency=fixed(1), small_pictures=True)) as emulator:
        command_line.use(emulator)
        command = await command_line.start(*BATCH)
        await command.prints('"submitted"', times=2)
        command.receives(signal.SIGINT)
        await command.ends()
        made, *_ = [line["id"] for line in command_line.results() if line["status"] == "succeeded"]
        before = len(emulator.posts)
        redone = await command_line.run("redo", "out", made)
        assert (redone.code, len(emulator.posts)) == (0, before + 1)
        assert command_line.statuses() == {"succeeded": before, "pending": 8 - before}
        resumed = await command_line.run("resume", "out")
        assert (resumed.code, len(emulator.posts), command_line.statuses()) == (0, 9, {"succeeded": 8})
    assert len(os.listdir(command_line.place / "out" / "images" / "0000")) == 9
