"""How many tasks may be in flight, and how a limit of the service is found."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunyuan_async._core.slots import MODEST, Slots


def filled(bound: int, in_use: int | None = None, *, ceiling: int = 64) -> Slots:
    """Slots of which so many are taken, by default all."""
    slots = Slots(bound, ceiling)
    for _ in range(bound if in_use is None else in_use):
        slots.take()
    return slots


def test_a_slot_is_free_until_the_bound_is_in_use() -> None:
    """Tasks that were in flight already may take more than there are, and are waited for."""
    slots = Slots(2, 2)
    free = []
    for change in [slots.take] * 4 + [slots.give_back] * 3:
        change()
        free.append(slots.free)

    assert free == [True, False, False, False, False, False, True]
    assert slots.in_use == 1


def test_the_bound_grows_with_each_task_that_finished_well() -> None:
    """As far as the ceiling; failures and withdrawals do not count."""
    slots = filled(2, ceiling=7)
    slots.give_back()
    assert slots.bound == 2

    bounds = []
    for _ in range(3):
        slots.take()
        slots.finished()
        bounds.append(slots.bound)

    assert bounds == [4, 6, 7]


@pytest.mark.parametrize(
    ("learned", "bound"),
    [
        ([], MODEST),
        ([(10.0, 0.0)], 100),
        ([(10.0, 7.0)], 70),
        ([(10.0, 2.0)], MODEST),
        ([(10.0, 9.0), (5.0, 9.0), (10.0, 9.0)], MODEST),
        ([(10.0, 0.0), (19.0, 0.0)], 100),
        ([(10.0, 0.0), (21.0, 0.0)], MODEST),
        ([(10.0, 0.0), (21.0, 0.0), (19.0, 0.0)], 100),
    ],
    ids=["nothing", "unlimited", "rate", "low rate", "shorter", "no queue", "queue", "no queue any more"],
)
def test_many_must_be_of_use(learned: list[tuple[float, float]], bound: int) -> None:
    """A service that never says no would else hold a thousand paid tasks in a queue of its own."""
    slots = filled(1, ceiling=100)
    for usual, rate in learned:
        slots.learn(usual, rate)
    for _ in range(200):
        slots.finished()
        slots.take()

    assert slots.bound == bound


def test_a_bound_that_was_given_stays() -> None:
    """It is a start without room to grow."""
    slots = filled(5, ceiling=5)
    for _ in range(5):
        slots.finished()

    assert (slots.bound, slots.in_use) == (5, 0)


# What happens: R a refused submit, P an answered poll, L a limited poll, A an accepted submit; then whether the last
# refusal is blamed on a task limit.
@pytest.mark.parametrize(
    ("happenings", "blamed"),
    [
        ("R", False),
        ("PR", False),
        ("RR", False),
        ("RPR", True),
        ("RPPR", True),
        ("PRR", False),
        ("RAPR", False),
        ("RPLR", False),
        ("RLPR", False),
        ("RLRPR", True),
    ],
)
def test_when_a_task_limit_is_to_blame(happenings: str, blamed: bool) -> None:
    """Two refused submits in a row while polls pass show it; one, or a limited poll, shows a limited rate."""
    slots = filled(8)
    answers: dict[str, Callable[[], bool | None]] = {
        "R": slots.refused,
        "P": slots.poll_answered,
        "L": slots.poll_limited,
        "A": slots.accepted,
    }

    results = [answers[happening]() for happening in happenings]

    assert results[-1] is blamed


def test_a_task_limit_is_what_was_in_flight_beside_the_refused() -> None:
    """The refused submit still holds its slot when it is asked about."""
    slots = filled(8, 6)
    slots.refused()
    slots.poll_answered()

    assert slots.refused()
    assert (slots.bound, slots.found) == (5, True)


def test_a_lone_submit_is_no_task_limit() -> None:
    """Some limit of at least one task must be kept."""
    slots = filled(8, 1)
    for _ in range(5):
        slots.poll_answered()
        assert not slots.refused()

    assert slots.bound == 8


def test_tasks_of_another_process_raise_no_bound() -> None:
    """Attached tasks may be many more than a limit allows to submit."""
    slots = filled(4, 100)
    slots.refused()
    slots.poll_answered()

    assert slots.refused()
    assert slots.bound == 4


def limited_to(bound: int) -> Slots:
    """Slots whose limit was found after much work, and that are all in use."""
    slots = filled(bound + 1)
    slots.ceiling = slots.bound
    for _ in range(50):
        slots.finished()
        slots.take()
    slots.ceiling = 64
    slots.refused()
    slots.poll_answered()
    assert slots.refused()
    slots.give_back()
    return slots


def test_a_limit_that_was_found_is_tried_seldom() -> None:
    """One more after two rounds of clean tasks."""
    slots = limited_to(3)
    bounds = []
    for _ in range(15):
        slots.finished()
        slots.take()
        bounds.append(slots.bound)

    assert bounds == [3] * 5 + [4] * 8 + [5] * 2


@pytest.mark.parametrize(("in_use", "blamed"), [(4, True), (3, True), (2, False)])
def test_a_limit_that_was_found_is_known_again(in_use: int, blamed: bool) -> None:
    """One refusal near it is enough; far below it, the rate is the reason."""
    slots = limited_to(3)
    while slots.in_use < in_use:
        slots.take()
    while slots.in_use > in_use:
        slots.give_back()
    slots.accepted()

    assert slots.refused() is blamed
    assert slots.bound == (in_use - 1 if blamed else 3)


@settings(deadline=None)
@given(
    st.integers(1, 9),
    st.integers(0, 20),
    st.lists(
        st.sampled_from(["send", "attach", "accepted", "refused", "poll_answered", "poll_limited", "finished", "lost"]),
        max_size=200,
    ),
)
def test_whatever_happens(bound: int, room: int, happenings: list[str]) -> None:
    """Between one and the ceiling may be in use, and every slot taken is counted until it is given back."""
    slots = Slots(bound, bound + room)
    taken = 0
    for what in happenings:
        before = slots.bound
        match what:
            case "send" if slots.free:
                slots.take()
                taken += 1
            case "attach":
                slots.take()
                taken += 1
            case "refused" if taken:
                assert slots.refused() or slots.bound == before
                assert slots.bound <= before
                slots.give_back()
                taken -= 1
            case "finished" if taken:
                slots.finished()
                taken -= 1
                assert slots.bound - before in {0, 1, 2}
            case "lost" if taken:
                slots.give_back()
                taken -= 1
            case "accepted":
                slots.accepted()
            case "poll_answered":
                slots.poll_answered()
            case "poll_limited":
                slots.poll_limited()
        assert 1 <= slots.bound <= slots.ceiling
        assert slots.in_use == taken
