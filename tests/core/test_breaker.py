"""When submits rest, and when the service is given up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async._core.breaker import FIRST_REST, IN_A_ROW, PROBES, Breaker


def opened(probes: int = 0) -> Breaker:
    """A breaker that opened at 1.0, and after which so many probes got no clear answer, each as early as it may."""
    breaker, now = Breaker(), 1.0
    for _ in range(IN_A_ROW):
        breaker.sent()
        breaker.unanswered(now, 0.0)
    for _ in range(probes):
        now = breaker.ready_at()
        breaker.sent()
        breaker.unanswered(now, now)
    return breaker


def test_the_last_of_a_row_opens_it() -> None:
    """One less is bad luck, and a clear answer among them starts the row anew."""
    breaker = Breaker()
    rests = []
    for number in range(3 * IN_A_ROW):
        if number == IN_A_ROW - 1:
            breaker.answered()
        assert (breaker.ready_at(), breaker.is_open) == (-math.inf, False)
        rests.append(breaker.unanswered(1.0, 0.0))
        if breaker.is_open:
            break

    assert rests == [None] * (2 * IN_A_ROW - 2) + [FIRST_REST]
    assert breaker.ready_at() == 1.0 + FIRST_REST


def test_each_probe_without_a_clear_answer_doubles_the_rest() -> None:
    """After some it is given up; who calls later still waits for a probe, no longer than the last ones did."""
    breaker = opened()
    rests, given_up = [], [breaker.has_given_up]
    for _ in range(PROBES + 2):
        now = breaker.ready_at()
        breaker.sent()
        assert breaker.ready_at() == math.inf
        rests.append(breaker.unanswered(now, now))
        given_up.append(breaker.has_given_up)

    assert rests == [60.0, 120.0, 240.0, 240.0, 240.0]
    assert given_up == [False] * PROBES + [True] * 3


@pytest.mark.parametrize("sent_at", [0.0, 1.0])
def test_what_was_out_when_it_opened_is_no_probe(sent_at: float) -> None:
    """Its silence neither counts nor lengthens the rest, and its return lets no second probe go."""
    breaker = opened()
    assert breaker.unanswered(2.0, sent_at) is None
    assert (breaker.unclear, breaker.rests_until) == (IN_A_ROW, 1.0 + FIRST_REST)
    breaker.sent()

    breaker.unanswered(32.0, sent_at)
    breaker.returned(sent_at)

    assert breaker.ready_at() == math.inf


def test_a_probe_that_never_left_makes_room_for_the_next() -> None:
    """Nothing was learned, so it goes as soon as it likes."""
    breaker = opened()
    now = breaker.ready_at()
    breaker.sent()

    breaker.returned(now)

    assert (breaker.ready_at(), breaker.unclear) == (now, IN_A_ROW)


@pytest.mark.parametrize("probes", range(PROBES + 2))
def test_a_clear_answer_closes_it(probes: int) -> None:
    """To whatever submit; the next trouble is counted from nothing."""
    breaker = opened(probes)
    now = breaker.ready_at()
    breaker.sent()

    breaker.answered()

    assert (breaker.is_open, breaker.has_given_up, breaker.ready_at()) == (False, False, -math.inf)
    breaker.sent()
    assert breaker.unanswered(now + 1, now + 1) is None
    assert breaker.unclear == 1


ends = st.sampled_from(["unanswered"] * 6 + ["answered", "returned"])
happenings = st.one_of(st.just("send"), st.tuples(ends, st.integers(0, 20)), st.floats(0.01, 100))


@given(st.lists(happenings, max_size=150))
def test_while_it_is_open_one_submit_is_out_at_most(happenings: list[str | float | tuple[str, int]]) -> None:
    """Beyond those that were out when it opened; none leaves during a rest; only their own silence opens it further."""
    breaker, now, opened_at = Breaker(), 0.0, math.inf
    out: list[float] = []
    for happening in happenings:
        match happening:
            case "send" if breaker.ready_at() <= now:
                breaker.sent()
                out.append(now)
                now += 0.001
            case float():
                now += happening
            case (end, which) if out:
                sent_at = out.pop(which % len(out))
                was_open, before = breaker.is_open, breaker.unclear
                if end == "unanswered":
                    breaker.unanswered(now, sent_at)
                    counts = not was_open or sent_at > opened_at
                    assert breaker.unclear - before <= counts
                elif end == "answered":
                    breaker.answered()
                else:
                    breaker.returned(sent_at)
                if breaker.is_open and not was_open:
                    opened_at = now
                now += 0.001
        probes = [sent_at for sent_at in out if sent_at > opened_at]
        if breaker.is_open:
            assert len(probes) <= 1
            assert breaker.probing == (len(probes) == 1)
            assert math.isinf(breaker.ready_at()) or breaker.ready_at() >= opened_at + FIRST_REST
        else:
            assert breaker.ready_at() == -math.inf
