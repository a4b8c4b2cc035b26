"""Credits are counted from before the POST."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async._core.budget import Budget


@pytest.mark.parametrize(
    ("budget", "fits", "may_fit"),
    [
        (Budget(None, spent=10**9), True, True),
        (Budget(25), True, True),
        (Budget(24), False, False),
        (Budget(0), False, False),
        (Budget(100, spent=75), True, True),
        (Budget(100, spent=76), False, False),
        (Budget(100, at_risk=76), False, False),
        (Budget(100, spent=50, at_risk=25), True, True),
        (Budget(100, reserved=76), False, True),
        (Budget(100, spent=50, reserved=50), False, True),
        (Budget(100, spent=50, reserved=25, at_risk=26), False, False),
    ],
)
def test_what_fits(budget: Budget, fits: bool, may_fit: bool) -> None:
    """What is reserved may come free again, what is spent or at risk never does; so it is in a larger budget."""
    part = Budget(None, within=budget)

    assert (budget.fits(25), part.fits(25)) == (fits, fits)
    exceeded = None if may_fit else budget
    assert (budget.exceeded_by(25), part.exceeded_by(25)) == (exceeded, exceeded)


def test_the_smaller_budget_is_told_first() -> None:
    """Raising the larger one alone would not help."""
    part = Budget(24, within=Budget(24))

    assert part.exceeded_by(25) is part


limits = st.none() | st.integers(0, 300)
ends = ["release", "spend", "risk"]


@given(
    st.tuples(limits, limits, limits),
    st.lists(st.tuples(st.sampled_from(["reserve", *ends]), st.integers(0, 60), st.integers(0, 2)), max_size=60),
)
def test_no_credit_is_lost_or_counted_twice(
    limits: tuple[int | None, int | None, int | None], steps: list[tuple[str, int, int]]
) -> None:
    """Whatever becomes of the submits: no limit is passed, and a budget holds what its parts hold and its own."""
    whole = Budget(limits[0])
    budgets = [whole, Budget(limits[1], within=whole), Budget(limits[2], within=whole)]
    under_way: list[list[int]] = [[], [], []]
    ended = [dict.fromkeys(ends, 0) for _ in budgets]
    for step, credits, which in steps:
        budget = budgets[which]
        if step == "reserve" and budget.fits(credits):
            budget.reserve(credits)
            under_way[which].append(credits)
        elif step != "reserve" and under_way[which]:
            ended[which][step] += under_way[which][0]
            {"release": budget.release, "spend": budget.spend, "risk": budget.risk}[step](under_way[which].pop(0))
        held = [(sum(now), past["spend"], past["risk"]) for now, past in zip(under_way, ended, strict=True)]
        held[0] = tuple(map(sum, zip(*held, strict=True)))  # type: ignore[assignment]
        assert [(one.reserved, one.spent, one.at_risk) for one in budgets] == held
        assert all(one.limit is None or sum(sums) <= one.limit for one, sums in zip(budgets, held, strict=True))
