"""When requests may leave, and how the service's limit is found."""

import heapq
import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunyuan_async._core.pacing import CUT, FIRST_PAUSE, LONGEST_LIMITED, MAX_RETRY_AFTER, PATIENCE, SHUT, Pacer, Phase

CLOSE = 1e-6  # seconds; floats add up
ROUND_TRIP = 0.1  # seconds
NO_JITTER = 0.5
waits = st.lists(st.one_of(st.just(0.0), st.floats(0, 3), st.floats(0, 1e5)), min_size=1, max_size=25)
rates = st.floats(0.1, 200)


def probing(rate: float = 2.0, ceiling: float = 100.0) -> Pacer:
    """A pacer that looks for an unknown limit."""
    return Pacer(rate, ceiling)


def leave(pacer: Pacer, now: float) -> float:
    """Let the next request leave as soon as it may, and return when that is."""
    at = pacer.ready_at(now)
    pacer.take(at)
    return at


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


class Bucket:
    """A token bucket of the service's."""

    def __init__(self, rate: float, size: float) -> None:
        self.rate, self.size, self.tokens, self.filled_at = rate, size, size, 0.0

    def admits(self, now: float) -> bool:
        """Take a token, if there is one."""
        self.tokens = min(self.size, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        admitted = self.tokens >= 1
        self.tokens -= admitted
        return admitted


def saturate(pacer: Pacer, bucket: Bucket, until: float, since: float = 0.0, jitter: float = 0.0) -> tuple[int, int]:
    """Send what may leave, and return how many requests were taken and refused; each arrives a little later."""
    chance = random.Random(1)
    answers: list[tuple[float, float, bool]] = []
    counts = [0, 0]
    now = since
    while now < until:
        if answers and answers[0][0] <= pacer.ready_at(now):
            now, sent_at, admitted = heapq.heappop(answers)
            if admitted:
                pacer.answered(now, sent_at)
            else:
                pacer.limited(now, sent_at, None, NO_JITTER)
        else:
            now = leave(pacer, now)
            admitted = bucket.admits(now + ROUND_TRIP / 2 + jitter * chance.random())
            counts[not admitted] += 1
            heapq.heappush(answers, (now + ROUND_TRIP, now, admitted))
    return counts[0], counts[1]


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


def test_an_unknown_limit_is_probed_by_doubling() -> None:
    """Every second or so of clean answers, as long as the pace is what holds requests back."""
    pacer, now, seen = probing(), 0.0, []
    for _ in range(30):
        now = leave(pacer, now)
        pacer.answered(now, now)
        seen.append(pacer.rate)

    assert [rate for rate, _ in itertools.groupby(seen)] == [2.0, 4.0, 8.0, 16.0]


def test_a_rate_that_is_not_used_does_not_grow() -> None:
    """One request every ten seconds says nothing about more of them."""
    pacer = probing()
    for number in range(50):
        pacer.take(number * 10.0)
        pacer.answered(number * 10.0 + ROUND_TRIP, number * 10.0)

    assert pacer.rate <= 4.0


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


@pytest.mark.parametrize(("rate", "size"), [(2.0, 5.0), (10.0, 20.0), (50.0, 50.0)])
def test_the_limit_is_measured(rate: float, size: float) -> None:
    """Nearly all that the service takes is used, and few requests are refused."""
    pacer = probing()
    taken, refused = saturate(pacer, Bucket(rate, size), 300.0)

    assert taken >= 0.92 * (300 * rate + size)
    assert refused / (taken + refused) < 0.02
    assert pacer.found == pytest.approx(rate, rel=0.1)


def test_a_changed_limit_is_found_again() -> None:
    """A lower one at the first refusals, a higher one after a while of holding."""
    pacer = probing()
    saturate(pacer, Bucket(10, 20), 200.0)
    lower = saturate(pacer, Bucket(4, 8), 400.0, since=200.0)[0]
    higher = saturate(pacer, Bucket(15, 30), 700.0, since=400.0)[0]

    assert lower > 0.92 * 4 * 200
    assert higher > 0.7 * 15 * 300
    assert pacer.rate > 12.0


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


@pytest.mark.parametrize(
    ("pacer", "known"),
    [(Pacer(7.0, 7.0), 7.0), (Pacer(math.inf, math.inf), 0.0), (probing(), 0.0), (Pacer(2.0, 100.0, found=9.0), 9.0)],
)
def test_what_is_known_of_the_limit(pacer: Pacer, known: float) -> None:
    """It was given or measured; where nothing limits, nothing is known of use."""
    assert pacer.known == known


def test_quiet_times_are_not_measured() -> None:
    """An hour without requests does not make the limit look lower than it is."""
    pacer = probing()
    saturate(pacer, Bucket(10, 20), 100.0)
    taken, _ = saturate(pacer, Bucket(10, 20), 3900.0, since=3700.0)

    assert taken > 0.92 * 10 * 200


@pytest.mark.parametrize(
    ("ceiling", "episodes", "rate"), [(10.0, 3, 10 * CUT), (100.0, 1, 2.0)], ids=["given", "found"]
)
def test_our_own_demand_is_not_taken_for_the_limit(ceiling: float, episodes: int, rate: float) -> None:
    """A limit met while we ask for less: a given rate is hardly cut, and one that is looked for may grow at once."""
    pacer, now = Pacer(10.0, ceiling), 0.0
    for _ in range(episodes):
        for _ in range(25):  # all slots are in use: a request now and then
            now += 0.5
            pacer.take(now)
            pacer.answered(now, now)
        pacer.limited(now, now, None, NO_JITTER)
        now = leave(pacer, now)
        pacer.answered(now, now)

        assert pacer.rate == pytest.approx(rate, rel=0.2)
        assert pacer.phase is Phase.SEARCH
    assert pacer.found is None


@pytest.mark.parametrize("pacer", [Pacer(10.0, 10.0), probing()], ids=["given", "found"])
def test_a_limit_without_any_burst_is_used_as_well(pacer: Pacer) -> None:
    """It refuses whatever comes a millisecond too early, and every pause that follows is lost."""
    taken, refused = saturate(pacer, Bucket(10, 1), 180.0, jitter=0.02)

    assert taken > 0.65 * 10 * 180
    assert refused < 0.02 * taken


def test_mere_bursts_do_not_raise_the_rate() -> None:
    """Two requests at once are held back by any pace; that is no sign that we could use a higher one."""
    pacer = probing()
    for second in range(200):
        for _ in range(2):
            now = leave(pacer, float(second))
            pacer.answered(now, now)

    assert pacer.rate <= 8.0


def test_trouble_is_not_measured() -> None:
    """A pause for another reason is no time in which the limit was in use."""
    pacer = probing()
    saturate(pacer, Bucket(10, 20), 100.0)
    pacer.pause(100.0, 100.0, "down for repair", 250.0, NO_JITTER)
    assert (pacer.reason, pacer.ready_at(100.0)) == ("down for repair", 350.0)
    bucket, rates = Bucket(10, 20), []
    for since in range(350, 600, 5):
        saturate(pacer, bucket, since + 5.0, float(since))
        rates.append(pacer.rate)

    assert min(rates) > 8.0


def test_a_limit_on_tasks_is_taken_back() -> None:
    """It was not about requests: rate, phase and pause are as before."""
    pacer, now = probing(), 0.0
    for _ in range(10):
        now = leave(pacer, now)
        pacer.answered(now, now)
    before = pacer.rate
    pacer.limited(now, now, 5.0, NO_JITTER)

    pacer.forgive(now + 0.1)

    assert (pacer.rate, pacer.phase, pacer.setbacks) == (before, Phase.START, 0)
    assert pacer.ready_at(now + 1.0) == now + 1.0


def test_a_limit_taken_back_after_the_recovery_is_as_if_it_had_never_been() -> None:
    """The rate was cut when requests passed again; two refusals in a row showed that there was no need to."""
    pacer, now = probing(), 0.0
    for _ in range(10):
        now = leave(pacer, now)
        pacer.answered(now, now)
    before = pacer.rate
    pacer.limited(now, now, None, NO_JITTER)
    now = leave(pacer, now)
    pacer.answered(now, now)
    assert (pacer.rate < before, pacer.phase) == (True, Phase.SEARCH)

    pacer.forgive(now + 0.1)

    assert (pacer.rate, pacer.phase) == (before, Phase.START)


def test_a_limit_met_above_the_known_one_is_no_lower() -> None:
    """It was met because the rate had been raised to try."""
    pacer, now = Pacer(11.0, 100.0, found=10.0, phase=Phase.HOLD), 0.0
    for _ in range(180):
        now += 1 / 9
        pacer.take(now)
        pacer.answered(now, now)
    pacer.limited(now, now, None, NO_JITTER)
    now = leave(pacer, now)
    pacer.answered(now, now)

    assert pacer.found == pytest.approx(10.3)


def test_a_rate_is_sure_once_it_is_known() -> None:
    """Given, measured, or undisturbed for long."""
    assert Pacer(5.0, 5.0).sure(0.0)
    pacer = probing()
    pacer.take(0.0)
    assert (pacer.sure(1.0), pacer.sure(91.0)) == (False, True)
    saturate(pacer, Bucket(10, 20), 60.0)
    assert pacer.sure(60.0)


def test_jitter_spreads_pauses() -> None:
    """Clients that share a quota do not come back together."""
    pauses = {probing().limited(0.0, 0.0, None, jitter) for jitter in (0.0, random.Random(1).random(), 0.999)}

    assert len(pauses) == 3
    assert min(pauses) >= FIRST_PAUSE / 2
