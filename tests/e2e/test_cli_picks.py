"""From verdicts to what they are for: `hunyuan studio DIR`, `redo --ids picks.csv` and `hunyuan export`."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import os
import signal
import socket
import urllib.request
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hunyuan_async.emulator import Emulator, EmulatorSettings, fixed

if TYPE_CHECKING:
    from tests.e2e.conftest import CommandLine

QUICK = EmulatorSettings(latency=fixed(0.05), small_pictures=True)
BATCH = "batch", "koi.jsonl", "--out", "out", "--rate", "500/s", "--progress", "json"


def pick(out: Path, **verdicts: str) -> None:
    """Write verdicts as of now."""
    now = datetime.now(UTC).isoformat()
    lines = [f"{item_id},{verdict},{now}" for item_id, verdict in verdicts.items()]
    (out / "picks.csv").write_text("\n".join(["id,verdict,at", *lines, ""]))


@pytest.fixture
async def run_dir(command_line: CommandLine) -> Path:
    """A run of four images."""
    command_line.koi(range(4))
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH)).code == 0
    return command_line.place / "out"


async def test_what_is_marked_is_made_again_once(command_line: CommandLine) -> None:
    """The same command twice pays once; a verdict about the new image counts again."""
    command_line.koi(range(3))
    picks = command_line.place / "out" / "picks.csv"
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        assert (await command_line.run(*BATCH)).code == 0
        pick(picks.parent, k0="redo", k1="keep", k2="reject")
        redone = await command_line.run("redo", "out", "--ids", picks)
        assert (redone.code, command_line.paid()) == (0, {"koi 0": 2, "koi 1": 1, "koi 2": 1})
        again = await command_line.run("redo", "out", "--ids", picks)
        assert (again.code, "nothing was changed" in again.stderr) == (2, True)
        pick(picks.parent, k0="redo")
        assert (await command_line.run("redo", "out", "--ids", picks)).code == 0
        assert command_line.paid() == {"koi 0": 3, "koi 1": 1, "koi 2": 1}


async def test_a_copy_holds_what_was_kept_and_nothing_else(command_line: CommandLine, run_dir: Path) -> None:
    """The images, byte for byte, and a table; no address, no task id, and on request no prompt."""
    pick(run_dir, k0="keep", k1="reject", k3="keep")
    for arguments in (["folder"], ["a.zip"], ["b.zip"], ["c.zip", "--without-prompts"]):
        ended = await command_line.run("export", "out", "--picked", "--to", *arguments)
        assert (ended.code, f"2 images copied to {arguments[0]}" in ended.stderr) == (0, True), ended.stderr
    place = command_line.place
    assert (place / "a.zip").read_bytes() == (place / "b.zip").read_bytes()
    with zipfile.ZipFile(place / "a.zip") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
    copied = {path.relative_to(place / "folder").as_posix(): path for path in (place / "folder").rglob("*.*")}
    assert {name: path.read_bytes() for name, path in copied.items()} == held
    rows = [*csv.DictReader(held["manifest.csv"].decode("utf-8-sig").splitlines())]
    results = {line["id"]: line for line in command_line.results()}
    assert [(row["id"], row["prompt"], row["seed"]) for row in rows] == [("k0", "koi 0", "0"), ("k3", "koi 3", "3")]
    for row in rows:
        image = results[row["id"]]["images"][0]
        assert held[row["file"]] == (run_dir / str(image["path"])).read_bytes()
        assert (row["sha256"], row["size"]) == (image["sha256"], f"{image['width']}*{image['height']}")
        assert hashlib.sha256(held[row["file"]]).hexdigest() == row["sha256"]
        assert not [text for text in held.values() if results[row["id"]]["task_id"].encode() in text]
    with zipfile.ZipFile(place / "c.zip") as archive:
        assert b"koi" not in archive.read("manifest.csv")
    assert len(held) == 3
    assert sorted(os.listdir(place)) == ["a.zip", "b.zip", "c.zip", "folder", "koi.jsonl", "out"]


async def test_all_are_copied_unless_picked_ones_are_asked_for(command_line: CommandLine, run_dir: Path) -> None:
    """An image that is not there, or is none, or is a link, is named and left out."""
    images = {line["id"]: run_dir / str(line["images"][0]["path"]) for line in command_line.results()}
    images["k0"].unlink()
    images["k1"].write_text("my prompts")
    images["k2"].rename(command_line.place / "elsewhere.png")
    images["k2"].symlink_to(command_line.place / "elsewhere.png")
    ended = await command_line.run("export", "out", "--to", "folder")
    assert (ended.code, len([*(command_line.place / "folder" / "images" / "0000").iterdir()])) == (1, 1)
    assert "1 images copied to folder\n3 files were missing, or no images: images/0000/k0.png" in ended.stderr


async def test_a_copy_that_cannot_be_made_is_not_begun(command_line: CommandLine, run_dir: Path) -> None:
    """Nothing is overwritten, and nothing half is left behind."""
    place = command_line.place
    (place / "taken").mkdir()
    (place / "taken.zip").symlink_to("nowhere")
    for arguments, told in (
        (("--to", "taken"), "taken exists already"),
        (("--to", "taken.zip"), "taken.zip exists already"),
        (("--to", "no/folder.zip"), "there is no folder no"),
        (("--to", "new.zip", "--picked"), "nothing is picked"),
    ):
        refused = await command_line.run("export", "out", *arguments)
        assert (refused.code, told in refused.stderr) == (2, True), refused.stderr
    pick(run_dir, k0="reject")
    refused = await command_line.run("export", "out", "--picked", "--to", "new.zip")
    assert (refused.code, "there is no image to keep" in refused.stderr) == (2, True)
    assert sorted(os.listdir(place)) == ["koi.jsonl", "out", "taken", "taken.zip"]


async def test_the_studio_is_served_until_ctrl_c(command_line: CommandLine, run_dir: Path) -> None:
    """The address alone is the result; the browser is not needed."""
    command = await command_line.start("studio", "out", "--no-browser")
    url = (await command.prints("http://127.0.0.1:")).strip()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def look() -> dict[str, object]:
        with opener.open(url) as page, opener.open(f"{url.partition('?')[0]}api/review") as facts:
            assert b"/static/review.js" in page.read()
            told: dict[str, object] = json.loads(facts.read())
            return told

    assert (await asyncio.to_thread(look))["total"] == 4
    command.receives(signal.SIGINT)
    ended = await command.ends()
    assert (ended.code, ended.stderr) == (130, "Open the address above in your browser. Stop with Ctrl-C.\n")
    assert not (run_dir / "picks.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--host", "0.0.0.0"), "add --allow-remote"),  # noqa: S104 - that is what is refused
        (("--host", "example.org"), "does not appear to be an IPv4 or IPv6 address"),
    ],
)
async def test_a_studio_that_cannot_be_served_says_why(
    command_line: CommandLine, run_dir: Path, arguments: tuple[str, ...], told: str
) -> None:
    """Before any browser is opened."""
    refused = await command_line.run("studio", "out", *arguments)
    assert (refused.code, told in refused.stderr) == (2, True), refused.stderr


async def test_a_port_that_is_taken_is_named(command_line: CommandLine, run_dir: Path) -> None:
    """Without --port a free one is found."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = await command_line.run("studio", "out", "--port", str(port))
    assert (refused.code, f"cannot be served at 127.0.0.1:{port}" in refused.stderr) == (2, True), refused.stderr
