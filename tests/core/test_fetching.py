"""What the end of a download means."""

import pytest

from hunyuan_async._core.fetching import LONGEST_WISH, judge_fetch, retry_delay
from hunyuan_async._core.replies import Fetched, NoReply

LOST = NoReply("connection lost", sent=True)


@pytest.mark.parametrize(
    ("seen", "kind", "retry"),
    [
        *((Fetched(status), "expired", "no") for status in (403, 404, 410)),
        *((Fetched(status), "download", "same") for status in (204, 206, 304, 400, 401, 408, 429, 500, 502, 503)),
        (LOST, "download", "same"),
        (NoReply("no route", sent=False), "download", "same"),
        (NoReply("a private address", sent=False, permanent=True), "download", "no"),
        (NoReply("larger than allowed", sent=True, permanent=True), "download", "no"),
    ],
)
def test_a_download_that_failed(seen: Fetched | NoReply, kind: str, retry: str) -> None:
    """An expired address asks for a fresh one, a passing trouble for another try; the image stays paid."""
    error = judge_fetch(seen)

    assert error
    assert (error.kind, error.retry, error.charged) == (kind, retry, "yes")
    if isinstance(seen, NoReply):
        assert seen.reason in error.message
    else:
        assert (error.status, f"HTTP {seen.status}" in error.message) == (seen.status, True)


def test_a_download_that_went_well() -> None:
    """Its bytes are checked next, so their number does not matter here."""
    assert judge_fetch(Fetched(200, received=0)) is None


@pytest.mark.parametrize(("attempt", "longest"), [(2, 0.5), (3, 1.0), (4, 2.0), (6, 8.0), (9, 8.0)])
def test_the_time_between_tries(attempt: int, longest: float) -> None:
    """It doubles up to a cap, half of it jittered."""
    assert retry_delay(attempt, 0.0, LOST) == longest / 2
    assert retry_delay(attempt, 0.5, LOST) == longest * 3 / 4


@pytest.mark.parametrize(
    ("wish", "delay"), [(None, 0.25), (0.0, 0.25), (7.0, 7.0), (LONGEST_WISH, LONGEST_WISH), (1e9, 0.25)]
)
def test_the_host_may_ask_for_time(wish: float | None, delay: float) -> None:
    """Its wish never hastens the next try, and one beyond reason is no wish."""
    assert retry_delay(2, 0.0, Fetched(429, retry_after=wish)) == delay
