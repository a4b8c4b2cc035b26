"""The command line on a disk that is full, or whose folder is taken away."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hunyuan_async.emulator import Emulator

if TYPE_CHECKING:
    from tests.e2e.conftest import CommandLine

ROWS = [{"id": f"x{number}", "prompt": f"koi {number}"} for number in range(600)]
JSON = "--progress", "json"
HARD = "--rate", "1000/s", "--in-flight", "100"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for some hundred images."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [str(mount), "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if not (mount and umount) or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run([umount, str(folder)], check=True)


def grow(disk: Path) -> None:
    """Make room."""
    subprocess.run([str(shutil.which("mount")), "-o", "remount,size=30m", str(disk)], check=True)


async def test_a_full_disk_ends_a_batch_with_5_and_room_lets_it_go_on(
    command_line: CommandLine, hunyuan_emulator: Emulator, small_disk: Path
) -> None:
    """Nothing is paid twice, and nothing that was paid is lost."""
    command_line.use(hunyuan_emulator)
    source, out = command_line.write("koi.jsonl", ROWS), small_disk / "out"

    full = await command_line.run("batch", source, "--out", out, "-y", *HARD)
    again = await command_line.run("resume", out, "-y", *HARD)
    paid = len(hunyuan_emulator.issued)
    grow(small_disk)
    room = await command_line.run("resume", out, "-y", *HARD)

    assert (full.code, again.code, room.code) == (5, 5, 0), (full.stderr, again.stderr)
    assert paid < len(ROWS)
    assert {*command_line.paid().values()} == {1}
    assert command_line.statuses(str(out)) == {"succeeded": len(ROWS)}


async def test_a_folder_that_is_removed_ends_a_batch_and_its_ids_are_told(
    command_line: CommandLine, hunyuan_emulator: Emulator
) -> None:
    """What was accepted and could not be written down is on the terminal, and hardly anything more was sent."""
    command_line.use(hunyuan_emulator)
    source = command_line.write("koi.jsonl", ROWS)
    batch = await command_line.start(
        "batch", source, "--out", "out", "-y", "--rate", "100/s", "--in-flight", "20", *JSON
    )
    await batch.prints('"downloaded"', times=5)
    shutil.rmtree(command_line.place / "out", ignore_errors=True)
    removed_after = len(hunyuan_emulator.issued)

    ended = await batch.ends()

    assert ended.code == 5, ended.stderr
    assert "moved or removed" in ended.stderr
    assert "Paid, not recorded: hunyuan task n" in ended.stderr
    assert len(hunyuan_emulator.issued) - removed_after <= 20
