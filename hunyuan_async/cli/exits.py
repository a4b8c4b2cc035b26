"""The exit codes, in one table.

Why a run stopped (128 + signal, 5, 4, 6, 7) wins over what became of its items (3, then 1).
"""

from __future__ import annotations

import errno
from enum import IntEnum

from hunyuan_async.errors import (
    AuthError,
    BudgetExceeded,
    HunyuanError,
    InvalidRequest,
    JournalError,
    NotSent,
    OutOfCredits,
    RateLimited,
    ServiceUnavailable,
    SubmitUnknown,
)

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


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


def exit_code(error: HunyuanError) -> Exit:
    """Return the code of a command that ends with *error*."""
    match error:
        case InvalidRequest():
            return Exit.REFUSED_INPUT
        case AuthError():
            return Exit.KEY_REFUSED
        case OutOfCredits() | BudgetExceeded():
            return Exit.CREDITS
        case SubmitUnknown():
            return Exit.SOME_UNKNOWN
        case JournalError():
            return Exit.DISK
        case NotSent() | RateLimited() | ServiceUnavailable():
            return Exit.TRY_LATER
    return Exit.DISK if is_disk_error(error) else Exit.SOME_FAILED


def is_disk_error(error: BaseException | None) -> bool:
    """Whether *error*, or what caused it, says that the disk takes no more."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return True
        error = error.__cause__
    return False
