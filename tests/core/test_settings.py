"""Settings that cannot work are refused where they are written down."""

from collections.abc import Callable

import pytest

from hunyuan_async.errors import InvalidRequest
from hunyuan_async.settings import Limits, Polling, Timeouts


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Limits(rate=0), r"Limits\.rate"),
        (lambda: Limits(rate=-5), r"Limits\.rate"),
        (lambda: Limits(rate=float("nan")), r"Limits\.rate"),
        (lambda: Limits(burst=0), r"Limits\.burst"),
        (lambda: Limits(in_flight=0), r"Limits\.in_flight"),
        (lambda: Limits(downloads=0), r"Limits\.downloads"),
        (lambda: Limits(unsaved=-1), r"Limits\.unsaved"),
        (lambda: Timeouts(task=0), r"Timeouts\.task"),
        (lambda: Timeouts(close=-1), r"Timeouts\.close"),
        (lambda: Polling(min_gap=0), r"Polling\.min_gap"),
    ],
)
def test_a_number_that_cannot_work_is_named(make: Callable[[], object], name: str) -> None:
    """It would hang, burst or never look; the message says which one it is."""
    with pytest.raises(InvalidRequest, match=name):
        make()


def test_what_is_left_open_is_found_out() -> None:
    """None is no number, and no mistake."""
    assert (Limits().rate, Limits().in_flight) == (None, None)
