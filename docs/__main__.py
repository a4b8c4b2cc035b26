"""Writes what is made from the code into these pages: `python -m docs`; with `--check` it only names what is old."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from docs import cli_page, fault_pages

REFERENCE = Path(__file__).parent / "reference"


def pages() -> Mapping[Path, str]:
    """Every page that is made from the code, or has a part that is, with its text."""
    emulator = REFERENCE / "emulator.md"
    before, head, rest = emulator.read_text(encoding="utf-8").partition(fault_pages.KINDS_HEAD)
    after = rest.partition("\n\n")[2]
    return {
        REFERENCE / "cli.md": cli_page.page(),
        REFERENCE / "faults.md": fault_pages.page(),
        emulator: before + head + fault_pages.kinds() + (f"\n{after}" if after else ""),
    }


def main() -> int:
    """Write them, or return 1 if one is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if a page is old")
    given = parser.parse_args()
    old = {page: text for page, text in pages().items() if page.read_text(encoding="utf-8") != text}
    for page, text in old.items():
        sys.stdout.write(f"{page.name} is {'old: python -m docs' if given.check else 'written anew'}\n")
        if not given.check:
            page.write_text(text, encoding="utf-8")
    return int(given.check and bool(old))


if __name__ == "__main__":
    sys.exit(main())
