"""What does the end of a download mean?"""

from __future__ import annotations

from hunyuan_async._core.replies import Fetched, NoReply
from hunyuan_async.errors import DownloadFailed

GONE = frozenset({403, 404, 410})  # what image hosts answer for an address that has expired
LONGEST_WISH = 60.0  # seconds; a place for downloads is taken meanwhile


def judge_fetch(seen: Fetched | NoReply) -> DownloadFailed | None:
    """Return what is wrong with a download, or None if its bytes may be checked and saved.

    An address that has expired is `expired`; what may go better at once has `retry` set to "same".
    """
    if isinstance(seen, NoReply):
        return DownloadFailed(
            f"The image could not be fetched: {seen.reason}.", retry="no" if seen.permanent else "same"
        )
    if seen.status == 200:
        return None
    if seen.status in GONE:
        return DownloadFailed(
            f"The image's address has expired (HTTP {seen.status}). It was paid, and is not bought again by itself; "
            "attach to the task by its id for a fresh address.",
            kind="expired",
            status=seen.status,
        )
    return DownloadFailed(f"The image could not be fetched (HTTP {seen.status}).", retry="same", status=seen.status)


def retry_delay(attempt: int, jitter: float, seen: Fetched | NoReply) -> float:
    """Return the seconds before fetch *attempt*, the second at the earliest, after what was *seen* of the last one.

    The host's own wish counts, unless it is for longer than anybody waits; *jitter* is in [0, 1).
    """
    delay = min(8.0, 0.5 * 2.0 ** (attempt - 2)) * (0.5 + jitter / 2)
    wish = seen.retry_after if isinstance(seen, Fetched) else None
    return delay if wish is None or wish > LONGEST_WISH else max(delay, wish)
