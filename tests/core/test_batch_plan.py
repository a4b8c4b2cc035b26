"""The plan of a batch, and amounts as people write them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async.cli.amounts import FailureLimit, parse_cost, parse_duration, parse_failures, parse_rate
from hunyuan_async.cli.plan import Plan, duration_of, duration_text
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.settings import API_IN_ONE

PLAN = Plan(
    rows=1000,
    images=2000,
    prompts=("a koi",),
    credits=50_000,
    dollars=100.0,
    seconds=1000.0,
    bytes_needed=3_200_000_000,
    bytes_free=120 * 10**9,
)


def test_a_plan_tells_rows_images_money_time_and_disk() -> None:
    """Everything that a person wants to know before paying."""
    assert PLAN.lines() == [
        "Rows   1,000 -> 2,000 images",
        "       1. a koi",
        "Cost   50,000 credits, about $100.00 (settings, not a quote)",
        "Time   about 17 min",
        "Disk   about 3.2 GB needed, 120.0 GB free",
    ]


def test_a_plan_tells_only_what_is_known() -> None:
    """No input was read, nothing tells the speed, nobody knows the disk."""
    lines = attrs.evolve(PLAN, rows=None, seconds=None, bytes_free=None).lines()
    assert (lines[0], lines[3:]) == (
        "Left   2,000 images",
        ["Time   found out on the way", "Disk   about 3.2 GB needed"],
    )


@pytest.mark.parametrize(
    ("rate", "in_flight", "seconds"),
    [(None, None, None), (4, None, 100), (4, 5, 200), (math.inf, 50, 20), (1, 1000, 400)],
)
def test_the_slower_of_rate_and_slots_gives_the_time(
    rate: float | None, in_flight: int | None, seconds: float | None
) -> None:
    """Where neither is known, no time is promised."""
    assert duration_of(100, rate, in_flight) == (None if seconds is None else pytest.approx(seconds))


def test_prompts_cannot_harm_the_terminal() -> None:
    """They are shown on one line each, cut and without controls."""
    lines = attrs.evolve(PLAN, prompts=("\x1b[31mred\n" + "x" * 200,)).lines()
    assert lines[1].startswith("       1. \\u001b[31mred xx")
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3599, "1 h 0 min"), (9000, "2 h 30 min")]
)
def test_durations_are_told_in_two_units(seconds: float, text: str) -> None:
    """Nobody reads 9000 s."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_rate, "5/s", 5.0),
        (parse_rate, " 30 / M ", 0.5),
        (parse_rate, "90/min", 1.5),
        (parse_rate, "0.5/s", 0.5),
        (parse_duration, "90s", 90.0),
        (parse_duration, "5m", 300.0),
        (parse_duration, "1.5 h", 5400.0),
        (lambda text: parse_cost(text, API_IN_ONE), "25usd", 12_500),
        (lambda text: parse_cost(text, API_IN_ONE), "$0.086", 43),
        (lambda text: parse_cost(text, API_IN_ONE), "0.006 USD", 3),
        (parse_failures, "20", FailureLimit(count=20)),
        (parse_failures, "5 %", FailureLimit(share=0.05)),
        (parse_failures, "100%", FailureLimit(share=1.0)),
    ],
)
def test_amounts_are_read(parse: Callable[[str], object], text: str, value: object) -> None:
    """Spaces and case do not matter."""
    assert parse(text) == value


PARSERS: list[Callable[[str], object]] = [
    parse_rate,
    parse_duration,
    parse_failures,
    lambda text: parse_cost(text, API_IN_ONE),
]


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "text", ["", "x", "0", "0/s", "0s", "0usd", "-5", "5/", "nan/s", "inf", "1e9/s", "101%", "\u0665/s"]
)
def test_other_words_are_refused_with_an_example(parse: Callable[[str], object], text: str) -> None:
    """The message shows how to write it."""
    with pytest.raises(InvalidRequest, match=r"is not .*: write "):
        parse(text)


@given(st.text(max_size=12), st.sampled_from(PARSERS))
def test_any_text_is_read_or_refused(text: str, parse: Callable[[str], object]) -> None:
    """Nothing else than our own error comes of what a person types."""
    with contextlib.suppress(InvalidRequest):
        assert parse(text)
