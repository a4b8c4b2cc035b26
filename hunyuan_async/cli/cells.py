"""Cells of the tables that people correct: no text in them becomes a formula, and all of it comes back as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

# What makes a spreadsheet take a cell for a formula; a plain negative number is harmless. An apostrophe before it
# keeps it text, and one more stands for one that was there.
_FORMULA = re.compile(r"'*(?:[=+@\t\r]|-(?![0-9.]+\Z))")
_ONLY_OURS = {"line", "problem"}, {"result_status", "result_run"}, {"id", "verdict", "at"}


def cell(value: object) -> str:
    """Write a value as a cell; `text_of` reads it."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if _FORMULA.match(text) else text


def text_of(written: str) -> str:
    """Return what `cell` was given as text."""
    return written[1:] if written.startswith("'") and _FORMULA.match(written) else written


def is_ours(header: Collection[str]) -> bool:
    """Whether a table was written with `cell`; in any other an apostrophe is part of the text."""
    return any(names <= set(header) for names in _ONLY_OURS)
