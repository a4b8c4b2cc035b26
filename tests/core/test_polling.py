"""When a look is worth it, and when it is worth more than a submit."""

import itertools
import math
import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunyuan_async._core.latency import LatencyModel
from hunyuan_async._core.polling import (
    LATE_GAP,
    LONGEST_WISH,
    PROBE_EVERY,
    SCOUTS,
    SLACK,
    SURE_HIT,
    URGENT,
    PollSchedule,
)
from hunyuan_async.settings import Polling

GAPS = Polling(min_gap=0.25, max_gap=10.0)
MANY = 10**6  # submits: the end of the queue is far


def learned_model(least: float = 5.0, most: float = 15.0) -> LatencyModel:
    """A model that saw five hundred tasks with durations between these, looked at every half second."""
    model, chance = LatencyModel(), random.Random(1)
    for _ in range(500):
        duration, age = chance.uniform(least, most), 0.0
        while age < duration:
            model.observe(age, age + 0.5, done=age + 0.5 >= duration)
            age += 0.5
    return model


def after_scouts(model: LatencyModel | None = None, gaps: Polling = GAPS) -> PollSchedule:
    """An empty schedule that has sent its scouts."""
    schedule = PollSchedule(gaps, model or learned_model())
    for key in range(-SCOUTS, 0):
        schedule.add(key, 0.0)
        schedule.discard(key)
    return schedule


def look(schedule: PollSchedule) -> tuple[float, int]:
    """Take the next task when it is due, and return when that is and which it is."""
    at = schedule.next_due_at()
    return at, schedule.take(at)


def play(schedule: PollSchedule, durations: list[float], every: float = 0.3) -> tuple[list[float], list[int]]:
    """Start a task *every* so many seconds; return how long each went unnoticed, and how often each was looked at."""
    delays: list[float] = []
    looks = [0] * len(durations)
    now, started = 0.0, 0
    while len(delays) < len(durations):
        starts_at = started * every if started < len(durations) else math.inf
        due_at = schedule.next_due_at()
        if starts_at <= due_at:
            now = max(now, starts_at)
            schedule.add(started, starts_at)
            started += 1
            continue
        now = max(now, due_at)
        key = schedule.take(now)
        looks[key] += 1
        unnoticed = now - key * every - durations[key]
        if unnoticed < 0:
            schedule.running(key, now)
        else:
            schedule.finished(key, now)
            delays.append(unnoticed)
    return delays, looks


def uniform(count: int, seed: int = 1) -> list[float]:
    """Durations of 5 to 15 seconds."""
    chance = random.Random(seed)
    return [chance.uniform(5, 15) for _ in range(count)]


def test_nothing_is_due_when_there_is_nothing() -> None:
    """Then the dispatcher sleeps until something changes."""
    assert PollSchedule(GAPS, LatencyModel()).next_due_at() == math.inf


def test_scouts_are_looked_at_whenever_their_age_has_doubled() -> None:
    """They correct the guess, however wrong it is; the others wait until a look is worth it."""
    schedule = PollSchedule(GAPS, LatencyModel())
    for key in range(SCOUTS + 1):
        schedule.add(key, 0.0)
    seen: dict[int, list[float]] = {}
    while (due := look(schedule))[1] < SCOUTS:
        seen.setdefault(due[1], []).append(due[0])
        schedule.running(due[1], due[0])

    assert [seen[key][:3] for key in range(SCOUTS)] == [[0.5, 1.0, 2.0]] * SCOUTS
    assert due[0] > 2.0


def test_a_scout_that_takes_long_is_looked_at_like_any_other() -> None:
    """Its age has doubled only after minutes; the ceiling between two looks comes first."""
    schedule = PollSchedule(GAPS, LatencyModel())
    schedule.add(1, 0.0)
    schedule.weigh(MANY, 1.0, sure=True)
    seen: list[float] = []
    for now in range(1, 100):
        if schedule.beats_submit(now):
            schedule.running(schedule.take(now), now)
            seen.append(now)

    assert seen == [1, 2, 4, 8, 16, 26, 36, 46, 56, 66, 76, 86, 96]


def test_a_lost_scout_is_replaced() -> None:
    """Until a task has finished, somebody must be watched closely."""
    schedule = after_scouts(LatencyModel())
    schedule.add(1, 0.0)

    assert schedule.next_due_at() == 0.5


def test_few_looks_find_tasks_soon() -> None:
    """From the first batch on: looks every two seconds would be 5.5 a task, and find it after 1.0 seconds."""
    delays, looks = play(PollSchedule(GAPS, LatencyModel()), uniform(400))

    assert sum(looks) / len(looks) < 4.4
    assert sum(delays) / len(delays) < 1.0


def test_a_scarcer_request_costs_more_looks_less() -> None:
    """It is cheap if few tasks are in flight and no submit waits, or if a spare request is sure to be spare."""
    schedule = after_scouts()
    schedule.add(1, 0.0)
    due_at = []
    for waiting, sure in ((0, True), (1, True), (1, False)):
        schedule.weigh(waiting, 10.0, sure=sure)
        due_at.append(schedule.next_due_at())

    assert due_at == sorted(due_at)
    assert len(set(due_at)) == 3


def test_eagerness_buys_looks() -> None:
    """Who wants to know sooner pays with more looks."""
    calm, eager = (play(after_scouts(gaps=attrs.evolve(GAPS, eagerness=one)), uniform(150)) for one in (0.3, 4.0))

    assert sum(eager[0]) < 0.6 * sum(calm[0])
    assert sum(eager[1]) > 1.4 * sum(calm[1])


def test_a_sure_hit_beats_a_submit() -> None:
    """Nothing less does, as long as many submits wait for a limited rate."""
    model = learned_model()
    schedule = after_scouts(model)
    schedule.add(1, 0.0)
    schedule.weigh(MANY, 10.0, sure=True)
    sure_at = model.age_when_done(0.0, SURE_HIT)

    assert schedule.next_due_at() < sure_at - 1.0
    assert not schedule.beats_submit(sure_at - 0.01)
    assert schedule.beats_submit(sure_at + 0.01)


@pytest.mark.parametrize(("waiting", "rate"), [(100, 10.0), (MANY, math.inf)])
def test_a_submit_beats_a_sure_hit(waiting: int, rate: float) -> None:
    """If requests cost nothing; and near the end of the queue, where what is submitted last ends last."""
    schedule = after_scouts()
    schedule.add(1, 0.0)
    schedule.weigh(waiting, rate, sure=True)

    assert not schedule.beats_submit(20.0)


def test_a_task_that_may_be_done_for_long_beats_a_submit() -> None:
    """However unlikely: with a heavy tail nothing is ever a sure hit."""
    model = LatencyModel(finished=1)
    schedule = after_scouts(model, Polling(max_gap=1000.0))
    schedule.add(1, 0.0)
    schedule.weigh(MANY, 10.0, sure=True)
    schedule.take(24.0)
    schedule.running(1, 24.1)
    urgent_at = model.age_when_lost(24.0, URGENT * model.usual)

    assert model.p(24.0, urgent_at) < SURE_HIT - 0.05
    assert not schedule.beats_submit(urgent_at - 0.1)
    assert schedule.beats_submit(urgent_at + 0.1)


def test_the_one_that_is_done_most_likely_is_looked_at_first() -> None:
    """Among tasks never looked at the oldest, among all whoever is ahead by what is known."""
    model = learned_model()
    schedule = after_scouts(model)
    for key, submitted_at in enumerate([3.0, 0.0, 2.0, 1.0]):
        schedule.add(key, submitted_at)
    assert schedule.take(13.0) == 1
    schedule.running(1, 13.0)

    assert [schedule.take(13.8) for _ in range(4)] == [3, 2, 0, 1]


def test_a_probe_is_looked_at_early() -> None:
    """One in fifty is, so that a faster service shows even while submits come first."""
    model = learned_model()
    schedule = after_scouts(model)
    schedule.weigh(MANY, 10.0, sure=True)
    for key in range(PROBE_EVERY):
        schedule.add(key, 0.0)

    assert not schedule.beats_submit(model.usual - 0.01)
    assert schedule.beats_submit(model.usual + 0.01)
    probe = schedule.take(model.usual + 0.01)
    assert probe == PROBE_EVERY - SCOUTS - 1
    schedule.running(probe, model.usual + 0.1)
    assert not schedule.beats_submit(model.usual + 0.5)


def test_a_task_of_unknown_age_is_looked_at_at_once_and_teaches_nothing() -> None:
    """It was paid for long ago, so it is done most likely, and that outranks everything."""
    model = learned_model()
    before = model.finished, model.usual
    schedule = after_scouts(model)
    schedule.weigh(MANY, 10.0, sure=True)
    schedule.add_known(7, 100.0)
    assert schedule.next_due_at() <= 100.0
    assert schedule.beats_submit(100.0)
    assert schedule.take(100.0) == 7
    schedule.running(7, 100.1)

    again_at = schedule.next_due_at()
    assert 100.0 < again_at < 110.0
    schedule.take(again_at)
    schedule.finished(7, again_at)
    assert (model.finished, model.usual) == before


def test_a_failed_look_rests() -> None:
    """It taught nothing, so the task is as it was; but it is left alone for as long as was asked."""
    schedule = after_scouts()
    schedule.add(1, 0.0)
    schedule.take(12.0)
    schedule.failed(1, 12.1, 3.0)

    assert schedule.next_due_at() == 15.1
    assert schedule.take(15.1) == 1
    schedule.finished(1, 15.2)
    assert len(schedule) == 0


@pytest.mark.parametrize(("wish", "rest"), [(0.0, 3.0), (2.0, 3.0), (9.0, 9.0), (3600.0, LONGEST_WISH)])
def test_the_service_may_ask_not_to_be_asked(wish: float, rest: float) -> None:
    """Its wish delays the next look at that task, within reason, and never hastens it."""
    schedule = after_scouts(gaps=attrs.evolve(GAPS, min_gap=3.0))
    schedule.add(1, 0.0)
    schedule.take(20.0)
    schedule.running(1, 20.0, wish)

    assert schedule.next_due_at() == 20.0 + rest


@pytest.mark.parametrize("failed", [False, True])
def test_a_look_that_had_to_be_put_off_is_not_forgotten(failed: bool) -> None:
    """However many submits wait, and although the task is no sure hit for long: the ceiling between two looks holds."""
    schedule = after_scouts()
    schedule.weigh(MANY, 1.0, sure=True)
    schedule.add(1, 0.0)
    for at in (20.0, 30.0, 40.0):
        assert schedule.beats_submit(at)
        assert schedule.take(at) == 1
        if failed and at > 20.0:
            schedule.failed(1, at, 2.0)
        else:
            schedule.running(1, at, 2.0)
        assert not schedule.beats_submit(at + 1.9)


def test_a_task_that_a_person_waits_for_is_looked_at_before_others() -> None:
    """As soon as a look is worth it, although a submit would be worth more; then the others take their turn."""
    schedule = after_scouts()
    schedule.add(1, 0.0)
    schedule.add(2, 0.0, interactive=True)
    schedule.weigh(10_000, 1.0, sure=True)

    at = schedule.next_due_at()

    assert schedule.beats_submit(at)
    assert schedule.take(at) == 2
    assert not schedule.beats_submit(at)


def test_what_noticing_costs_is_counted() -> None:
    """By tasks that have finished, and of a known age alone."""
    schedule = after_scouts()
    for key in (1, 2):
        schedule.add(key, 0.0)
    schedule.add_known(3, 0.0)
    for at in (0.0, 9.0, 12.0, 13.0):
        key = schedule.take(at)
        (schedule.running if at == 9.0 else schedule.finished)(key, at)

    assert schedule.looks == 3
    assert 1.0 < schedule.delay < 13.0 - 5.0 + 12.0 - 9.0


def test_a_discarded_task_is_forgotten() -> None:
    """Wherever it stands, and also if nobody knows it."""
    schedule = after_scouts()
    schedule.add(1, 0.0)
    schedule.add(2, 0.0)
    schedule.take(12.0)
    schedule.running(1, 12.0)
    schedule.add_known(3, 12.0)
    for key in (1, 2, 3, 4):
        schedule.discard(key)

    assert (schedule.next_due_at(), len(schedule)) == (math.inf, 0)
    assert not schedule.beats_submit(50.0)


@pytest.mark.parametrize("gaps", [Polling(0.25, 10.0), Polling(2.0, 2.5), Polling(0.01, 0.4), Polling(5.0, 1.0)])
@pytest.mark.parametrize("waiting", [0, MANY])
def test_the_gaps_are_kept(gaps: Polling, waiting: int) -> None:
    """Never sooner than the floor, which wins; a look that outranks submits no later than the ceiling."""
    schedule = after_scouts(gaps=gaps)
    schedule.weigh(waiting, 10.0, sure=False)
    schedule.add(1, 0.0)
    times: list[float] = []
    for _ in range(12):
        at = schedule.next_due_at()
        if at == -math.inf or waiting:
            at = next(now for now in itertools.count(times[-1] if times else 0.0, 0.01) if schedule.beats_submit(now))
        schedule.take(at)
        schedule.running(1, at)
        times.append(at)

    between = [after - before for before, after in itertools.pairwise(times)]
    assert min(between) >= gaps.min_gap - 1e-6
    assert max(between) <= max(gaps.max_gap, gaps.min_gap, 0.06 * times[-1]) + 0.02
    if not waiting:
        assert max(between) <= max(min(LATE_GAP, gaps.max_gap), gaps.min_gap, 0.06 * times[-1]) + 0.02


events = st.lists(st.tuples(st.sampled_from(["add", "known", "look", "fail", "done", "drop"]), st.floats(0, 5)))


@settings(deadline=None)
@given(events, st.sampled_from([0, 1, MANY]), st.sampled_from([1.0, math.inf]))
def test_every_task_is_looked_at_until_it_is_finished(
    events: list[tuple[str, float]], waiting: int, rate: float
) -> None:
    """Whatever happens to whichever task in whatever order, no task is lost and none is taken twice."""
    schedule = PollSchedule(GAPS, LatencyModel())
    keys = itertools.count()
    resting: set[int] = set()
    now = 0.0
    for event, wait in [*events, *[("done", 0.0)] * len(events)]:
        now += wait
        schedule.weigh(waiting, rate, sure=bool(waiting))
        if event in {"add", "known"}:
            key = next(keys)
            (schedule.add if event == "add" else schedule.add_known)(key, now)
            resting.add(key)
        elif resting and event == "drop":
            schedule.discard(resting.pop())
        elif resting:
            now = max(now, schedule.next_due_at())
            schedule.beats_submit(now)
            key = schedule.take(now)
            assert key in resting
            match event:
                case "look":
                    schedule.running(key, now)
                case "fail":
                    schedule.failed(key, now, wait)
                case _:
                    schedule.finished(key, now)
                    resting.remove(key)
        assert len(schedule) == len(resting)
    assert schedule.next_due_at() == math.inf


def test_bookings_follow_what_is_learned() -> None:
    """A task that was to be looked at late is looked at sooner once others turn out to be fast."""
    schedule = after_scouts(learned_model(20.0, 60.0), Polling(max_gap=1000.0))
    schedule.weigh(MANY, math.inf, sure=False)
    schedule.add(0, 0.0)
    schedule.take(10.0)
    schedule.running(0, 10.0)
    before = schedule.next_due_at()
    for key in range(1, 40):
        schedule.add(key, 0.0)
        assert schedule.take(10.2) == key
        schedule.finished(key, 10.2)

    assert schedule.next_due_at() < before - 0.3


def test_stale_bookings_do_not_pile_up() -> None:
    """Each look renews another task's booking; what it leaves behind is cleared now and then."""
    schedule = after_scouts(LatencyModel(finished=1))
    schedule.add(0, 0.0)
    schedule.take(10.0)
    schedule.running(0, 10.0)
    for key in range(1, 500):
        schedule.add(key, -20.0)
        assert schedule.take(12.0) == key
        schedule.finished(key, 12.0)

    heaps = (schedule._first, schedule._fresh, schedule._resting, schedule._due)
    assert max(map(len, heaps)) <= 2 * len(schedule) + SLACK + 1
    assert len(schedule._renewals) <= 2


def test_urgent_looks_do_not_starve_a_sure_hit() -> None:
    """Tasks that never finish want all looks there are, again and again; the others are noticed all the same."""
    schedule = after_scouts()
    schedule.weigh(MANY, 1.0, sure=True)
    for key in range(12):
        schedule.add(key, 0.0)
        schedule.take(20.0)
    for key in range(12):
        schedule.running(key, 20.0)
    schedule.add(99, 21.0)
    taken: list[int] = []
    for now in range(22, 100):  # one look a second, although a dozen tasks are due every ten
        taken.append(schedule.take(now))
        if taken[-1] != 99:
            schedule.running(taken[-1], now)

    assert 99 in taken
