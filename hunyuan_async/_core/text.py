"""How text from outside is shown."""

from __future__ import annotations

import re

_LINE_BREAKS = re.compile(r"[\t\r\n]+")
# C0 and C1 controls, bidirectional controls, line and paragraph separators, lone surrogates: what can move
# a cursor, forge a line, reorder what is read, or fail to be encoded.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, limit: int = 500) -> str:
    """Make text from outside one line that is safe in a terminal, a log and an error message.

    Args:
        text: Any text, hostile or broken.
        limit: The longest result in characters; what is cut ends in "...".
    """
    if len(text) <= limit and text.isprintable():
        return text
    # What is far beyond the limit is dropped first: the text may be a whole hostile answer.
    one_line = _LINE_BREAKS.sub(" ", text[: 2 * limit])
    safe = _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", one_line)
    if len(safe) <= limit and len(text) <= 2 * limit:
        return safe
    return safe[: limit - 3] + "..."


def shown(value: object) -> str:
    """Name a wrong value in an error message: text is quoted, anything else is named by its type."""
    return printable(repr(value[:100]), 80) if isinstance(value, str) else f"a value of type {type(value).__name__}"
