"""Rates, durations and amounts as people write them."""

from __future__ import annotations

import math
import re
from typing import get_args

import attrs

from hunyuan_async._core.text import shown
from hunyuan_async.errors import InvalidRequest, Kind
from hunyuan_async.settings import Service

_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
_UNIT = f"({'|'.join(_SECONDS)})"
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"


@attrs.frozen
class FailureLimit:
    """How many failures stop a run.

    Attributes:
        count: A number of images; None if a share was given.
        share: A part of the latest images, above 0 and up to 1; None if a number was given.
    """

    count: int | None = None
    share: float | None = None


def parse_rate(text: str) -> float:
    """Requests a second, from "5/s" or "20/m".

    Raises:
        InvalidRequest: It is not a rate.
    """
    number, unit = _parts(f"{_NUMBER}/{_UNIT}", text, "a rate: write 5/s or 20/m")
    return float(number) / _SECONDS[unit]


def parse_duration(text: str) -> float:
    """Seconds, from "90s", "5m" or "2h".

    Raises:
        InvalidRequest: It is not a duration.
    """
    number, unit = _parts(_NUMBER + _UNIT, text, "a duration: write 90s, 5m or 2h")
    return float(number) * _SECONDS[unit]


def parse_cost(text: str, service: Service) -> int:
    """The whole credits behind an amount of money such as "25usd" or "$25".

    Raises:
        InvalidRequest: It is not an amount.
    """
    (number,) = _parts(rf"\$?{_NUMBER}(?:usd)?", text, "an amount: write 25usd")
    # In floats 0.086 / 0.002 is a little less than 43.
    return math.floor(float(number) / service.usd_per_credit + 1e-6)


def parse_failures(text: str) -> FailureLimit:
    """How many failures stop a run, from "20" or "5%".

    Raises:
        InvalidRequest: It is neither a whole number nor a percentage.
    """
    advice = "a number of failures: write 20, or 5% of the latest images"
    number, percent = _parts("([0-9]{1,9})(%?)", text, advice)
    if not percent:
        return FailureLimit(count=int(number))
    if int(number) > 100:
        raise InvalidRequest(f"{shown(text)} is not {advice}")
    return FailureLimit(share=int(number) / 100)


def parse_kinds(text: str) -> tuple[str, ...]:
    """Kinds of errors, from "refused,task_failed".

    Raises:
        InvalidRequest: There is no such kind.
    """
    kinds = tuple(filter(None, (part.strip() for part in text.split(","))))
    for kind in kinds:
        if kind not in get_args(Kind):
            raise InvalidRequest(f"{shown(kind)} is not a kind of failure: write {', '.join(get_args(Kind))}")
    return kinds


def _parts(pattern: str, text: str, advice: str) -> tuple[str, ...]:
    match = re.fullmatch(pattern, "".join(text.split()).lower())
    if match is None or not float(match[1]):
        raise InvalidRequest(f"{shown(text)} is not {advice}")
    return match.groups()
