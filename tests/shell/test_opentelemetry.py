"""What is exported to OpenTelemetry: right spans under the right parents, right counts, and no secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hunyuan_async.client import Client
from hunyuan_async.errors import ContentRefused, SubmitUnknown
from hunyuan_async.integrations.opentelemetry import REFRESH_AFTER, instrument
from hunyuan_async.run import Run
from hunyuan_async.settings import Limits
from hunyuan_async.testing import NoReply, Reply, ScriptedTransport, accepted, finished, refused

Connect = Callable[..., Client]
IMAGE = "generate_content hunyuan-image-3"
KEY = "aio_very_secret_key"
PROMPT = "my grandmother in her garden"


@attrs.define
class Observatory:
    """A real SDK that keeps in memory what it is told."""

    spans: InMemorySpanExporter = attrs.field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = attrs.field(factory=InMemoryMetricReader)
    traces: TracerProvider = attrs.field(factory=lambda: TracerProvider(shutdown_on_exit=False))
    meters: MeterProvider = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.traces.add_span_processor(SimpleSpanProcessor(self.spans))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)

    def watch(self, client: Client) -> Callable[[], None]:
        """Instrument a client."""
        return instrument(client, tracer_provider=self.traces, meter_provider=self.meters)

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended, in that order."""
        return self.spans.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        """The finished spans of one name."""
        return [span for span in self.finished if span.name == name]

    def points(self) -> dict[str, list[NumberDataPoint | HistogramDataPoint]]:
        """The metrics now, by name."""
        data = self.reader.get_metrics_data()
        assert data
        return {
            metric.name: [*metric.data.data_points]
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def value(self, name: str) -> float:
        """The only value of a metric."""
        (point,) = self.points()[name]
        assert isinstance(point, NumberDataPoint)
        return point.value


@pytest.fixture
def observatory() -> Iterator[Observatory]:
    """An SDK of the test's own."""
    one = Observatory()
    yield one
    one.traces.shutdown()
    one.meters.shutdown()


def parent_of(span: ReadableSpan) -> int | None:
    """The id of the span above."""
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    """The span's own id."""
    assert span.context
    return int(span.context.span_id)


async def test_an_image_is_a_span_with_its_steps_below(
    connect: Connect, observatory: Observatory, png: bytes, tmp_path: Path
) -> None:
    """Submit, polls and download stand under it, named and described as the conventions say."""
    client = connect(ScriptedTransport(image=png))
    observatory.watch(client)

    async with client.stream(["a fox"], save_to=tmp_path) as outcomes:
        assert [outcome.error async for outcome in outcomes] == [None]

    (image,) = observatory.named(IMAGE)
    assert image.attributes == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "apiin.one",
        "gen_ai.request.model": "hunyuan-image-3",
        "gen_ai.output.type": "image",
        "gen_ai.response.id": "t1",
    }
    below = [span.name for span in observatory.finished if parent_of(span) == id_of(image)]
    assert (below[0], {*below[1:-1]}, below[-1]) == ("submit", {"poll"}, "download")
    assert {span.name for span in observatory.finished} == {IMAGE, "run", *below}
    assert all(span.start_time <= span.end_time for span in observatory.finished if span.start_time and span.end_time)
    states = [span.attributes["hunyuan.task.state"] for span in observatory.named("poll") if span.attributes]
    assert ({*states[:-1]}, states[-1]) == ({"running"}, "completed")
    assert [span.end_time for span in observatory.named("download")] == [image.end_time]


async def test_the_span_above_is_the_one_of_whoever_asked(connect: Connect, observatory: Observatory) -> None:
    """Each of many callers finds its images below its own span, whoever came first."""
    tracer = observatory.traces.get_tracer("app")
    client = connect()
    observatory.watch(client)

    async def ask(prompt: str) -> None:
        with tracer.start_as_current_span(prompt):
            await client.generate(prompt)

    async def attach() -> None:
        with tracer.start_as_current_span("c"):
            await client.attach("t1")

    await asyncio.gather(ask("a"), ask("b"))
    await attach()

    above = {id_of(span): span.name for span in observatory.finished}
    parents = [above[parent] for span in observatory.named(IMAGE) if (parent := parent_of(span))]
    assert sorted(parents) == ["a", "b", "c"]
    polled = {parent_of(span) for span in observatory.named("poll")}
    assert polled == {id_of(span) for span in observatory.named(IMAGE)}


async def test_the_images_of_a_stream_stand_below_its_run(
    connect: Connect, observatory: Observatory, png: bytes, tmp_path: Path
) -> None:
    """Also those of a durable run, and of a stream that is left; nothing else does."""
    tracer = observatory.traces.get_tracer("app")
    client = connect(ScriptedTransport(image=png), api_key=KEY)
    observatory.watch(client)

    with tracer.start_as_current_span("app"):
        async with client.stream(["a", "b"]) as outcomes:
            assert [outcome.ok async for outcome in outcomes] == [True, True]
        async with client.stream(["c"]):
            await asyncio.sleep(1)
        await client.generate("d")
        async with Run(tmp_path, client=client) as run:
            await run.add(["e"])
            assert [outcome.ok async for outcome in run] == [True]

    above = {id_of(span): span for span in observatory.finished}
    runs = observatory.named("run")
    assert {above[parent].name for span in runs if (parent := parent_of(span))} == {"app"}
    parents = [above[parent].name for span in observatory.named(IMAGE) if (parent := parent_of(span))]
    assert sorted(parents) == ["app", "run", "run", "run", "run"]
    assert len(runs) == 3


async def test_each_try_to_submit_is_a_span(connect: Connect, observatory: Observatory) -> None:
    """One that was put off says why; the image goes on."""
    answers = [refused(429), accepted("t1")]
    client = connect(ScriptedTransport(submit=lambda _: answers.pop(0), poll=finished))
    observatory.watch(client)

    await client.generate("a fox")

    errors = [(span.attributes or {}).get("error.type") for span in observatory.named("submit")]
    assert errors == ["limited", None]
    assert len(observatory.named(IMAGE)) == 1


async def test_an_image_that_nobody_waits_for_any_more_ends(connect: Connect, observatory: Observatory) -> None:
    """If it had not cost anything; it counts as nothing."""
    client = connect(ScriptedTransport(submit=lambda _: refused(429, retry_after="60")))
    observatory.watch(client)
    asking = asyncio.create_task(client.generate("a fox"))
    await asyncio.sleep(5)

    asking.cancel()
    await asyncio.wait([asking])
    await asyncio.sleep(1)

    assert len(observatory.named(IMAGE)) == 1
    assert "hunyuan.images" not in observatory.points()


async def test_metrics_tell_outcomes_credits_requests_and_durations(connect: Connect, observatory: Observatory) -> None:
    """Images by how they ended, with the totals of the client's own snapshot."""
    answers: dict[str, Reply | NoReply] = {
        "ok": accepted("t1"),
        "bad": refused(400),
        "lost": NoReply("cut off", sent=True),
    }
    client = connect(ScriptedTransport(submit=lambda request: answers[request.prompt], poll=finished))
    end = observatory.watch(client)

    await asyncio.gather(*(client.generate(name) for name in answers), return_exceptions=True)
    end()

    points = observatory.points()
    images = {
        (p.attributes or {})["hunyuan.outcome"]: p.value
        for p in points["hunyuan.images"]
        if isinstance(p, NumberDataPoint)
    }
    assert images == {"succeeded": 1, "failed": 1, "unknown": 1}
    statistics = client.statistics()
    for name in ("submits", "polls", "limited", "in_flight", "waiting"):
        assert observatory.value(f"hunyuan.{name}") == getattr(statistics, name)
    assert observatory.value("hunyuan.credits") == statistics.credits_spent == 25
    durations = points["gen_ai.client.operation.duration"]
    assert {(point.attributes or {}).get("error.type") for point in durations} == {None, "rejected", "unknown"}


async def test_what_is_under_way_is_seen_within_a_second(connect: Connect, observatory: Observatory) -> None:
    """And it falls again without any further event."""
    client = connect(ScriptedTransport(seconds=30), limits=Limits(rate=1000, in_flight=1))
    observatory.watch(client)
    images = asyncio.gather(client.generate("a"), client.generate("b"))

    await asyncio.sleep(2 * REFRESH_AFTER)
    assert (observatory.value("hunyuan.in_flight"), observatory.value("hunyuan.waiting")) == (1, 1)

    await images
    await asyncio.sleep(2 * REFRESH_AFTER)
    assert (observatory.value("hunyuan.in_flight"), observatory.value("hunyuan.waiting")) == (0, 0)


async def test_what_changes_without_an_event_is_seen_as_well(connect: Connect, observatory: Observatory) -> None:
    """While the service limits, nothing happens, and the queue grows."""
    client = connect(ScriptedTransport(submit=lambda _: refused(429, retry_after="60")))
    observatory.watch(client)
    asking = [asyncio.create_task(client.generate("a"))]
    await asyncio.sleep(5)

    asking.append(asyncio.create_task(client.generate("b")))
    await asyncio.sleep(2 * REFRESH_AFTER)

    assert observatory.value("hunyuan.waiting") == 2
    for one in asking:
        one.cancel()
    await asyncio.wait(asking)


async def test_ending_it_ends_every_span_and_hears_no_more(connect: Connect, observatory: Observatory) -> None:
    """What is still under way is ended as unfinished, so that nothing stays in memory."""
    client = connect()
    end = observatory.watch(client)
    task = await client.submit("a fox")

    end()
    await task

    (image,) = observatory.named(IMAGE)
    assert (image.attributes or {})["hunyuan.unfinished"] is True
    assert {span.name for span in observatory.finished} == {IMAGE, "submit"}


async def test_no_span_and_no_metric_holds_a_prompt_a_key_or_an_address(
    connect: Connect, observatory: Observatory
) -> None:
    """Not even in an error whose message repeats the prompt."""
    refusal = refused(400, f"content policy: {PROMPT}")
    answers: list[Reply | NoReply] = [accepted("t1"), refusal, NoReply(PROMPT, sent=True)]
    client = connect(ScriptedTransport(submit=lambda _: answers.pop(0), poll=finished), api_key=KEY)
    end = observatory.watch(client)

    await client.generate(PROMPT)
    for error in (ContentRefused, SubmitUnknown):
        with pytest.raises(error):
            await client.generate(PROMPT)
    end()

    exported = "".join(span.to_json() for span in observatory.finished)
    data = observatory.reader.get_metrics_data()
    assert data
    exported += data.to_json()
    assert len(observatory.named(IMAGE)) == 3
    for secret in (PROMPT, KEY, "images.example", "https://"):
        assert secret not in exported
