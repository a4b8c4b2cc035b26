"""What a command tells the shell, and what it says of an error."""

from __future__ import annotations

import errno

import pytest

from hunyuan_async.cli.exits import exit_code, explanation
from hunyuan_async.errors import (
    AuthError,
    BudgetExceeded,
    ContentRefused,
    DownloadFailed,
    InvalidRequest,
    JournalError,
    NotSent,
    OutOfCredits,
    RateLimited,
    Refused,
    ServiceUnavailable,
    SubmitUnknown,
    TaskFailed,
    TaskLost,
    TaskTimedOut,
)

FULL = OSError(errno.ENOSPC, "No space left on device", "out/a.png")


def unsaved() -> DownloadFailed:
    """An image that the disk did not take."""
    error = DownloadFailed("out/a.png could not be written")
    error.__cause__ = FULL
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ContentRefused("no"), 1),
        (Refused("no"), 1),
        (TaskFailed("no"), 1),
        (TaskLost("no"), 1),
        (TaskTimedOut("no"), 1),
        (DownloadFailed("no"), 1),
        (InvalidRequest("no"), 2),
        (SubmitUnknown("no"), 3),
        (AuthError("no"), 4),
        (JournalError("no"), 5),
        (unsaved(), 5),
        (FULL, 5),
        (BudgetExceeded("no"), 6),
        (OutOfCredits("no"), 6),
        (NotSent("no"), 7),
        (RateLimited("no"), 7),
        (ServiceUnavailable("no"), 7),
        (KeyError("no"), 70),
    ],
)
def test_every_error_has_its_exit_code(error: Exception, code: int) -> None:
    """This is the table of DESIGN section 5, but for signals."""
    assert exit_code(error) == code


def test_an_error_says_what_a_person_can_use() -> None:
    """Text from outside cannot move the cursor; of a bug everything is shown."""
    assert explanation(TaskFailed("it said \x1b[2J")) == "it said \\u001b[2J"
    assert explanation(FULL) == "out/a.png could not be used: No space left on device"
    assert "KeyError: 'koi'\nThis is a bug of ours" in explanation(KeyError("koi"))
