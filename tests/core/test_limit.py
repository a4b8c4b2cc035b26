"""How the service's limit is found, by a pacer that asks for all it can get."""

import heapq
import itertools
import math
import random

import pytest

from hunyuan_async._core.limit import CUT, Limit, Phase
from hunyuan_async._core.pacing import Pacer
from tests.core.pacers import leave, probing

ROUND_TRIP = 0.1  # seconds
NO_JITTER = 0.5


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


def test_mere_bursts_do_not_raise_the_rate() -> None:
    """Two requests at once are held back by any pace; that is no sign that we could use a higher one."""
    pacer = probing()
    for second in range(200):
        for _ in range(2):
            now = leave(pacer, float(second))
            pacer.answered(now, now)

    assert pacer.rate <= 8.0


@pytest.mark.parametrize(("rate", "size"), [(2.0, 5.0), (10.0, 20.0), (50.0, 50.0)])
def test_the_limit_is_measured(rate: float, size: float) -> None:
    """Nearly all that the service takes is used, and few requests are refused."""
    pacer = probing()
    taken, refused = saturate(pacer, Bucket(rate, size), 300.0)

    assert taken >= 0.92 * (300 * rate + size)
    assert refused / (taken + refused) < 0.02
    assert pacer.limit.found == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize("pacer", [Pacer(10.0, 10.0), probing()], ids=["given", "found"])
def test_a_limit_without_any_burst_is_used_as_well(pacer: Pacer) -> None:
    """It refuses whatever comes a millisecond too early, and every pause that follows is lost."""
    taken, refused = saturate(pacer, Bucket(10, 1), 180.0, jitter=0.02)

    assert taken > 0.65 * 10 * 180
    assert refused < 0.02 * taken


def test_a_changed_limit_is_found_again() -> None:
    """A lower one at the first refusals, a higher one after a while of holding."""
    pacer = probing()
    saturate(pacer, Bucket(10, 20), 200.0)
    lower = saturate(pacer, Bucket(4, 8), 400.0, since=200.0)[0]
    higher = saturate(pacer, Bucket(15, 30), 700.0, since=400.0)[0]

    assert lower > 0.92 * 4 * 200
    assert higher > 0.7 * 15 * 300
    assert pacer.rate > 12.0


def test_a_limit_met_above_the_known_one_is_no_lower() -> None:
    """It was met because the rate had been raised to try."""
    pacer, now = probing(), 0.0
    pacer.limit = Limit(11.0, 100.0, found=10.0, phase=Phase.HOLD)
    for _ in range(180):
        now += 1 / 9
        pacer.take(now)
        pacer.answered(now, now)
    pacer.limited(now, now, None, NO_JITTER)
    now = leave(pacer, now)
    pacer.answered(now, now)

    assert pacer.limit.found == pytest.approx(10.3)


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
        assert pacer.limit.phase is Phase.SEARCH
    assert pacer.limit.found is None


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


@pytest.mark.parametrize(("wish", "recovered"), [(5.0, False), (None, True)])
def test_a_limit_on_tasks_is_taken_back(wish: float | None, recovered: bool) -> None:
    """It was not about requests: all is as before, even if they passed again meanwhile, at a rate that was cut."""
    pacer, now = probing(), 0.0
    for _ in range(10):
        now = leave(pacer, now)
        pacer.answered(now, now)
    before = pacer.rate
    pacer.limited(now, now, wish, NO_JITTER)
    if recovered:
        now = leave(pacer, now)
        pacer.answered(now, now)
        assert (pacer.rate < before, pacer.limit.phase) == (True, Phase.SEARCH)

    pacer.forgive(now + 0.1)

    assert (pacer.rate, pacer.limit.phase, pacer.setbacks) == (before, Phase.START, 0)
    assert pacer.ready_at(now + 1.0) == now + 1.0


@pytest.mark.parametrize(
    ("limit", "known"),
    [
        (Limit(7.0, 7.0), 7.0),
        (Limit(math.inf, math.inf), 0.0),
        (Limit(2.0, 100.0), 0.0),
        (Limit(8.8, 100.0, 9.0, Phase.HOLD), 9.0),
        (Limit(20.0, 100.0, 9.0, Phase.SEARCH), 20.0),
    ],
)
def test_what_is_known_of_the_limit(limit: Limit, known: float) -> None:
    """It was measured, passed since, or given; where nothing limits, nothing is known of use."""
    assert limit.known == known


def test_what_the_service_takes_counts_more_than_what_was_asked_for() -> None:
    """A rate that the user gave may be above the limit."""
    pacer = Pacer(20.0, 20.0)
    saturate(pacer, Bucket(10, 20), 60.0)

    assert pacer.limit.known == pytest.approx(10.0, rel=0.1)


def test_a_rate_is_sure_once_it_is_known() -> None:
    """Given, measured, or undisturbed for long."""
    assert Limit(5.0, 5.0).sure(0.0)
    pacer = probing()
    pacer.take(0.0)
    assert (pacer.limit.sure(1.0), pacer.limit.sure(91.0)) == (False, True)
    saturate(pacer, Bucket(10, 20), 60.0)
    assert pacer.limit.sure(60.0)
