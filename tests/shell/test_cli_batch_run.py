"""A batch over a scripted service."""

from __future__ import annotations

from pathlib import Path

import pytest

from hunyuan_async.cli.amounts import FailureLimit
from hunyuan_async.cli.batch_run import BatchRun
from hunyuan_async.cli.failures import FailureGuard
from hunyuan_async.cli.items import BatchItem
from hunyuan_async.cli.names import parse_name
from hunyuan_async.cli.progress import Progress, View
from hunyuan_async.cli.results import ResultsFile
from hunyuan_async.client import Client
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import Limits
from hunyuan_async.testing import ScriptedTransport, refused


@pytest.mark.parametrize(("count", "made", "code"), [(2, 2, 1), (9, 2, 7)])
async def test_failures_stop_a_run_only_if_something_is_left(tmp_path: Path, count: int, made: int, code: int) -> None:
    """Two failures are allowed; if they were the last images, there is nothing to run again later."""
    requests = [ImageRequest(f"koi {number}", id=f"k{number}") for number in range(count)]
    items = [BatchItem(request.id or "", number, number, 1, request, {}) for number, request in enumerate(requests)]
    guard = FailureGuard(FailureLimit(count=2))
    run = BatchRun(items, tmp_path, parse_name("{id}"), guard, Progress("koi", count), View())
    transport = ScriptedTransport(submit=lambda _: refused(400, "no"))
    with ResultsFile(tmp_path) as results:
        async with Client(transport=transport, limits=Limits(rate=1, in_flight=1), on_event=run.happened) as client:
            await run.run(client, results)
    assert (len(transport.submits), run.counts["failed"], run.exit_code()) == (made, made, code)


async def test_a_seed_that_was_drawn_stands_in_the_name(tmp_path: Path, png: bytes) -> None:
    """Names are made when the request is sent."""
    item = BatchItem("k0", 0, 1, 1, ImageRequest("koi", id="k0"), {})
    run = BatchRun([item], tmp_path, parse_name("{id}-{seed}"), FailureGuard(), Progress("koi", 1), View())
    transport = ScriptedTransport(image=png)
    with ResultsFile(tmp_path) as results:
        async with Client(transport=transport, on_event=run.happened) as client:
            await run.run(client, results)
    (sent,) = transport.submits
    (file,) = (tmp_path / "images" / "0000").iterdir()
    assert file.name.startswith(f"k0-{sent.seed}")
    assert run.exit_code() == 0
