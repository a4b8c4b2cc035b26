"""The life of an item has the steps of its table and no others."""

import itertools
import re

import pytest

from hunyuan_async._core import lifecycle
from hunyuan_async._core.lifecycle import TRANSITIONS, State, Step, advance

TERMINAL = {State.REJECTED, State.FAILED, State.ABANDONED, State.SKIPPED, State.LOST}


def paths(start: State, end: State, seen: tuple[State, ...] = ()) -> list[tuple[State, ...]]:
    """Every way from *start* to *end* that visits no state twice."""
    here = (*seen, start)
    if start is end:
        return [here]
    onward = TRANSITIONS.get(start, {}).values()
    return [path for after in onward if after not in here for path in paths(after, end, here)]


@pytest.mark.parametrize(("state", "step"), [*itertools.product(State, Step)])
def test_a_step_is_in_the_table_or_refused(state: State, step: Step) -> None:
    """A journal with another step in it is broken, and so is a caller who takes one."""
    known = TRANSITIONS.get(state, {})
    if step in known:
        assert advance(state, step) is known[step]
        return
    with pytest.raises(ValueError, match=f"^an item that is {state.value} cannot {step.value}$") as refused:
        advance(state, step)
    assert refused.value.__suppress_context__


def test_what_has_ended_stays_so() -> None:
    """Whoever wants it after all has another attempt counted."""
    assert {state for state in State if not TRANSITIONS.get(state)} == TERMINAL


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_reached(state: State) -> None:
    """A state without a way to it would be a mistake in the table."""
    assert paths(State.PLANNED, state)


def test_nothing_is_submitted_that_was_not_recorded_as_sending() -> None:
    """From that record on, a crash leaves an item that nobody sends again by itself."""
    assert {path[:2] for path in paths(State.PLANNED, State.SUBMITTED)} == {(State.PLANNED, State.SENDING)}


def test_only_a_submit_that_was_taken_back_is_planned_again() -> None:
    """So nothing that is paid, or may be, can be sent a second time."""
    back = [(state, step) for state, steps in TRANSITIONS.items() for step in steps if steps[step] is State.PLANNED]

    assert back == [(State.SENDING, Step.TAKE_BACK)]


def test_the_picture_shows_the_table() -> None:
    """Whoever reads the module's docstring sees every state and every step."""
    _, _, picture = (lifecycle.__doc__ or "").partition("::")

    assert set(re.findall("[a-z_]+", picture)) == {word.value for word in (*State, *Step)}
