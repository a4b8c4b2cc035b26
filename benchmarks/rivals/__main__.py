"""Prints every table, and draws: `python -m benchmarks.rivals --draw docs/explanation/rivals.svg`."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.rivals import nginx, side_by_side, windows
from benchmarks.rivals.drawing import draw
from benchmarks.rivals.side_by_side import HUNDRED, TEN_THOUSAND, THOUSAND, Result, Round

LANES = 3  # at a time; each party and each service is a process of its own
PACKAGES = ("wavespeed", "fal-client", "aiohttp")


def _picture(asked: Round, results: Sequence[Result]) -> str:
    shown = {result: f"{result.plain_title}{'' if result.finished else ' (not done)'}" for result in results}
    made = [(shown[result], result.per_minute) for result in results if result.per_minute]
    looks = [(shown[result], result.gets) for result in results if result.per_minute]
    ours = [shown[result] for result in results if result.party.startswith("ours")]
    panels = (("Images a minute; more is better", made), ("GETs a task; fewer is better", looks))
    return draw(asked.title, panels, ours)


def main() -> None:
    """Print the tables, and draw the largest round that all parties were in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 prompts only, and no nginx")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="write a picture as SVG")
    asked = parser.parse_args()
    try:
        versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    except PackageNotFoundError as missing:
        parser.error(f"{missing.name} is not here: pip install '.[bench]'")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start,")
    print(f"{versions}; {LANES} parties at a time", flush=True)
    with ThreadPoolExecutor(LANES) as lanes:
        results = side_by_side.compare(lanes, (HUNDRED,) if asked.quick else (HUNDRED, THOUSAND, TEN_THOUSAND))
        if not asked.quick:
            nginx.compare(lanes)
    windows.main()
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")
    if asked.draw:
        drawn = HUNDRED if asked.quick else THOUSAND
        asked.draw.write_text(_picture(drawn, results[drawn]), encoding="utf-8")


if __name__ == "__main__":
    main()
