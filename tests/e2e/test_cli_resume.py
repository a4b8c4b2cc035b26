"""A run in a directory goes on with the next command, whoever ended the one before, and pays for nothing twice."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hunyuan_async.emulator import Emulator, EmulatorSettings, fixed

if TYPE_CHECKING:
    from tests.e2e.conftest import Command, CommandLine, Ended

QUICK = EmulatorSettings(latency=fixed(0.05), small_pictures=True)
SLOW = EmulatorSettings(latency=fixed(1), small_pictures=True)
BATCH = "batch", "koi.jsonl", "--out", "out", "--rate", "500/s", "--in-flight", "4", "--progress", "json"


async def begun(command_line: CommandLine, submitted: int, *options: str) -> Command:
    """Start a batch, and wait until so many tasks of it are paid and recorded."""
    command = await command_line.start(*BATCH, *options)
    await command.prints('"submitted"', times=submitted)
    return command


def once(*numbers: int) -> dict[str, int]:
    """What was paid if each of these was asked for once."""
    return {f"koi {number}": 1 for number in numbers}


def places(command_line: CommandLine) -> dict[str, str]:
    """Where the images are, by id."""
    return {line["id"]: str(line["images"][0]["path"]) for line in command_line.results() if line["images"]}


async def test_the_same_command_makes_only_what_is_missing(command_line: CommandLine) -> None:
    """New rows are made, images that are gone are fetched again, and the order of rows does not matter."""
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        command_line.koi(range(3))
        assert (await command_line.run(*BATCH)).code == 0
        before = places(command_line)
        gone = command_line.place / "out" / before["k1"]
        data = gone.read_bytes()
        gone.unlink()
        command_line.koi([4, 2, 1, 3, 0])
        again = await command_line.run(*BATCH)
        fetched = [look.task_id for look in emulator.downloads]

    assert (again.code, command_line.statuses(), command_line.paid()) == (0, {"succeeded": 5}, once(*range(5)))
    assert "Images 3 as before, 2 new\n" in again.stderr
    assert "Rows   5 -> 2 images\n" in again.stderr
    assert [line["id"] for line in command_line.results()] == ["k0", "k1", "k2", "k4", "k3"]
    assert before.items() <= places(command_line).items()
    assert (gone.read_bytes(), len(fetched), len({*fetched})) == (data, 6, 5)


async def test_rows_that_are_gone_are_not_sent(command_line: CommandLine) -> None:
    """What was made of them stays; one that comes back is made after all."""
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        command_line.koi(range(4))
        assert (await command_line.run(*BATCH, "--max-credits", "25")).code == 6
        command_line.koi([2])
        fewer = await command_line.run(*BATCH, "--max-credits", "100")
        assert (fewer.code, command_line.statuses()) == (0, {"succeeded": 2, "skipped": 2})
        assert "Images 1 as before, 2 no longer asked for\n" in fewer.stderr
        skipped = [(line["error"] or {})["kind"] for line in command_line.results() if line["status"] == "skipped"]
        command_line.koi([1, 2])
        assert (await command_line.run(*BATCH)).code == 0
        assert (skipped, command_line.paid()) == (["gone", "gone"], once(0, 1, 2))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_a_run_goes_on_after_any_end(command_line: CommandLine, number: signal.Signals) -> None:
    """`resume` needs nothing but the directory: what is paid is fetched, what was not sent is made."""
    command_line.koi(range(12))
    async with Emulator(settings=SLOW) as emulator:
        command_line.use(emulator)
        command = await begun(command_line, 4)
        command.receives(number)
        ended = await command.ends()
        assert (ended.code, len(emulator.posts) < 12) == (
            -number if number == signal.SIGKILL else 128 + number,
            True,
        )
        resumed = await command_line.run("resume", "out")
    assert (resumed.code, command_line.statuses(), command_line.paid()) == (0, {"succeeded": 12}, once(*range(12)))
    assert [line["id"] for line in command_line.results()] == [f"k{number}" for number in range(12)]
    assert "Finished.\ndone 12   failed 0   unknown 0   to go 0\n300 credits spent" in resumed.stderr


async def test_a_changed_row_is_paid_again_only_if_told_so(command_line: CommandLine) -> None:
    """Before any POST it says how many there are and what they cost; a seed that was not given stays the same."""

    def write(prompt: str) -> None:
        command_line.write("koi.jsonl", [{"id": "k0", "prompt": prompt}, {"id": "k1", "prompt": "koi 1"}])

    write("koi 0")
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH)).code == 0
        before, _ = command_line.results()
        write("koi, gold")
        stopped = await command_line.run(*BATCH)
        kept = await command_line.run(*BATCH, "--changed", "keep")
        assert (stopped.code, kept.code, command_line.paid()) == (2, 0, once(0, 1))
        assert "1 of 2 rows changed: 25 credits; `--changed redo`" in stopped.stderr
        assert "They are: k0\n" in stopped.stderr
        assert command_line.results()[0] == before

        redone = await command_line.run(*BATCH, "--changed", "redo")
        again = await command_line.run(*BATCH)
        assert (redone.code, again.code, command_line.paid()) == (0, 0, once(0, 1) | {"koi, gold": 1})
    after, _ = command_line.results()
    assert (before["attempt"], after["attempt"], after["request"]["prompt"]) == (1, 2, "koi, gold")
    assert before["request"]["seed"] == after["request"]["seed"]
    files = sorted(os.listdir(command_line.place / "out" / "images" / "0000"))
    assert re.fullmatch(r"k0-attempt2-[0-9a-f]{10}\.png k0\.png k1\.png", " ".join(files))


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ((), []),
        (("--retry-failed",), ["[fail]"]),
        (("--retry", "refused"), ["[refuse]"]),
        (("--retry", "refused,task_failed"), ["[fail]", "[refuse]"]),
    ],
)
async def test_what_failed_is_made_again_only_if_named(
    command_line: CommandLine, options: tuple[str, ...], sent: list[str]
) -> None:
    """By itself nothing is; `--retry-failed` takes only what may succeed as it is."""
    prompts = ["[fail]", "[refuse]", "koi"]
    command_line.write("koi.jsonl", [{"id": prompt, "prompt": prompt} for prompt in prompts])
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH)).code == 1
        retried = await command_line.run("resume", "out", *options)
        assert (retried.code, len(emulator.posts)) == (1, 3 + len(sent))
    assert [line["id"] for line in command_line.results() if line["attempt"] == 2] == sent


async def test_a_budget_holds_over_all_commands(command_line: CommandLine) -> None:
    """It counts all that was spent in the directory, and stays unless another is given."""
    command_line.koi(range(4))
    resume = "resume", "out"
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        for command, code, posts in (
            ((*BATCH, "--max-credits", "50"), 6, 2),
            (resume, 6, 2),
            (BATCH, 6, 2),
            ((*resume, "--max-credits", "75"), 6, 3),
            ((*resume, "--max-cost", "0.2usd"), 0, 4),
        ):
            assert ((await command_line.run(*command)).code, len(emulator.posts)) == (code, posts)


async def test_a_run_stays_with_its_service_and_account(command_line: CommandLine) -> None:
    """Another address, key or the emulator is refused before any request; a new key of the same account is admitted."""
    command_line.koi(range(3))
    keys = ["aio_first_1234", "aio_second_5678"]
    async with Emulator(settings=QUICK, api_keys=keys) as emulator, Emulator(api_keys=keys) as other:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH, "--max-credits", "25")).code == 6

        async def refused(*command: str) -> Ended:
            ended = await command_line.run(*command, "--max-credits", "75")
            assert (ended.code, len(emulator.posts), other.posts, other.polls) == (2, 1, [], [])
            return ended

        assert "choose another --out" in (await refused(*BATCH, "--emulator")).stderr
        elsewhere = await refused(*BATCH, "--base-url", other.base_url)
        assert f"was begun at {emulator.base_url}, and this client talks to {other.base_url}" in elsewhere.stderr
        command_line.environment["HUNYUAN_API_KEY"] = keys[1]
        assert "--key-changed" in (await refused("resume", "out")).stderr
        admitted = await command_line.run("resume", "out", "--max-credits", "50", "--key-changed")
        after = await command_line.run("resume", "out", "--max-credits", "75")
        assert (admitted.code, after.code) == (6, 0)
        assert [post.key for post in emulator.posts] == [keys[0], keys[1], keys[1]]


async def test_an_emulated_run_makes_again_what_went_with_its_emulator(command_line: CommandLine) -> None:
    """The service's address and the environment's key do not matter to it."""
    command_line.koi(range(3), size="256x256")
    command = await begun(command_line, 3, "--emulator")
    command.receives(signal.SIGKILL)
    await command.ends()
    command_line.environment["HUNYUAN_API_KEY"] = "aio_mine_1234"
    resumed = await command_line.run("resume", "out")
    assert (resumed.code, command_line.statuses()) == (0, {"succeeded": 3})
    assert {line["attempt"] for line in command_line.results()} <= {1, 2}


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
async def test_a_directory_can_be_moved_and_copied(
    command_line: CommandLine, move: Callable[[Path, Path], object]
) -> None:
    """All that stands in it is found by its place below it; `--verify` notices an image of other bytes."""
    command_line.koi(range(3))
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH)).code == 0
        before = command_line.results()
        (command_line.place / "far").mkdir()
        move(command_line.place / "out", command_line.place / "far" / "away")
        image = command_line.place / "far" / "away" / str(before[2]["images"][0]["path"])
        data = image.read_bytes()
        image.write_bytes(bytes(len(data)))
        plain = await command_line.run("resume", "far/away")
        assert (plain.code, len(emulator.downloads)) == (0, 3)
        verified = await command_line.run("resume", "far/away", "--verify")
        assert (verified.code, len(emulator.downloads), command_line.paid()) == (0, 4, once(0, 1, 2))
    assert image.read_bytes() == data
    after = command_line.results("far/away")
    assert [line["images"][0]["path"] for line in after] == [line["images"][0]["path"] for line in before]


async def test_the_journal_may_be_kept_elsewhere(command_line: CommandLine) -> None:
    """Every command finds it by the directory alone; another place is refused later."""
    command_line.koi(range(3))
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH, "--journal", "local/koi.db", "--max-credits", "50")).code == 6
        moved = await command_line.run(*BATCH, "--journal", "koi.db")
        assert (moved.code, "leave --journal out" in moved.stderr) == (2, True)
        resumed = await command_line.run("resume", "out", "--max-credits", "75")
        assert (resumed.code, command_line.paid()) == (0, once(0, 1, 2))
    link = command_line.place / "out" / "journal.sqlite"
    assert (link.is_symlink(), link.resolve()) == (True, command_line.place / "local" / "koi.db")
    link.resolve().unlink()
    lost = await command_line.run("resume", "out")
    assert (lost.code, str(link.readlink()) in lost.stderr) == (2, True)


async def test_a_dry_run_needs_no_key_and_leaves_nothing(command_line: CommandLine) -> None:
    """The plan is shown alone; in a directory that holds a run, too."""
    command_line.koi(range(2))
    dry = await command_line.run(*BATCH, "--dry-run", "--journal", "elsewhere.db")
    assert (dry.code, os.listdir(command_line.place)) == (0, ["koi.jsonl"])
    assert "Rows   2 -> 2 images\n" in dry.stderr
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH)).code == 0
        command_line.koi([0, 5, 6])
        dry = await command_line.run(*BATCH, "--dry-run")
        assert (dry.code, "Images 1 as before, 2 new\n" in dry.stderr) == (0, True)
        resumed = await command_line.run("resume", "out")
        assert (resumed.code, "Nothing is left to be sent\n" in resumed.stderr, command_line.paid()) == (
            0,
            True,
            once(0, 1),
        )


async def test_a_directory_without_a_run_is_not_resumed(command_line: CommandLine) -> None:
    """It says how to begin one."""
    (command_line.place / "out").mkdir()
    ended = await command_line.run("resume", "out")
    assert (ended.code, os.listdir(command_line.place / "out")) == (2, [])
    assert "out holds no run" in ended.stderr
    assert "hunyuan batch FILE --out out" in ended.stderr
