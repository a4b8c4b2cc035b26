"""The exit codes, in one table.

Why a run stopped (128 + signal, 5, 4, 6, 7) wins over what became of its items (3, then 1).
"""

from __future__ import annotations

import traceback
from enum import IntEnum

from hunyuan_async._core.text import printable
from hunyuan_async.errors import (
    AuthError,
    BudgetExceeded,
    HunyuanError,
    JournalError,
    NotSent,
    OutOfCredits,
    RateLimited,
    ServiceUnavailable,
    SubmitUnknown,
)


class Exit(IntEnum):
    """What the command tells the shell."""

    DONE = 0
    SOME_FAILED = 1
    REFUSED_INPUT = 2
    SOME_UNKNOWN = 3
    KEY_REFUSED = 4
    DISK = 5
    CREDITS = 6
    TRY_LATER = 7
    BUG = 70
    SIGNAL = 128


def exit_code(error: Exception) -> Exit:
    """Return the code of a command that ends with *error*."""
    match error:
        case HunyuanError(kind="invalid"):  # also a directory that another process works in
            return Exit.REFUSED_INPUT
        case AuthError():
            return Exit.KEY_REFUSED
        case OutOfCredits() | BudgetExceeded():
            return Exit.CREDITS
        case SubmitUnknown():
            return Exit.SOME_UNKNOWN
        case JournalError() | OSError():
            return Exit.DISK
        case NotSent() | RateLimited() | ServiceUnavailable():
            return Exit.TRY_LATER
        case HunyuanError():
            # A file that could not be written, for whatever reason, keeps the system's error as its cause.
            return Exit.DISK if isinstance(error.__cause__, OSError) else Exit.SOME_FAILED
    return Exit.BUG


def explanation(error: Exception) -> str:
    """Say what ended a command; of a bug, everything."""
    match error:
        case HunyuanError():
            return printable(error.message, 2000)
        case OSError():
            return printable(f"{error.filename or 'a file'} could not be used: {error.strerror or error}", 2000)
    return f"{''.join(traceback.format_exception(error))}This is a bug of ours; please report the lines above."
