"""A batch over a scripted service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hunyuan_async.cli.amounts import FailureLimit
from hunyuan_async.cli.batch_run import BatchRun
from hunyuan_async.cli.failures import FailureGuard
from hunyuan_async.cli.progress import Progress, View
from hunyuan_async.client import Client
from hunyuan_async.run import Run
from hunyuan_async.settings import Limits
from hunyuan_async.testing import ScriptedTransport, refused


@pytest.mark.parametrize(("count", "made", "code"), [(2, 2, None), (9, 2, 7)])
async def test_failures_stop_a_run_only_if_something_is_left(
    tmp_path: Path, connect: Callable[..., Client], count: int, made: int, code: int | None
) -> None:
    """Two failures are allowed; if they were the last images, there is nothing to run again later."""
    batch_run = BatchRun(FailureGuard(FailureLimit(count=2)), Progress("koi", count), View())
    transport = ScriptedTransport(submit=lambda _: refused(400, "no"))
    client = connect(transport, limits=Limits(rate=1, in_flight=1), on_event=batch_run.happened)
    async with Run(tmp_path, client=client) as run:
        await run.add(f"koi {number}" for number in range(count))
        await batch_run.carry_out(run)
    assert (len(transport.submits), batch_run.stop and batch_run.stop.code) == (made, code)
