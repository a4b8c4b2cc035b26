"""How long the client takes to import and the command line to say what it can, in CPU time of child processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.report import COMPARED, compare, print_table

ROUNDS = 31
CLIENT = "from hunyuan_async import Client"
PARTS = "import asyncio, attrs, anyio"
TIMED = """
import time
began = time.process_time()
{statement}
print((time.process_time() - began) * 1e3)
import sys
assert not {{"aiohttp", "cattrs"}} & set(sys.modules), "too much is loaded"
"""
# Without bytecode files, Python would compile everything anew in each child.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _import_ms(statement: str) -> float:
    """Return the CPU milliseconds of *statement* alone, Python's own start left out."""
    code = TIMED.format(statement=statement)
    return float(subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, check=True).stdout)


def _process_ms(*command: str) -> float:
    """Return the CPU milliseconds of a whole process."""
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as child:
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return (used.ru_utime + used.ru_stime) * 1e3


def main() -> None:
    """Print the table."""
    help_page = str(Path(sys.executable).with_name("hunyuan"))
    rounds = [
        (
            _import_ms(PARTS),
            _import_ms(CLIENT),
            _process_ms(sys.executable, "-c", "pass"),
            _process_ms(help_page, "--help"),
        )
        for _ in range(ROUNDS + 1)
    ][1:]
    parts, client, python, helped = ([taken[number] for taken in rounds] for number in range(4))
    print_table(
        f"Start, CPU ms, median of {ROUNDS}",
        COMPARED,
        [
            compare(f"`{CLIENT}` beside `{PARTS}`", parts, client, "1.3"),
            compare("`hunyuan --help` beside `python -c pass`", python, helped),
            ("the same, ms over bare Python", "", statistics.median(helped) - statistics.median(python), "", "150"),
        ],
    )


if __name__ == "__main__":
    main()
