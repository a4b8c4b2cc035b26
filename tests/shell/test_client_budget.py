"""A limit on credits is exact, whatever happens at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from hunyuan_async.client import Client
from hunyuan_async.errors import BudgetExceeded, HunyuanError
from hunyuan_async.models import ImageResult
from hunyuan_async.testing import NoReply, Reply, ScriptedTransport, accepted, finished, refused

Connect = Callable[..., Client]


async def make(client: Client, count: int) -> list[str]:
    """Ask for many at once; return what became of each."""
    ends = await asyncio.gather(*(client.generate("a fox") for _ in range(count)), return_exceptions=True)
    assert all(isinstance(end, ImageResult | HunyuanError) for end in ends)
    return [getattr(end, "kind", "ok") for end in ends]


@pytest.mark.parametrize(("limit", "images"), [(0, 0), (24, 0), (25, 1), (1000, 40), (1024, 40)])
async def test_a_limit_is_used_and_never_overrun(connect: Connect, limit: int, images: int) -> None:
    """Of a hundred asked for at once, exactly those that fit are sent, in order."""
    transport = ScriptedTransport()
    client = connect(transport, max_credits=limit)

    assert await make(client, 100) == ["ok"] * images + ["credits"] * (100 - images)
    assert len(transport.submits) == images
    assert client.statistics().credits_spent == 25 * images


async def test_reservations_that_come_back_are_given_to_those_who_wait(connect: Connect) -> None:
    """While an answer is out, nobody is refused who could still fit; a refused submit frees its credits."""
    answers: list[Reply | NoReply] = [refused(400), refused(400), accepted("t1"), accepted("t2")]
    transport = ScriptedTransport(submit=lambda _: answers.pop(0), poll=finished)
    client = connect(transport, max_credits=50)

    assert await make(client, 5) == ["rejected", "rejected", "ok", "ok", "credits"]


async def test_unknown_outcomes_count_against_the_limit(connect: Connect) -> None:
    """What may have been charged cannot be spent again."""
    answers: list[Reply | NoReply] = [NoReply("reset", sent=True), accepted("t1")]
    client = connect(ScriptedTransport(submit=lambda _: answers.pop(0), poll=finished), max_credits=50)

    assert await make(client, 3) == ["unknown", "ok", "credits"]
    statistics = client.statistics()
    assert (statistics.credits_spent, statistics.credits_at_risk, statistics.unknown) == (25, 25, 1)


async def test_what_was_limited_or_never_sent_costs_nothing(connect: Connect) -> None:
    """Put off twice, made once, paid once."""
    answers: list[Reply | NoReply] = [NoReply("refused", sent=False), refused(429), accepted("t1")]
    client = connect(ScriptedTransport(submit=lambda _: answers.pop(0), poll=finished), max_credits=25)

    assert await make(client, 1) == ["ok"]


async def test_the_refusal_shows_the_sum(connect: Connect) -> None:
    """The error says what was spent, and that nothing was sent."""
    client = connect(max_credits=30)
    await client.generate("a fox")

    with pytest.raises(BudgetExceeded, match="limit of 30 credits leaves no room for 25 more: 25 spent") as caught:
        await client.generate("a fox")
    assert caught.value.charged == "no"
