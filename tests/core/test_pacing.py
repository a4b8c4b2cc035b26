"""When requests may leave."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunyuan_async._core.pacing import FIRST_PAUSE, LONGEST_LIMITED, MAX_RETRY_AFTER, PATIENCE, SHUT, Pacer
from tests.core.pacers import leave, probing

CLOSE = 1e-6  # seconds; floats add up
ROUND_TRIP = 0.1  # seconds
NO_JITTER = 0.5
waits = st.lists(st.one_of(st.just(0.0), st.floats(0, 3), st.floats(0, 1e5)), min_size=1, max_size=25)
rates = st.floats(0.1, 200)


def departures(pacer: Pacer, waits: list[float]) -> list[float]:
    """When requests leave that become ready after these waits, one after the other."""
    return list(itertools.accumulate(waits, lambda at, wait: leave(pacer, at + wait), initial=0.0))[1:]


def crowded(times: list[float], rate: float, burst: int) -> list[tuple[float, float]]:
    """The windows that hold more than rate * T + burst of these."""
    return [
        (start, end)
        for (first, start), (last, end) in itertools.combinations(enumerate(times), 2)
        if last - first + 1 > rate * (end - start) + burst + CLOSE * rate
    ]


@settings(deadline=None)
@given(rates, st.integers(1, 12), waits)
def test_no_window_holds_more_than_its_share(rate: float, burst: int, waits: list[float]) -> None:
    """In any window of T seconds at most rate * T + burst requests leave."""
    assert not crowded(departures(Pacer(rate, rate, burst), waits), rate, burst)


happenings = st.lists(st.tuples(st.floats(0, 4), st.sampled_from(["ok", "ok", "ok", "limited", "pause", "forgive"])))


@settings(deadline=None)
@given(rates, st.integers(1, 5), happenings)
def test_a_given_rate_holds_whatever_happens(rate: float, burst: int, happenings: list[tuple[float, str]]) -> None:
    """Limits, pauses and recoveries only ever let less through."""
    pacer, now, times = Pacer(rate, rate, burst), 0.0, []
    for wait, happening in happenings:
        now = leave(pacer, now + wait)
        times.append(now)
        match happening:
            case "ok":
                pacer.answered(now, now)
            case "limited":
                pacer.limited(now, now, None, NO_JITTER)
            case "pause":
                pacer.pause(now, now, "down", None, NO_JITTER)
            case "forgive":
                pacer.limited(now, now, None, NO_JITTER)
                pacer.forgive(now)

    assert not crowded(times, rate, burst)
    assert pacer.rate <= rate


@settings(deadline=None)
@given(rates, st.integers(1, 12))
def test_a_queue_leaves_at_the_rate_and_no_slower(rate: float, burst: int) -> None:
    """Only the burst leaves at once; the others follow one interval apart."""
    times = departures(Pacer(rate, rate, burst), [0.0] * 40)

    assert times[:burst] == pytest.approx([0.0] * burst, abs=CLOSE)
    assert times[-1] == pytest.approx((40 - burst) / rate)


def test_nothing_bursts_after_a_long_pause() -> None:
    """A suspended laptop wakes up as quietly as it went to sleep."""
    assert departures(Pacer(2.0, 2.0), [0.0, 0.0, 86400.0, 0.0, 0.0]) == [0.0, 0.5, 86400.5, 86401.0, 86401.5]


def test_no_rate_is_no_pacing() -> None:
    """An infinite rate lets everything pass, keeps a pause, and stays infinite."""
    pacer = Pacer(math.inf, math.inf)
    assert departures(pacer, [0.0] * 100) == [0.0] * 100

    pacer.limited(0.0, 0.0, 3.0, NO_JITTER)

    assert leave(pacer, 1.0) == 3.0
    pacer.answered(3.1, 3.0)
    assert (pacer.rate, departures(pacer, [4.0, 0.0])) == (math.inf, [4.0, 4.0])


@pytest.mark.parametrize(("wish", "pause"), [(7.0, 7.0), (9999.0, MAX_RETRY_AFTER), (None, FIRST_PAUSE), (0.0, 0.5)])
def test_a_limit_holds_everybody_back(wish: float | None, pause: float) -> None:
    """For as long as the service asks, within reason."""
    pacer = probing()
    pacer.take(0.0)

    assert pacer.limited(1.0, 0.0, wish, NO_JITTER) == pause
    assert pacer.ready_at(1.0) == 1.0 + pause


def test_refusals_of_one_round_trip_are_one_episode() -> None:
    """Ten answers to one burst are one setback; the next pause is longer only if its probe fails."""
    pacer = probing()
    for number in range(10):
        pacer.limited(1.0 + number / 100, 0.9, None, NO_JITTER)
    assert (pacer.setbacks, pacer.paused_until) == (1, 1.5)

    pauses = []
    now = 1.0
    for _ in range(6):
        now = leave(pacer, now)
        pauses.append(pacer.limited(now, now, None, NO_JITTER))

    assert pauses == [1.0, 2.0, 4.0, LONGEST_LIMITED, LONGEST_LIMITED, LONGEST_LIMITED]


def test_after_a_limit_one_request_at_a_time_leaves() -> None:
    """Until the first is answered; one whose answer never comes does not hold the others up for ever."""
    pacer = probing(rate=50.0)
    pacer.limited(0.0, 0.0, 1.0, NO_JITTER)
    assert leave(pacer, 0.0) == 1.0
    assert pacer.ready_at(1.0) == 1.0 + PATIENCE

    pacer.answered(1.05, -0.1)  # sent before the limit was hit
    assert pacer.ready_at(1.1) == 1.0 + PATIENCE
    pacer.answered(1.1, 1.0)
    assert pacer.ready_at(1.1) < 1.2


def test_limits_alone_for_a_minute_shut_the_door() -> None:
    """From then on one request a minute asks whether it is open again, and the reason says for how long it was not."""
    pacer, now, gaps = probing(), 0.0, []
    while now < 600:
        at = leave(pacer, now)
        gaps.append(at - now)
        pacer.limited(at, at, None, NO_JITTER)
        now = at

    assert max(gap for gap in gaps[:10]) <= LONGEST_LIMITED
    assert gaps[-5:] == pytest.approx([SHUT] * 5)
    assert pacer.reason == f"the service has limited every request for {now // 60:.0f} min"

    pacer.answered(leave(pacer, now) + ROUND_TRIP, pacer.ready_at(now))
    pacer.limited(700.0, 700.0, None, NO_JITTER)
    assert (pacer.reason, pacer.paused_until) == ("the service limits requests", 700.0 + FIRST_PAUSE)


def test_a_limit_taken_back_ends_no_other_pause() -> None:
    """The service is still down for repair, whatever the "too many requests" was about."""
    pacer = probing()
    pacer.limited(1.0, 0.0, 90.0, NO_JITTER)
    pacer.pause(1.1, 0.0, "down for repair", 60.0, NO_JITTER)

    pacer.forgive(1.2)

    assert pacer.ready_at(1.2) == 61.1


def test_jitter_spreads_pauses() -> None:
    """Clients that share a quota do not come back together."""
    pauses = {probing().limited(0.0, 0.0, None, jitter) for jitter in (0.0, random.Random(1).random(), 0.999)}

    assert len(pauses) == 3
    assert min(pauses) >= FIRST_PAUSE / 2
