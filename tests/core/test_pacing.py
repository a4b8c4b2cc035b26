"""When requests may leave, and how the rate is found."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunyuan_async._core.pacing import FIRST_PAUSE, LONGEST_PAUSE, MAX_RETRY_AFTER, SLOWEST, Pacer

CLOSE = 1e-6  # seconds; floats add up
waits = st.lists(st.one_of(st.just(0.0), st.floats(0, 3), st.floats(0, 1e5)), min_size=1, max_size=25)
rates = st.floats(0.02, 200)


def probing(rate: float = 2.0, ceiling: float = 100.0) -> Pacer:
    """A pacer that looks for an unknown limit."""
    return Pacer(rate, ceiling)


def leave(pacer: Pacer, wait: float, now: float) -> float:
    """Let the next request leave, *wait* seconds from now at the earliest, and return when it does."""
    at = pacer.ready_at(now + wait)
    pacer.take(at)
    return at


def departures(pacer: Pacer, waits: list[float], now: float = 0.0) -> list[float]:
    """When requests leave that become ready after these waits, one after the other."""
    return list(itertools.accumulate(waits, lambda at, wait: leave(pacer, wait, at), initial=now))[1:]


@settings(deadline=None)
@given(rates, st.integers(1, 12), waits)
def test_no_window_holds_more_than_its_share(rate: float, burst: int, waits: list[float]) -> None:
    """In any window of T seconds at most rate * T + burst requests leave."""
    times = departures(Pacer(rate, rate, burst), waits)

    for (first, start), (last, end) in itertools.combinations(enumerate(times), 2):
        assert last - first + 1 <= rate * (end - start) + burst + CLOSE * rate


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
    """An infinite rate lets everything pass, and still keeps a pause."""
    pacer = Pacer(math.inf, math.inf)
    assert departures(pacer, [0.0] * 5) == [0.0] * 5

    pacer.answered()
    pacer.limited(1.0, 0.0, 5.0, 0.5)

    assert departures(pacer, [0.0, 0.0], now=1.0) == [6.0, 6.0]
    assert pacer.rate == math.inf


def test_a_pause_belongs_to_everybody() -> None:
    """No request leaves in it; after it they are spaced as before."""
    pacer = Pacer(2.0, 2.0)
    pacer.take(0.0)

    assert pacer.pause(0.1, 0.0, "no connection", 7.0, 0.5) == 7.0

    assert departures(pacer, [0.0, 0.0], now=0.2) == [7.1, 7.6]
    assert (pacer.rate, pacer.reason) == (2.0, "no connection")


@pytest.mark.parametrize(
    ("wish", "jitter", "pause"),
    [
        (7.0, 0.9, 7.0),
        (300.0, 0.0, 300.0),
        (1e9, 0.0, MAX_RETRY_AFTER),
        (math.inf, 0.0, MAX_RETRY_AFTER),
        (None, 0.0, FIRST_PAUSE / 2),
        (None, 0.5, FIRST_PAUSE * 3 / 4),
        (0.0, 0.0, FIRST_PAUSE / 2),
        (-5.0, 0.0, FIRST_PAUSE / 2),
    ],
)
def test_how_long_a_first_pause_is(wish: float | None, jitter: float, pause: float) -> None:
    """As long as the service wishes, within reason, and never as short as nothing."""
    pacer = probing()

    assert pacer.limited(10.0, 9.0, wish, jitter) == pause
    assert pacer.paused_until == 10.0 + pause


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30))
def test_pauses_double_until_an_answer_is_clean(jitters: list[float]) -> None:
    """Half of each is jitter, the longest is capped, and a clean answer starts anew."""
    pacer = probing()
    for number, jitter in enumerate(jitters):
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)
        assert longest / 2 <= pacer.pause(1e3 * number, 1e3 * number, "down", None, jitter) <= longest

    pacer.answered()

    assert pacer.pause(1e6, 1e6, "down", None, 0.0) == FIRST_PAUSE / 2


@pytest.mark.parametrize("limits", [True, False])
def test_the_answers_to_one_burst_are_one_setback(limits: bool) -> None:
    """What was sent before the pause began can lengthen it, but neither cuts the rate again nor doubles the pause."""
    pacer = Pacer(10.0, 100.0)

    def setback(now: float, sent_at: float, wish: float | None) -> float:
        if limits:
            return pacer.limited(now, sent_at, wish, 0.0)
        return pacer.pause(now, sent_at, "down", wish, 0.0)

    assert setback(1.0, 0.5, None) == 0.25
    assert setback(1.0, 1.0, None) == 0.25
    assert setback(1.125, 0.75, None) == 0.125
    assert setback(1.125, 0.75, 5.0) == 5.0
    assert setback(1.25, 0.5, 1.0) == 4.875
    assert setback(9.0, 1.0, None) == 0.0

    assert (pacer.rate, pacer.setbacks) == (7.0 if limits else 10.0, 1)
    assert setback(10.0, 9.5, None) == 0.5
    assert (pacer.rate, pacer.setbacks) == (pytest.approx(4.9) if limits else 10.0, 2)


def test_the_reason_is_that_of_the_longest_pause() -> None:
    """A short trouble within a long one explains nothing."""
    pacer = probing()
    pacer.limited(0.0, 0.0, 60.0, 0.0)
    pacer.pause(1.0, 0.5, "no connection", None, 0.0)

    assert pacer.reason == "the service limits requests"


def test_the_rate_doubles_while_all_is_clean() -> None:
    """After four answers or a second's worth, up to the ceiling."""
    pacer = probing(2.0, ceiling=30.0)
    rates = []
    for _ in range(45):
        pacer.answered()
        rates.append(pacer.rate)

    changes = [(count, rate) for count, (rate, _) in enumerate(itertools.pairwise(rates), 1) if rate != rates[count]]
    assert changes == [(3, 2.0), (7, 4.0), (15, 8.0), (31, 16.0)]
    assert rates[-1] == 30.0


def test_after_the_first_limit_the_rate_only_creeps() -> None:
    """It was found; from then on it is felt for."""
    pacer = probing(64.0)

    pacer.limited(0.0, 0.0, None, 0.0)
    assert pacer.rate == pytest.approx(44.8)
    for _ in range(45):
        pacer.answered()
    assert pacer.rate == pytest.approx(44.8 * 1.05)


def test_a_limit_starts_the_count_of_clean_answers_anew() -> None:
    """Three good answers before it prove nothing after it."""
    pacer = probing()
    for _ in range(3):
        pacer.answered()
    pacer.limited(0.0, 0.0, None, 0.0)
    pacer.answered()

    assert pacer.rate == pytest.approx(1.4)


@pytest.mark.parametrize(("given_rate", "after"), [(2.0, SLOWEST), (0.05, 0.05)])
def test_the_rate_never_dies(given_rate: float, after: float) -> None:
    """However often the service limits, requests trickle; a slower rate that was given is kept."""
    pacer = Pacer(given_rate, given_rate)
    for number in range(50):
        pacer.limited(number, number, None, 0.0)

    assert pacer.rate == after


happenings = st.lists(
    st.one_of(
        st.tuples(st.just("answered"), st.floats(0, 5), st.none()),
        st.tuples(st.sampled_from(["limited", "pause"]), st.floats(0, 5), st.none() | st.floats(-1, 1e4)),
        st.tuples(st.just("leave"), st.floats(0, 5), st.none()),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(rates, rates, happenings, st.floats(0, 1, exclude_max=True))
def test_whatever_happens(
    rate: float, more: float, happenings: list[tuple[str, float, float | None]], jitter: float
) -> None:
    """The rate keeps its bounds, and no request leaves in a pause or sooner after another than the ceiling allows."""
    pacer = Pacer(rate, rate + more)
    now, left_at, sent_at = 0.0, -math.inf, 0.0
    for what, wait, wish in happenings:
        now += wait
        match what:
            case "answered":
                pacer.answered()
            case "limited":
                assert 0 <= pacer.limited(now, sent_at, wish, jitter) <= MAX_RETRY_AFTER + CLOSE
            case "pause":
                assert 0 <= pacer.pause(now, sent_at, "down", wish, jitter) <= MAX_RETRY_AFTER + CLOSE
            case _:
                now = sent_at = leave(pacer, 0.0, now)
                assert now >= pacer.paused_until
                assert now - left_at >= 1 / pacer.ceiling - CLOSE
                left_at = now
        assert min(rate, SLOWEST) <= pacer.rate <= pacer.ceiling
