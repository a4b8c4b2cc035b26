"""Credits are counted from before the POST."""

import pytest
from hypothesis import given, settings
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
    """What is reserved may come free again, what is spent or at risk never does."""
    assert (budget.fits(25), budget.may_fit(25)) == (fits, may_fit)


@settings(deadline=None)
@given(
    st.none() | st.integers(0, 300),
    st.lists(st.tuples(st.sampled_from(["reserve", "release", "spend", "risk"]), st.integers(0, 60)), max_size=60),
)
def test_no_credit_is_lost_or_counted_twice(limit: int | None, steps: list[tuple[str, int]]) -> None:
    """Whatever becomes of the submits, what is reserved only while it fits never passes the limit."""
    budget = Budget(limit)
    under_way: list[int] = []
    ended = dict.fromkeys(("release", "spend", "risk"), 0)
    for step, credits in steps:
        if step == "reserve" and budget.fits(credits):
            budget.reserve(credits)
            under_way.append(credits)
        elif step != "reserve" and under_way:
            ended[step] += under_way[0]
            {"release": budget.release, "spend": budget.spend, "risk": budget.risk}[step](under_way.pop(0))
        assert (budget.reserved, budget.spent, budget.at_risk) == (sum(under_way), ended["spend"], ended["risk"])
        assert limit is None or budget.reserved + budget.spent + budget.at_risk <= limit
