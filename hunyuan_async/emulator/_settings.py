"""How the emulated service behaves."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable

import attrs
from attrs.validators import deep_iterable, ge, gt, in_, instance_of, min_len, optional

from hunyuan_async.emulator._faults.rules import Fault
from hunyuan_async.emulator._latency import Latency, uniform
from hunyuan_async.emulator._shapes import ACCEPTED, FAILURES, SHAPES


def _turns(default: str, known: Container[str] | None = None) -> tuple[str, ...]:
    """A field whose values tasks take in turn."""
    member = instance_of(str) if known is None else in_(known)
    field: tuple[str, ...] = attrs.field(
        default=(default,), converter=tuple, validator=[min_len(1), deep_iterable(member)]
    )
    return field


def _rules(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(faults)


@attrs.frozen(kw_only=True)
class EmulatorSettings:
    """What the emulated service does; the default is as documented, unlimited, and 5 to 15 seconds an image.

    Where a field is a tuple, tasks take its values in turn: `shapes=tuple(SHAPES)` shows every shape.

    Attributes:
        latency: How long a task takes, in seconds.
        speed: Divides all durations: the latency and the life of an image's address.
        workers: Tasks made at the same time, the others wait inside the service; None for any number.
        requests_per_second: POSTs and GETs of the API together, after a burst of one second's worth; None for
            no limit.
        tasks_in_flight: Unfinished tasks at once; None for no limit.
        retry_after: Whether a 429 says when to come back.
        credits: The balance to start with, for all keys together.
        shapes: Names of finished-task bodies, of `SHAPES`.
        failures: Names of places for a failed task's reason, of `FAILURES`.
        accepted: Names of places for the id in the answer to a submit, of `ACCEPTED`.
        running_words: Status words of an unfinished task.
        done_words: Status words of a finished task.
        failed_words: Status words of a failed task.
        finished_at_once: Whether a submit is answered with the finished task.
        forgets_finished: Whether a task is forgotten after its first finished or failed answer.
        url_lifetime: How long an image's address works, in seconds; another look gives a new one.
        small_pictures: Whether pictures are 64 pixels wide, whatever was asked for: cheap to draw.
        faults: What goes wrong, and when; nothing by default.
    """

    latency: Latency = attrs.field(factory=uniform)
    speed: float = attrs.field(default=1.0, validator=gt(0))
    workers: int | None = attrs.field(default=None, validator=optional(ge(1)))
    requests_per_second: float | None = attrs.field(default=None, validator=optional(gt(0)))
    tasks_in_flight: int | None = attrs.field(default=None, validator=optional(ge(1)))
    retry_after: bool = True
    credits: float = math.inf
    shapes: tuple[str, ...] = _turns("outputs", SHAPES)
    failures: tuple[str, ...] = _turns("error", FAILURES)
    accepted: tuple[str, ...] = _turns("data.task_id", ACCEPTED)
    running_words: tuple[str, ...] = _turns("IN_PROGRESS")
    done_words: tuple[str, ...] = _turns("completed")
    failed_words: tuple[str, ...] = _turns("failed")
    finished_at_once: bool = False
    forgets_finished: bool = False
    url_lifetime: float = 3600.0
    small_pictures: bool = False
    faults: tuple[Fault, ...] = attrs.field(default=(), converter=_rules, validator=deep_iterable(instance_of(Fault)))
