"""The plan of a batch, and amounts as people write them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async.cli.amounts import FailureLimit, parse_cost, parse_duration, parse_failures, parse_rate
from hunyuan_async.cli.items import BatchItem
from hunyuan_async.cli.plan import duration_text, make_plan
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE


def items(count: int, size: str = "1024*1024", prompt: str = "a koi") -> list[BatchItem]:
    """Items of which each two stand in one line."""
    request = ImageRequest(prompt, size=size)
    return [BatchItem(str(index), index, index // 2 + 1, index % 2 + 1, request, {}) for index in range(count)]


def test_a_plan_counts_rows_images_money_time_and_disk() -> None:
    """Everything that a person wants to know before paying stands in it, as words too."""
    plan = make_plan(items(2000), API_IN_ONE, rate=8, in_flight=100, bytes_free=120 * 10**9)
    assert (plan.rows, plan.images, plan.credits) == (1000, 2000, 50_000)
    assert plan.dollars == pytest.approx(100)
    assert plan.seconds == pytest.approx(1000)
    assert plan.lines() == [
        "Rows   1,000 -> 2,000 images",
        "       1. a koi",
        "Cost   50,000 credits, about $100.00 (settings, not a quote)",
        "Time   about 17 min",
        "Disk   about 3.2 GB needed, 120.0 GB free",
    ]


@pytest.mark.parametrize(
    ("rate", "in_flight", "seconds"),
    [(None, None, None), (4, None, 100), (4, 5, 200), (math.inf, 50, 20), (1, 1000, 400)],
)
def test_the_slower_of_rate_and_slots_gives_the_time(
    rate: float | None, in_flight: int | None, seconds: float | None
) -> None:
    """Where neither is known, no time is promised."""
    plan = make_plan(items(100), API_IN_ONE, rate=rate, in_flight=in_flight)
    assert plan.seconds == (None if seconds is None else pytest.approx(seconds))
    assert any("found out on the way" in line for line in plan.lines()) == (seconds is None)


def test_disk_follows_from_the_sizes() -> None:
    """A quarter of the pixels takes a quarter of the space."""
    assert make_plan(items(4, size="512*512"), API_IN_ONE).bytes_needed == pytest.approx(1.6e6)


def test_prompts_cannot_harm_the_terminal() -> None:
    """They are shown on one line each, cut and without controls."""
    lines = make_plan(items(1, prompt="\x1b[31mred\n" + "x" * 200), API_IN_ONE).lines()
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
