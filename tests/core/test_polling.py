"""When a look at a task is worth it."""

import itertools
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hunyuan_async._core.polling import LATEST_FIRST_LOOK, SCOUTS, UNLEARNED, PollSchedule
from hunyuan_async.settings import Polling

GAPS = Polling(min_gap=0.25, max_gap=10.0)


def look(schedule: PollSchedule) -> tuple[float, int]:
    """Take the next task when it is due, and return when that is and which it is."""
    at = schedule.next_due_at()
    return at, schedule.take(at)


def learned(usual: float) -> PollSchedule:
    """An empty schedule that knows how long tasks take."""
    schedule = PollSchedule(GAPS)
    schedule.add(-1, 0.0)
    look(schedule)
    schedule.finished(-1, usual)
    return schedule


def play(schedule: PollSchedule, durations: list[float], every: float = 0.1) -> tuple[list[float], list[bool], int]:
    """Start a task *every* so many seconds until all are noticed.

    Return how long each went unnoticed, whether each first look found its task finished, and the number of looks.
    """
    delays: list[float] = []
    in_time: dict[int, bool] = {}
    started = looks = 0
    while len(delays) < len(durations):
        starts_at = started * every if started < len(durations) else math.inf
        if starts_at <= schedule.next_due_at():
            schedule.add(started, starts_at)
            started += 1
            continue
        now, key = look(schedule)
        looks += 1
        unnoticed = now - key * every - durations[key]
        in_time.setdefault(key, unnoticed >= 0)
        if unnoticed < 0:
            schedule.running(key, now)
        else:
            schedule.finished(key, now)
            delays.append(unnoticed)
    return delays, [in_time[key] for key in range(len(durations))], looks


def test_nothing_is_due_when_there_is_nothing() -> None:
    """Then the dispatcher sleeps until something changes."""
    assert PollSchedule(GAPS).next_due_at() == math.inf


def test_two_scouts_are_watched_while_the_others_wait() -> None:
    """Their gaps are a quarter of their age; for the others, nobody knows better than a documented guess."""
    schedule = PollSchedule(GAPS)
    for key in range(4):
        schedule.add(key, 0.0)
    seen: dict[int, list[float]] = {}
    while (due := look(schedule))[0] < UNLEARNED:
        seen.setdefault(due[1], []).append(due[0])
        schedule.running(due[1], due[0])

    assert set(seen) == set(range(SCOUTS))
    assert seen[0][:5] == [0.5, 0.75, 1.0, 1.25, 1.5625]
    assert seen[0] == seen[1]
    assert due == (UNLEARNED, 2)


def test_the_first_finished_scout_moves_all_who_wait() -> None:
    """At once, in the order in which they were accepted; the other scout has nothing to add."""
    schedule = PollSchedule(GAPS)
    for key in range(6):
        schedule.add(key, key / 4)
    scouts = [look(schedule)[1] for _ in range(SCOUTS)]
    schedule.running(scouts[1], 1.0)
    schedule.finished(scouts[0], 2.0)
    assert look(schedule)[1] == scouts[1]
    schedule.finished(scouts[1], 2.25)

    assert schedule.usual == 2.0
    assert [look(schedule) for _ in range(4)] == [(2.5, 2), (2.75, 3), (3.0, 4), (3.25, 5)]


def test_a_lost_scout_is_replaced() -> None:
    """Else two tasks that fail would leave a guess in place for ever."""
    schedule = PollSchedule(GAPS)
    for key in range(SCOUTS):
        schedule.add(key, 0.0)
        schedule.discard(key)
    schedule.add(7, 0.0)

    assert look(schedule) == (2 * GAPS.min_gap, 7)


def test_scouts_that_hang_do_not_stop_the_learning() -> None:
    """What is found finished at the first look teaches as well as a scout."""
    schedule = PollSchedule(GAPS)
    play(schedule, [1e5] * SCOUTS + [1.0] * 200)

    assert schedule.usual == pytest.approx(1.0, rel=0.1)


def test_the_first_look_follows_what_was_learned() -> None:
    """Up if it came too early, down a quarter as much if it did not; later looks teach nothing."""
    schedule = learned(4.0)
    schedule.add(1, 10.0)
    assert look(schedule) == (14.0, 1)
    schedule.running(1, 14.0)
    assert schedule.usual == pytest.approx(4.32)
    schedule.finished(look(schedule)[1], 15.0)
    assert schedule.usual == pytest.approx(4.32)

    schedule.add(2, 20.0)
    schedule.finished(look(schedule)[1], 24.32)
    assert schedule.usual == pytest.approx(4.32 * 0.98)


def test_gaps_grow_up_to_a_cap() -> None:
    """From an eighth of the usual duration, by half each time."""
    schedule = learned(8.0)
    schedule.add(1, 0.0)
    times = []
    for _ in range(8):
        at, key = look(schedule)
        schedule.running(key, at)
        times.append(at)

    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps == pytest.approx([1.08, 1.62, 2.43, 3.645, 5.4675, 8.20125, 10.0])


@pytest.mark.parametrize("usual", [0.02, 0.25, 1.0])
def test_no_two_looks_are_closer_than_the_smallest_gap(usual: float) -> None:
    """However fast the service is."""
    schedule = learned(usual)
    schedule.add(1, 0.0)
    at, key = look(schedule)
    schedule.running(key, at)

    assert at >= GAPS.min_gap
    assert look(schedule)[0] - at >= GAPS.min_gap


def test_an_attached_task_is_looked_at_at_once() -> None:
    """Nobody knows its age, so it teaches nothing."""
    schedule = learned(4.0)
    schedule.add_known(1, 100.0)
    assert look(schedule) == (100.0, 1)
    schedule.running(1, 100.0)
    assert look(schedule) == (100.25, 1)
    schedule.running(1, 100.25)
    assert look(schedule) == (100.625, 1)
    schedule.finished(1, 100.625)
    assert schedule.usual == 4.0

    schedule = PollSchedule(GAPS)
    schedule.add_known(1, 0.0)
    schedule.finished(look(schedule)[1], 0.0)
    schedule.add(2, 0.0)
    schedule.finished(look(schedule)[1], 3.0)
    assert schedule.usual == 3.0


def test_a_failed_look_comes_back_when_it_is_told_to() -> None:
    """It taught nothing, so the next one counts as the first."""
    schedule = learned(4.0)
    schedule.add(1, 0.0)
    look(schedule)
    schedule.failed(1, 4.0, 8.0)
    assert look(schedule) == (12.0, 1)
    assert schedule.usual == 4.0
    schedule.running(1, 12.0)

    assert schedule.usual == pytest.approx(4.32)


@pytest.mark.parametrize("stuck", [0.3, 1.0])
def test_stuck_tasks_hold_up_no_others(stuck: float) -> None:
    """However many hang, the first look at the rest is not put off for ever."""
    draw = random.Random(1)
    durations = [1800.0 if draw.random() < stuck else draw.uniform(5, 15) for _ in range(400)]

    schedule = learned(10.0)
    play(schedule, durations)

    assert schedule.usual <= LATEST_FIRST_LOOK


@pytest.mark.parametrize(
    ("name", "looks_a_task", "delay"),
    [("uniform", 1.45, 3.6), ("lognormal", 1.45, 4.0), ("fast and slow", 1.4, 5.5), ("constant", 1.3, 0.6)],
)
def test_four_first_looks_in_five_find_the_task_finished(name: str, looks_a_task: float, delay: float) -> None:
    """That makes few looks and a small delay; the figures are exact, for the clock is virtual."""
    draw = random.Random(7)
    durations: Callable[[], float] = {
        "uniform": lambda: draw.uniform(5, 15),
        "lognormal": lambda: draw.lognormvariate(math.log(9), 0.35),
        "fast and slow": lambda: draw.uniform(0.8, 1.6) if draw.random() < 0.3 else draw.gauss(11, 1.5),
        "constant": lambda: 10.0,
    }[name]
    delays, in_time, looks = play(PollSchedule(GAPS), [durations() for _ in range(2000)])

    assert 0.74 <= sum(in_time[500:]) / 1500 <= 0.86
    assert looks / 2000 <= looks_a_task
    assert sum(delays) / 2000 <= delay


def test_another_speed_is_learned() -> None:
    """The service may be slow by day and fast by night."""
    draw = random.Random(7)
    schedule = PollSchedule(GAPS)
    for fastest, slowest in ((5, 15), (12, 30), (1, 3)):
        play(schedule, [draw.uniform(fastest, slowest) for _ in range(600)])
        assert fastest < schedule.usual < 1.1 * slowest


class AnyOrder(RuleBasedStateMachine):
    """Whatever is done in whatever order, every task is somewhere, and once."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = PollSchedule(GAPS)
        self.now = 0.0
        self.number = 0
        self.waiting: set[int] = set()
        self.out: list[int] = []

    @rule(known=st.booleans())
    def add(self, known: bool) -> None:
        """Watch one more task."""
        self.number += 1
        (self.schedule.add_known if known else self.schedule.add)(self.number, self.now)
        self.waiting.add(self.number)

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @precondition(lambda self: self.waiting)
    @rule()
    def take(self) -> None:
        """Look at whichever is due next, when it is."""
        self.now = max(self.now, self.schedule.next_due_at())
        key = self.schedule.take(self.now)
        self.waiting.remove(key)
        self.out.append(key)

    @precondition(lambda self: self.out)
    @rule(answer=st.sampled_from(["running", "failed", "finished", "discard"]))
    def answer(self, answer: str) -> None:
        """A look comes to its end, in the order in which they began."""
        key = self.out.pop(0)
        match answer:
            case "running":
                self.schedule.running(key, self.now)
                self.waiting.add(key)
            case "failed":
                self.schedule.failed(key, self.now, 0.5)
                self.waiting.add(key)
            case "finished":
                self.schedule.finished(key, self.now)
                self.schedule.discard(key)
            case _:
                self.schedule.discard(key)

    @precondition(lambda self: self.waiting)
    @rule(pick=st.integers(0, 100))
    def discard(self, pick: int) -> None:
        """Nobody wants to know any more."""
        key = sorted(self.waiting)[pick % len(self.waiting)]
        self.schedule.discard(key)
        self.waiting.remove(key)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Each task is counted, and something is due as long as any waits."""
        assert len(self.schedule) == len(self.waiting) + len(self.out)
        assert (self.schedule.next_due_at() < math.inf) == bool(self.waiting)

    def teardown(self) -> None:
        """What waits comes due, each once, none later than the largest gap from now."""
        due = [look(self.schedule) for _ in self.waiting]
        assert sorted(key for _, key in due) == sorted(self.waiting)
        assert self.schedule.next_due_at() == math.inf
        assert all(at <= self.now + max(GAPS.max_gap, self.schedule.usual) for at, _ in due)


AnyOrder.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
test_any_order = AnyOrder.TestCase
