"""How long tasks take, as learned from looks."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async._core.latency import GUESSED_MEDIAN, LatencyModel

ages = st.floats(0, 60)


def watch(model: LatencyModel, duration: float, first: float = 1.0, gap: float = 1.0) -> None:
    """Look at a task of this duration until it is done."""
    seen, age = 0.0, first
    while True:
        model.observe(seen, age, done=age >= duration)
        if age >= duration:
            return
        seen, age = age, age + gap


def watched(durations: list[float]) -> LatencyModel:
    """A model that saw tasks of these durations, each look a second after the last."""
    model = LatencyModel()
    for duration in durations:
        watch(model, duration)
    return model


def uniform(count: int, least: float = 5.0, most: float = 15.0, seed: int = 1) -> list[float]:
    """Durations between two bounds."""
    chance = random.Random(seed)
    return [chance.uniform(least, most) for _ in range(count)]


LEARNED = watched(uniform(300))


def test_the_guess_is_what_the_services_page_says() -> None:
    """Half of the tasks take ten seconds, nine in ten between three and a half and thirty."""
    model = LatencyModel()

    assert model.usual == pytest.approx(GUESSED_MEDIAN, rel=0.01)
    assert model.p(0.0, 3.5) == pytest.approx(0.05, abs=0.01)
    assert model.p(0.0, 30.0) == pytest.approx(0.96, abs=0.01)


def test_quantiles_are_learned_from_intervals() -> None:
    """No finish is seen itself, and yet the spread of the durations comes out right, to half a look."""
    for share, age in ((0.05, 5.5), (0.25, 7.5), (0.5, 10.0), (0.75, 12.5), (0.95, 14.5)):
        assert LEARNED.quantile(share) == pytest.approx(age, abs=0.9)


def test_a_finish_between_distant_looks_is_spread() -> None:
    """The time until it, unseen, counts as time without a finish."""
    model = LatencyModel()
    for duration in uniform(300):
        watch(model, duration, first=5.0, gap=5.0)

    assert model.usual == pytest.approx(10.0, abs=0.5)


@given(ages, ages)
def test_lost_grows_by_p(seen: float, after: float) -> None:
    """What is lost in a moment is the probability that the task was done by then."""
    age, moment = seen + after, 0.01
    grown = LEARNED.lost(seen, age + moment) - LEARNED.lost(seen, age)

    assert LEARNED.lost(seen, seen) == pytest.approx(0.0, abs=1e-6)
    assert grown / moment == pytest.approx(LEARNED.p(seen, age + moment / 2), abs=0.02) or math.exp(-18) > 1 - (
        LEARNED.p(0.0, seen)
    )


@given(ages, st.floats(0.01, 0.99))
def test_the_age_of_a_probability_is_found(seen: float, p: float) -> None:
    """It is the inverse of `p`."""
    assert LEARNED.p(seen, LEARNED.age_when_done(seen, p)) == pytest.approx(p)


@given(ages, st.floats(0.05, 30))
def test_the_age_of_a_loss_is_found(seen: float, seconds: float) -> None:
    """It is the inverse of `lost`, to a few hundredths of a second."""
    age = LEARNED.age_when_lost(seen, seconds)

    assert age > seen
    assert LEARNED.lost(seen, age) == pytest.approx(seconds, abs=0.06)


@pytest.mark.parametrize(
    ("seen", "age", "at_least", "at_most"), [(9.0, 10.0, 0.4, 0.6), (0.0, 16.0, 5.0, 7.0), (3.0, 3.0, 0.0, 0.0)]
)
def test_how_long_a_finish_went_unnoticed(seen: float, age: float, at_least: float, at_most: float) -> None:
    """As expected of durations between 5 and 15 seconds."""
    assert at_least <= LEARNED.unnoticed(seen, age) <= at_most


def test_ages_beyond_the_table_are_no_mistake() -> None:
    """A task may hang for a day."""
    model = LatencyModel()
    model.observe(0.0, 50_000.0, done=False)
    model.observe(50_000.0, 80_000.0, done=True)

    assert 80_000.0 < model.age_when_lost(80_000.0, 1.0) < 80_100.0
    assert 0.0 <= model.lost(80_000.0, 90_000.0) <= 10_000.0
    assert model.age_when_done(80_000.0, 0.9) > 80_000.0


def test_tasks_that_still_run_count() -> None:
    """Fast tasks are seen first; that slow ones exist shows only in looks that found nothing."""
    model = watched([4.0] * 5)
    before = model.quantile(0.75)
    for _ in range(20):
        model.observe(0.0, 20.0, done=False)

    assert model.quantile(0.75) > before + 5.0


def test_a_look_that_cannot_teach_teaches_nothing() -> None:
    """Its age is not beyond the last one."""
    model = LatencyModel()
    model.observe(5.0, 5.0, done=True)
    model.observe(5.0, 4.0, done=False)

    assert (model.finished, model.usual) == (0, LatencyModel().usual)


@pytest.mark.parametrize(("least", "most"), [(12.0, 30.0), (2.0, 4.0), (9.5, 10.5)])
def test_what_is_old_fades(least: float, most: float) -> None:
    """When the service becomes slower, faster or steadier, a few hundred tasks later the old times are forgotten."""
    model = watched([*uniform(300), *uniform(450, least, most)])

    assert model.usual == pytest.approx((least + most) / 2, rel=0.15)
    assert model.quantile(0.95) < most * 1.15


def test_the_scale_follows_at_once() -> None:
    """Forty looks too early move all ages, long before the curve has a new form."""
    model = watched([10.0] * 100)
    before = model.usual
    for _ in range(40):
        model.observe(0.0, 12.0, done=False)

    assert model.usual > 1.3 * before


def test_tasks_in_step_keep_their_spread() -> None:
    """Two hundred tasks, submitted together and looked at together, do not look as if all took the same time."""
    model = LatencyModel()
    running = dict.fromkeys(range(200), 0.0)
    durations = uniform(200)
    age = 0.0
    while running:
        age = max(age + 0.3, model.age_when_lost(age, 0.3))
        for task, seen in list(running.items()):
            model.observe(seen, age, done=age >= durations[task])
            running[task] = age
            if age >= durations[task]:
                del running[task]

    assert model.quantile(0.9) > 1.5 * model.quantile(0.1)


def test_thousands_of_tasks_do_not_wear_it_out() -> None:
    """The weight of new looks grows without end, and is brought down in time."""
    model = LatencyModel(weight=1e307)
    for _ in range(500):
        watch(model, 9.5, first=9.0)

    assert model.finished == 500
    assert 8.5 < model.usual < 10.5
