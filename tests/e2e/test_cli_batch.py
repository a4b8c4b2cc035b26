"""`hunyuan batch` in a process of its own: what it makes, pays, writes down and says, however it ends."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from hunyuan_async.emulator import Emulator, EmulatorSettings, fixed

if TYPE_CHECKING:
    from tests.e2e.conftest import CommandLine, Line

QUICK = EmulatorSettings(latency=fixed(0.05), small_pictures=True)
SLOW = EmulatorSettings(latency=fixed(0.5), small_pictures=True)
ENDLESS = EmulatorSettings(latency=fixed(3600), small_pictures=True)
FAST = ("--rate", "500/s")
Serve = Callable[..., Awaitable[tuple[str, asyncio.Queue[bytes]]]]

TWO = ("--rate", "500/s", "--in-flight", "2")
FOUR = ("--rate", "500/s", "--in-flight", "4")


def prompts(count: int) -> list[dict[str, object]]:
    """Rows that differ."""
    return [{"id": f"k{number}", "prompt": f"koi {number}", "seed": number} for number in range(count)]


def digests(lines: list[Line], out: Path) -> dict[str, str]:
    """The digest of every image by id; each is whole and is what its line says."""
    found = {}
    for line in lines:
        (image,) = line["images"]
        data = (out / str(image["path"])).read_bytes()
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            assert opened.size == (image["width"], image["height"])
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (image["sha256"], image["bytes"])
        found[line["id"]] = str(image["sha256"])
    return found


async def test_two_hundred_prompts_make_two_hundred_images(command_line: CommandLine) -> None:
    """All are valid and as their lines say; the same seeds make the same bytes again; nothing is left over."""
    rows = prompts(200)
    source = command_line.write("prompts.jsonl", rows)
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        first = await command_line.run("batch", source, "--out", "out", "--progress", "json", *FAST)
        assert command_line.paid() == {str(row["prompt"]): 1 for row in rows}
        again = await command_line.run("batch", source, "--out", "again", "--limit", "40", "--progress", "none", *FAST)

    assert (first.code, again.code, again.stdout) == (0, 0, b"")
    lines = command_line.results()
    assert [line["id"] for line in lines] == [row["id"] for row in rows]
    assert command_line.statuses() == {"succeeded": 200}
    made = digests(lines, command_line.place / "out")
    assert len(set(made.values())) == 200
    repeated = digests(command_line.results("again")[:40], command_line.place / "again")
    assert repeated.items() <= made.items()

    (command_line.place / "out" / "report.html").unlink()
    report = await command_line.run("report", "out")
    assert (report.code, report.stdout) == (0, b"out/report.html\n")
    page = (command_line.place / "out" / "report.html").read_text(encoding="utf-8")
    assert re.search(r"Finished: 200, .* Submits: 200; polls: [2-9][0-9]{2}; answered with 429: 0\.", page)
    assert page.count('<svg role="img"') == 2
    names = {name for name in os.listdir(command_line.place / "out") if not name.startswith("journal.sqlite")}
    assert names == {"images", "report", "report.html", "results.jsonl"}
    assert len(os.listdir(command_line.place / "out" / "images" / "0000")) == 200
    events = [json.loads(line) for line in first.stdout.splitlines()]
    assert Counter(event["event"] for event in events)["downloaded"] == 200
    last = events[-1]
    assert (last["event"], last["done"], last["statistics"]["credits_spent"]) == ("progress", 200, 5000)
    assert "done 200   failed 0   unknown 0   to go 0\n5,000 credits spent" in first.stderr


async def test_bad_lines_are_told_before_anything_is_sent(command_line: CommandLine) -> None:
    """Twenty on the screen, all in a table; the run goes on without them only if told so; nothing hostile gets out."""
    hostile = "../../\x1b[2J\x07‮evil"
    good = [
        {"id": hostile, "prompt": f"{hostile} koi", "price": "=1+1"},
        {"prompt": "no [refuse]"},
        {"prompt": "late [fail]"},
        {"prompt": "twice"},
        {"prompt": "twice"},
    ]
    bad = [{"prompt": "", "sku": number} for number in range(25)]
    source = command_line.write("mixed.jsonl", [*good, *bad])
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        refused = await command_line.run("batch", source, "--out", "out")
        assert (refused.code, emulator.posts, os.listdir(command_line.place / "out")) == (2, [], ["invalid.csv"])
        assert refused.stderr.count("\nline ") + refused.stderr.startswith("line ") == 20
        with (command_line.place / "out" / "invalid.csv").open(encoding="utf-8-sig", newline="") as file:
            assert [row["line"] for row in csv.DictReader(file)] == [str(number) for number in range(6, 31)]

        ended = await command_line.run("batch", source, "--out", "out", "--skip-invalid", "--progress", "lines", *FAST)
    assert ended.code == 1
    assert [line["status"] for line in command_line.results()] == [
        "succeeded",
        "failed",
        "failed",
        "succeeded",
        "skipped",
    ]
    assert command_line.paid() == {f"{hostile} koi": 1, "late [fail]": 1, "twice": 1}
    done, refusal, failure, _, repeat = command_line.results()
    assert (done["id"], done["input"], done["credits"]) == (hostile, {"price": "=1+1"}, 25)
    assert [(line["error"] or {})["kind"] for line in (refusal, failure, repeat)] == [
        "refused",
        "task_failed",
        "duplicate",
    ]
    files = [path for path in (command_line.place / "out" / "images").rglob("*") if path.is_file()]
    assert len(files) == 2
    assert all(path.name.isascii() for path in files)
    assert not set(refused.stderr + ended.stderr) & set("\x1b\x07‮")
    assert "done 2   failed 2   unknown 0   to go 0\n75 credits spent" in ended.stderr


async def test_a_part_is_made_and_then_the_rest(command_line: CommandLine) -> None:
    """The same command without the limit makes the others, under the names that the first one gave."""
    rows = [{"sku": f"s{number}", "title": f"koi {number}"} for number in range(5)]
    table = "".join(["sku;title\n", *(f"{row['sku']};{row['title']}\n" for row in rows)]).encode()
    how = ("--input-format", "csv", "--prompt", "photo of {title}", "--id-column", "sku", "--variations", "2", *FAST)
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        part = await command_line.run(
            "batch", "-", "--out", "a b", *how, "--name", "{id}-{variation}", "--limit", "3", stdin=table
        )
        assert (part.code, command_line.statuses("a b")) == (0, {"succeeded": 3})
        rest = await command_line.run("batch", "-", "--out", "a b", *how, stdin=table)
        assert sum(command_line.paid().values()) == 10

    assert (rest.code, command_line.statuses("a b")) == (0, {"succeeded": 10})
    lines = command_line.results("a b")
    assert [line["id"] for line in lines] == [f"s{n}{suffix}" for n in range(5) for suffix in ("", "-2")]
    assert lines[-1]["input"] == rows[-1]
    assert [Path(str(line["images"][0]["path"])).name for line in lines[:2]] == ["s0-1.png", "s0-2-2.png"]


async def test_ctrl_c_collects_what_is_paid(command_line: CommandLine) -> None:
    """Nothing more is sent; what was sent is made, saved and written down; the rest stays to go."""
    source = command_line.write("prompts.jsonl", prompts(12))
    async with Emulator(settings=SLOW) as emulator:
        command_line.use(emulator)
        command = await command_line.start("batch", source, "--out", "out", "--progress", "json", *FOUR)
        await command.prints('"submitted"', times=4)
        command.receives(signal.SIGINT)
        ended = await command.ends()
        made = len(emulator.issued)

    assert (ended.code, made) == (128 + signal.SIGINT, len(emulator.posts))
    assert command_line.statuses() == {"succeeded": made, "pending": 12 - made}
    assert [line["id"] for line in command_line.results()] == [f"k{number}" for number in range(12)]
    assert "Stopped: interrupted (SIGINT)\n" in ended.stderr
    assert f"done {made}   failed 0   unknown 0   to go {12 - made}\n" in ended.stderr


@pytest.mark.parametrize(
    "signals",
    [
        [(signal.SIGINT, "stopping: "), (signal.SIGINT, "leaving: ")],
        [(signal.SIGHUP, "leaving: ")],
    ],
    ids=["ctrl-c-twice", "hang-up"],
)
async def test_who_leaves_loses_nothing(command_line: CommandLine, signals: list[tuple[signal.Signals, str]]) -> None:
    """Paid tasks are not waited for; the journal has them all."""
    source = command_line.write("prompts.jsonl", prompts(12))
    async with Emulator(settings=ENDLESS) as emulator:
        command_line.use(emulator)
        command = await command_line.start("batch", source, "--out", "out", "--progress", "json", *FOUR)
        await command.prints('"submitted"', times=4)
        for number, note in signals:
            command.receives(number)
            await command.prints(note)
        ended = await command.ends()

    assert ended.code == 128 + signals[0][0]
    assert command_line.statuses() == {"submitted": 4, "pending": 8}
    assert "to collect 4   to go 8\n" in ended.stderr
    assert "0 at risk: about $0.20\nGo on:   hunyuan resume out\n" in ended.stderr
    assert sorted(line["task_id"] for line in command_line.results() if line["task_id"]) == sorted(emulator.issued)


async def test_nohup_keeps_a_run_alive(command_line: CommandLine) -> None:
    """A signal that whoever started the command told it to ignore does not end it."""
    source = command_line.write("prompts.jsonl", prompts(6))
    async with Emulator(settings=SLOW) as emulator:
        command_line.use(emulator)
        command = await command_line.start(
            "batch", source, "--out", "out", "--progress", "json", *FAST, after="trap '' HUP"
        )
        await command.prints('"submitted"')
        command.receives(signal.SIGHUP)
        ended = await command.ends()
    assert (ended.code, command_line.statuses()) == (0, {"succeeded": 6})


@pytest.mark.parametrize(
    ("credits", "options", "why"),
    [(100.0, (), "credits"), (1e9, ("--max-cost", "0.2usd"), "limit of 100 credits")],
    ids=["empty-account", "spent-budget"],
)
async def test_money_ends_a_run(command_line: CommandLine, credits: float, options: tuple[str, ...], why: str) -> None:
    """What is paid is collected, not one credit more is spent, and the rest stays to go."""
    source = command_line.write("prompts.jsonl", prompts(12))
    async with Emulator(
        settings=EmulatorSettings(latency=fixed(0.05), small_pictures=True, credits=credits)
    ) as emulator:
        command_line.use(emulator)
        ended = await command_line.run("batch", source, "--out", "out", *FAST, *options)
    assert (ended.code, command_line.statuses()) == (6, {"succeeded": 4, "pending": 8})
    stopped = next(line for line in ended.stderr.splitlines() if line.startswith("Stopped:"))
    assert why in stopped
    assert "to go 8\n100 credits spent, 0 at risk: about $0.20\n" in ended.stderr


async def test_a_key_that_is_revoked_ends_a_run(command_line: CommandLine) -> None:
    """The message says which key it was, by its source and its last four characters; it tells no more of it."""
    source = command_line.write("prompts.jsonl", prompts(12))
    async with Emulator(settings=ENDLESS) as emulator:
        command_line.use(emulator)
        command = await command_line.start("batch", source, "--out", "out", "--progress", "json", *TWO)
        await command.prints('"submitted"', times=2)
        key, emulator.service.keys = emulator.api_key, ["another key"]
        ended = await command.ends()
    assert (ended.code, command_line.statuses()) == (4, {"submitted": 2, "pending": 10})
    assert f"The key ends in {key[-4:]} and comes from the environment variable HUNYUAN_API_KEY.\n" in ended.stderr
    assert key not in ended.stderr


async def test_a_service_that_is_down_ends_a_run(command_line: CommandLine) -> None:
    """It is waited for, as long as told; then everything stays to go."""
    source = command_line.write("prompts.jsonl", prompts(3))
    command_line.environment["HUNYUAN_API_KEY"] = "aio_unused"
    ended = await command_line.run("batch", source, "--out", "out", "--give-up", "1s", "--progress", "lines")
    assert (ended.code, command_line.statuses()) == (7, {"pending": 3})
    assert "  waiting: Nothing was sent: connection refused" in ended.stderr
    assert "done 0   failed 0   unknown 0   to go 3\n0 credits spent" in ended.stderr


async def test_ctrl_c_ends_the_wait_for_a_service_that_is_down(command_line: CommandLine) -> None:
    """What was tried in vain is not tried again."""
    source = command_line.write("prompts.jsonl", prompts(3))
    command_line.environment["HUNYUAN_API_KEY"] = "aio_unused"
    command = await command_line.start("batch", source, "--out", "out", "--progress", "lines")
    await command.says("  waiting: Nothing was sent")
    command.receives(signal.SIGINT)
    ended = await command.ends()
    assert (ended.code, command_line.statuses()) == (130, {"pending": 3})


async def test_too_many_failures_end_a_run(command_line: CommandLine) -> None:
    """The commonest messages are shown, as one where the tasks' ids alone differ."""
    source = command_line.write("prompts.jsonl", [{"prompt": f"{number} [fail]"} for number in range(12)])
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        ended = await command_line.run("batch", source, "--out", "out", "--max-failures", "2", *TWO)
    assert ended.code == 7
    failed = command_line.statuses()["failed"]
    assert 2 <= failed < 12
    assert (
        "Stopped: too many failures: 2 x task_failed: Task failed: The image could not be generated.\n" in ended.stderr
    )
    assert f"\n  {failed} x task_failed: Task failed" in ended.stderr


async def test_a_request_without_an_answer_is_unknown(command_line: CommandLine, serve: Serve) -> None:
    """It may have been paid, so it is neither failed nor sent again."""
    address, log = await serve(b"")
    command_line.environment |= {"HUNYUAN_BASE_URL": address, "HUNYUAN_API_KEY": "aio_unused"}
    ended = await command_line.run("batch", command_line.write("prompts.jsonl", prompts(1)), "--out", "out")
    assert (ended.code, command_line.statuses()) == (3, {"unknown": 1})
    assert "unknown 1   to go 0\n0 credits spent, 25 at risk: about $0.05\n" in ended.stderr
    assert log.get_nowait().startswith(b"POST ")
    assert log.get_nowait() == b""
    assert log.empty()


async def test_a_full_disk_ends_a_run(command_line: CommandLine) -> None:
    """Nothing more is sent, what is paid is told if it could not even be written down, and the run goes on later."""
    source = command_line.write("prompts.jsonl", prompts(80))
    command_line.environment["PYTHONDONTWRITEBYTECODE"] = "1"  # it would be cut off as well, for every later command
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        # The journal's log meets the limit on the way.
        command = await command_line.start("batch", source, "--out", "out", *FOUR, after="ulimit -f 2100")
        ended = await command.ends()
        made = len(emulator.posts)
        told = re.findall(r"^Paid, not recorded: hunyuan task (\S+) -o ", ended.stderr, re.MULTILINE)
        assert (ended.code, 4 <= made < 80, len(told) <= 4) == (5, True, True)
        assert "Stopped: The journal" in ended.stderr
        resumed = await command_line.run("resume", "out")

    lines = command_line.results()
    lost = [line["id"] for line in lines if line["status"] == "unknown"]
    assert (resumed.code, command_line.statuses()["succeeded"]) == (3 if lost else 0, 80 - len(lost))
    assert {*emulator.issued} == {line["task_id"] for line in lines if line["task_id"]} | {*told}
    assert len(lost) == len(told)
    assert set(command_line.paid().values()) == {1}
