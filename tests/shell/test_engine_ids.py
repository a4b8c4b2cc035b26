"""No id that the service gave out is forgotten, however the client ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from hunyuan_async._core.replies import Reply
from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError, TaskTimedOut
from hunyuan_async.events import Event, Polled, Submitted
from hunyuan_async.models import ImageRequest
from hunyuan_async.testing import ScriptedTransport, VirtualTimeLoop, accepted
from hunyuan_async.transport import BeforeSend

Connect = Callable[..., Client]


class SlowAnswers(ScriptedTransport):
    """Accepts a submit, and takes three seconds to say so."""

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply:
        """Answer late."""
        await before_send()
        self.submits.append(request)
        await asyncio.sleep(3)
        return accepted("t1")


@pytest.mark.parametrize("moment", [Submitted, Polled])
async def test_a_listener_that_raises_a_cancellation_harms_nobody(connect: Connect, moment: type[Event]) -> None:
    """It may ask a cancelled future for its result; the image is made all the same."""

    def listen(event: Event) -> None:
        if isinstance(event, moment):
            raise asyncio.CancelledError

    result = await connect(on_event=listen).generate("a fox")

    assert result.task_id == "t1"


async def test_every_close_waits_for_answers_on_their_way(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """The second one, from a signal handler for example, must not cut the first one short."""
    client = connect(SlowAnswers())
    making = asyncio.create_task(client.generate("a fox"))
    await asyncio.sleep(1)
    first = asyncio.create_task(client.aclose())
    await asyncio.sleep(0.1)

    await client.aclose()

    assert first.done()
    with pytest.raises(TaskTimedOut, match="t1"):
        await making
    assert "t1" in caplog.text


def test_a_loop_that_shuts_down_tells_the_ids(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever forgets to close the client finds what is paid in the log."""
    caplog.set_level(logging.WARNING)

    async def main() -> None:
        client = Client(transport=ScriptedTransport(seconds=600))
        await asyncio.wait([asyncio.ensure_future(client.generate("a fox"))], timeout=5)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())

    assert "task t1" in caplog.text


def test_a_loop_that_shuts_down_tells_of_a_submit_without_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """It may have been charged, and nobody else can tell."""

    async def main() -> None:
        client = Client(transport=SlowAnswers())
        await asyncio.wait([asyncio.ensure_future(client.generate(ImageRequest("a fox", id="sku42")))], timeout=1)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())

    assert "sku42" in caplog.text
    assert "may have been charged" in caplog.text


async def test_a_salvaged_id_is_told_though_the_look_fails(connect: Connect) -> None:
    """The look could not confirm it; a person still can."""
    cut_off = Reply(200, b'{"code": 200, "data": {"taskId": "n68_paid_hunyuan3", "sta', complete=False)
    transport = ScriptedTransport(submit=lambda _: cut_off, poll=lambda _: Reply(502))

    with pytest.raises(HunyuanError) as caught:
        await connect(transport).generate("a fox")

    assert (caught.value.kind, caught.value.task_id) == ("unknown", "n68_paid_hunyuan3")
