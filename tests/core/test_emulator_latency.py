"""How long tasks take, how many are made at once, and how many requests a second are let through."""

import random
import statistics

import pytest

from hunyuan_async.emulator import LATENCIES, Latency, bimodal, fixed, lognormal, uniform
from hunyuan_async.emulator._limits import InFlight, TokenBucket, Workers


def drawn(latency: Latency) -> list[float]:
    """Two thousand tasks' times, in order of length."""
    rng = random.Random(3)
    return sorted(latency(rng) for _ in range(2000))


def test_a_fixed_latency_never_differs() -> None:
    """Every task takes the same time."""
    assert set(drawn(fixed(0.02))) == {0.02}


def test_a_uniform_latency_fills_its_range() -> None:
    """Nothing is outside the documented 5 to 15 seconds, and both ends are reached."""
    times = drawn(uniform())

    assert 5 <= times[0] < 5.1
    assert 14.9 < times[-1] <= 15


def test_a_lognormal_latency_has_its_median_and_a_long_tail() -> None:
    """The slowest tasks take many times longer than half of them."""
    times = drawn(lognormal(median=8, spread=0.5))

    assert statistics.median(times) == pytest.approx(8, rel=0.05)
    assert times[-1] > 3 * 8


def test_a_bimodal_latency_has_two_heaps() -> None:
    """A share of all tasks is slow, the others are fast, and none is in between."""
    times = drawn(bimodal(fast=5, slow=50, slow_share=0.2))

    slow = [each for each in times if each > 25]
    assert len(slow) == pytest.approx(400, rel=0.15)
    assert times[0] >= 4
    assert not [each for each in times if 6 < each < 40]


@pytest.mark.parametrize("name", LATENCIES)
def test_every_named_latency_repeats_from_a_seed(name: str) -> None:
    """The names that a command line offers work without numbers, and the same seed gives the same times."""
    assert drawn(LATENCIES[name]()) == drawn(LATENCIES[name]())


def test_a_bucket_lets_its_rate_through_and_no_more() -> None:
    """After one second's worth at once, each request waits for its token."""
    bucket = TokenBucket(4)

    assert [bucket.take(10.0) for _ in range(5)] == [0, 0, 0, 0, 0.25]
    assert bucket.take(10.125) == 0.125
    assert bucket.take(10.25) == 0
    assert bucket.take(10.25) == 0.25


def test_a_slow_bucket_holds_one_token() -> None:
    """A rate below one a second lets one request through, and keeps none for later."""
    bucket = TokenBucket(0.5)

    assert [bucket.take(0), bucket.take(1), bucket.take(2), bucket.take(100), bucket.take(100)] == [
        0,
        1,
        0,
        0,
        2,
    ]


def test_workers_take_tasks_in_order() -> None:
    """A task that finds every worker busy starts when the first is free."""
    workers = Workers(2)

    assert [workers.place(10, now) for now in (0, 1, 2, 3, 50)] == [10, 11, 20, 21, 60]


def test_unlimited_workers_start_at_once() -> None:
    """Without a number of workers nothing waits."""
    workers = Workers(None)

    assert [workers.place(10, 0) for _ in range(3)] == [10, 10, 10]


def test_tasks_are_in_flight_until_they_finish() -> None:
    """The count falls at the instant of finishing, in whatever order tasks were added."""
    in_flight = InFlight()
    for done_at in (30, 10, 20):
        in_flight.add(done_at)

    assert [in_flight.count(now) for now in (0, 10, 25)] == [3, 2, 1]
    assert in_flight.next_done_after(25) == 5
