"""What can be set: the service's own facts, and how hard, how long and at what cost we use it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Self, SupportsIndex

import attrs

from hunyuan_async.errors import InvalidRequest


def _at_least(least: float, *, exclusive: bool = False) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    """A check for a number that must not be below *least*, nor equal to it if that is *exclusive*; None passes."""

    def check(owner: object, field: attrs.Attribute[Any], value: float | None) -> None:
        if value is not None and not (value > least if exclusive else value >= least):
            bound = "above" if exclusive else "at least"
            raise InvalidRequest(f"{type(owner).__name__}.{field.name} must be {bound} {least}, got {value!r}")

    return check


_ABOVE_ZERO = _at_least(0, exclusive=True)


class ApiKey(str):
    """An API key that does not show itself: its repr has the last four characters alone, and it is never pickled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"ApiKey('...{self[-4:]}')" if len(self) >= 12 else "ApiKey('...')"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("an API key is not pickled: each process takes it from its environment or a file")


@attrs.frozen
class Service:
    """A gateway that serves the model: where it listens and which words it uses.

    Another gateway of the same model is another value, not another client.

    Attributes:
        base_url: What the paths are relative to.
        submit_path: Of the POST that asks for an image.
        task_path: Of the GET that looks at a task; `{task_id}` is filled in.
        auth_header: The header that carries the key.
        auth_scheme: The word before the key.
        model: The model asked for unless a request names another.
        fields: The body's name for each field of a request.
        ratios: The size behind each ratio name.
        min_side: The smallest width or height in pixels.
        max_side: The largest width or height in pixels.
        prompt_chars: The longest prompt, in characters.
        max_images: How many input images an edit may have.
        credits_per_image: The price of an image, in credits.
        credits_per_failure: What a task that fails after it was accepted is taken to cost: a guess, nobody says.
        usd_per_credit: What a credit costs, for estimates.
        start_rate: Requests a second that an unknown limit is probed from.
        start_in_flight: Tasks in flight that an unknown limit is probed from.
        max_in_flight: As far as probing goes; beyond 64 only while tasks take no longer for it.
        refusal_words: Parts of an error code or message that mean the content policy said no.
        credit_words: Parts of an error code or message that mean the account is empty.
    """

    base_url: str = "https://apiin.one/api/v1"
    submit_path: str = "images/generations"
    task_path: str = "tasks/{task_id}"
    auth_header: str = "Authorization"
    auth_scheme: str = "Bearer"
    model: str = "hunyuan-image-3"
    fields: Mapping[str, str] = attrs.field(
        factory=lambda: {name: name for name in ("model", "prompt", "type", "size", "images", "seed")}
    )
    ratios: Mapping[str, str] = attrs.field(
        factory=lambda: {
            "1:1": "1024*1024",
            "16:9": "1280*720",
            "9:16": "720*1280",
            "4:3": "1152*864",
            "3:4": "864*1152",
            "3:2": "1248*832",
            "2:3": "832*1248",
        }
    )
    min_side: int = 256
    max_side: int = 1536
    prompt_chars: int = 2000
    max_images: int = 2
    credits_per_image: int = 25
    credits_per_failure: int = 25
    usd_per_credit: float = 0.002
    start_rate: float = 2.0
    start_in_flight: int = 16
    max_in_flight: int = 1000
    refusal_words: tuple[str, ...] = (
        "moderation",
        "content policy",
        "content_policy",
        "content filter",
        "content_filter",
        "sensitive",
        "nsfw",
        "safety",
        "prohibited",
        "inappropriate",
        "violat",
    )
    credit_words: tuple[str, ...] = (
        "insufficient credit",
        "insufficient_credit",
        "insufficient balance",
        "insufficient_balance",
        "insufficient quota",
        "insufficient_quota",
        "not enough credits",
    )


API_IN_ONE = Service()
"""Hunyuan Image 3 behind the API in One gateway."""


@attrs.frozen
class Limits:
    """How hard the service may be used. None means: find out, starting gently.

    Attributes:
        rate: Requests a second, submits and polls together.
        burst: Requests that may leave at once after a pause.
        in_flight: Tasks at the service at once.
        downloads: Images fetched at once.
        unsaved: No submit leaves while more finished images than this wait to be fetched: their addresses expire.
    """

    rate: float | None = attrs.field(default=None, validator=_ABOVE_ZERO)
    burst: int = attrs.field(default=1, validator=_at_least(1))
    in_flight: int | None = attrs.field(default=None, validator=_at_least(1))
    downloads: int = attrs.field(default=8, validator=_at_least(1))
    unsaved: int = attrs.field(default=200, validator=_at_least(0))


@attrs.frozen
class Timeouts:
    """How long to wait, in seconds.

    Attributes:
        task: For a task to finish, from its acceptance; never counts time in the queue.
        trouble: For a service that cannot be reached, limits or refuses everything, before giving up.
        submit: For the answer to one submit; past it, its outcome is unknown.
        poll: For the answer to one status check.
        download: For one image, as long as bytes keep coming.
        close: For answers to submits already sent, when the client closes.
    """

    task: float = attrs.field(default=1800.0, validator=_ABOVE_ZERO)
    trouble: float = attrs.field(default=600.0, validator=_ABOVE_ZERO)
    submit: float = attrs.field(default=180.0, validator=_ABOVE_ZERO)
    poll: float = attrs.field(default=30.0, validator=_ABOVE_ZERO)
    download: float = attrs.field(default=300.0, validator=_ABOVE_ZERO)
    close: float = attrs.field(default=30.0, validator=_ABOVE_ZERO)


@attrs.frozen
class Polling:
    """How eagerly finished tasks are noticed, in seconds.

    Attributes:
        min_gap: Between two looks at one task, at least.
        max_gap: Between two looks at one task, at most.
        eagerness: How much sooner to notice at the cost of more looks, where requests are to spare: at 2, a look need
            save only half the seconds. Where they are scarce, what makes the most images decides.
    """

    min_gap: float = attrs.field(default=0.25, validator=_ABOVE_ZERO)
    max_gap: float = attrs.field(default=10.0, validator=_ABOVE_ZERO)
    eagerness: float = attrs.field(default=1.0, validator=_ABOVE_ZERO)


UNLIMITED = Limits(rate=math.inf)
"""No pacing of our own, for a service that queues by itself. Slots still grow from a gentle start."""
