"""The command line on a terminal: what it draws, and what it asks."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest


def on_terminal(
    place: Path, *arguments: str, answers: dict[str, str] | None = None, term: str = "xterm"
) -> tuple[int, str]:
    """Run a command on a terminal of 80 columns; return its exit code, and all that was written there."""
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "hunyuan_async", *arguments],
        stdin=side,
        stdout=side,
        stderr=side,
        cwd=place,
        env={"PATH": os.environ["PATH"], "HOME": str(place), "TERM": term, "NO_COLOR": "1"},
    )
    os.close(side)
    written = ""
    left = dict(answers or {})
    while read := _read(terminal):
        written += read
        for question in [question for question in left if question in written]:
            os.write(terminal, left.pop(question).encode())
    os.close(terminal)
    return process.wait(), written


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # how Linux says that nobody has the other side open any more
        return ""


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A hundred and one prompts."""
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"koi {number}\n" for number in range(101)))
    return path


def test_a_large_batch_asks_and_a_small_one_is_shown_on_a_panel(prompts: Path) -> None:
    """A no costs nothing; the panel is drawn without colours if so wished, and the summary stands below it."""
    place = prompts.parent
    options = ["prompts.txt", "--out", "out", "--emulator"]
    code, written = on_terminal(place, "batch", *options, answers={"Go on? [y/N]:": "n\n"})
    assert (code, "nothing was sent" in written, os.listdir(place)) == (2, True, ["prompts.txt"])

    code, written = on_terminal(place, "batch", *options, "--limit", "3", "--size", "256x256")
    assert code == 0
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", written)
    assert "╭─ emulator: out ─" in written
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "").rpartition("╭─ emulator")[2]
    drawn = [line for line in last.splitlines() if line.startswith("│")]
    assert {len(line) for line in drawn} == {78}
    for told, line in zip(
        ("3 of 3", "done 3   failed 0", "images/min", "images take", "held back", "credits 75", "finished"),
        drawn,
        strict=True,
    ):
        assert told in line
    assert "\nFinished.\ndone 3   failed 0   unknown 0   to go 0\n" in last


def test_a_terminal_that_cannot_draw_gets_lines(prompts: Path) -> None:
    """Nothing but plain text is written there."""
    options = ["prompts.txt", "--out", "out", "--emulator", "--limit", "1", "--size", "256x256"]
    code, written = on_terminal(prompts.parent, "batch", *options, term="dumb")
    assert (code, "\x1b" in written, "1 of 1   done 1" in written) == (0, False, True)
