"""Traces and metrics of a client for OpenTelemetry, from its events alone; the extra `otel` brings what it needs.

Names follow the semantic conventions for generative AI where those say something. No event holds a prompt, a key or an
address, so what is exported cannot either; nor does it hold messages of the service, which may repeat a prompt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from operator import attrgetter

import attrs
from opentelemetry import context, metrics, trace

from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError, SubmitUnknown
from hunyuan_async.events import (
    Completed,
    Downloaded,
    Event,
    Failed,
    Polled,
    PutOff,
    Resumed,
    Sending,
    Statistics,
    StreamClosed,
    StreamOpened,
    Submitted,
    Withdrawn,
)

SCOPE = "hunyuan_async"
OPERATION = "generate_content"
PROVIDER = "apiin.one"  # the gateway; the conventions have no name of their own for it
# As the conventions advise, up to 82 seconds; two more for a service under load.
BUCKETS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68]
REFRESH_AFTER = 1.0  # seconds


def instrument(
    client: Client,
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> Callable[[], None]:
    """Export what *client* does from now on, as spans and metrics; return what ends that.

    An image is a span from its first sending to its end, below the run of its stream or the span that was current where
    it was asked for; below it stand its submits, polls and download. Without providers, the global ones are used.
    """
    meters = _Meters(metrics.get_meter(SCOPE, meter_provider=meter_provider), client)
    spans = _Spans(trace.get_tracer(SCOPE, tracer_provider=tracer_provider), meters, client.service.model)
    endings = client.subscribe(spans.happened), client.subscribe(meters.happened), spans.close, meters.close

    def end() -> None:
        for ending in endings:
            ending()

    return end


class _Meters:
    """Measures what ends and what it costs; a snapshot of the client, taken on its loop, tells the rest."""

    def __init__(self, meter: metrics.Meter, client: Client) -> None:
        self._client = client
        self._snapshot = Statistics()
        self._refresh_at: asyncio.TimerHandle | None = None
        self._operation = _operation(client.service.model)
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="From the first sending of a request to the end of its image.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._images = meter.create_counter("hunyuan.images", unit="{image}", description="Images by how they ended.")
        self._credits = meter.create_counter("hunyuan.credits", unit="{credit}", description="For accepted tasks.")
        for name, what in (("submits", "POSTs that left."), ("polls", "Status checks that left.")):
            meter.create_observable_counter(f"hunyuan.{name}", [self._reader(name)], "{request}", what)
        meter.create_observable_counter(
            "hunyuan.limited", [self._reader("limited")], "{request}", 'Answers that said "too many requests".'
        )
        for name, what in (("in_flight", "Submits and tasks under way."), ("waiting", "Requests not sent yet.")):
            meter.create_observable_gauge(f"hunyuan.{name}", [self._reader(name)], "{request}", what)

    def happened(self, event: Event) -> None:
        """Count what was paid, and look at the client soon."""
        if isinstance(event, Submitted):
            self._credits.add(event.credits)
        if self._refresh_at is None:
            self._refresh_at = asyncio.get_running_loop().call_later(REFRESH_AFTER, self._refresh)

    def ended(self, seconds: float, error: HunyuanError | None) -> None:
        """Count an image."""
        outcome = "unknown" if isinstance(error, SubmitUnknown) else "failed" if error else "succeeded"
        self._images.add(1, {"hunyuan.outcome": outcome})
        self._duration.record(max(0.0, seconds), self._operation | ({"error.type": error.kind} if error else {}))

    def close(self) -> None:
        """Take a last look at the client."""
        if self._refresh_at:
            self._refresh_at.cancel()
        self._snapshot = self._client.statistics()

    def _refresh(self) -> None:
        self._snapshot, self._refresh_at = self._client.statistics(), None
        if self._snapshot.waiting or self._snapshot.in_flight:  # they may change without an event
            self._refresh_at = asyncio.get_running_loop().call_later(REFRESH_AFTER, self._refresh)

    def _reader(self, name: str) -> Callable[[metrics.CallbackOptions], Iterator[metrics.Observation]]:
        """Return what reads a count off the snapshot, in the exporter's own thread."""
        value = attrgetter(name)
        return lambda _: iter([metrics.Observation(value(self._snapshot))])


@attrs.define
class _Image:
    """An image under way: since when, and its open spans."""

    since: datetime
    span: trace.Span
    submit: trace.Span | None = None


class _Spans:
    """Draws the course of each image; it is known by its task's id, and until it has one by its own."""

    def __init__(self, tracer: trace.Tracer, meters: _Meters, model: str) -> None:
        self._tracer = tracer
        self._meters = meters
        self._name = f"{OPERATION} {model}"
        self._attributes = _operation(model) | {"gen_ai.output.type": "image"}
        self._under_way: dict[str, _Image] = {}
        self._runs: dict[int, trace.Span] = {}

    def happened(self, event: Event) -> None:
        """Begin and end the spans that *event* tells of."""
        image: _Image | None
        run: trace.Span | None
        match event:
            case StreamOpened():
                run = self._tracer.start_span("run", start_time=_nanoseconds(event.when))
                self._runs[event.stream] = run
                context.attach(trace.set_span_in_context(run))  # ends with the asyncio task that starts the images
            case StreamClosed() if run := self._runs.pop(event.stream, None):
                _end(run, event.when)
            case Sending(id=str(item_id)):
                image = self._under_way.get(item_id) or self._begin(event.when)
                self._under_way[item_id] = image
                image.submit = self._step("submit", image, event.when)
            case PutOff(id=str(item_id)) if image := self._under_way.get(item_id):
                _end_submit(image, event.when, event.error)
            case Submitted(id=str(item_id)) if image := self._under_way.pop(item_id, None):
                self._watch(image, event.task_id)
                _end_submit(image, event.when)
            case Resumed():
                self._watch(self._begin(event.when), event.task_id)
            case Polled() if image := self._under_way.get(event.task_id):
                state = event.state.value if event.state else "unclear"
                _end(self._step("poll", image, _before(event), {"hunyuan.task.state": state}), event.when)
            case Completed(saving=False) if image := self._under_way.pop(event.task_id, None):
                self._end(image, event.when)
            case Downloaded():
                image = self._under_way.pop(event.task_id, None) or self._begin(_before(event))
                self._watch(image, event.task_id)
                _end(self._step("download", image, _before(event), {"hunyuan.files": len(event.files)}), event.when)
                self._end(self._under_way.pop(event.task_id), event.when)
            case Withdrawn(id=str(item_id)) if image := self._under_way.pop(item_id, None):
                image.span.end(_nanoseconds(event.when))
            case Failed(id=str(item_id)):
                image = self._under_way.pop(event.task_id or item_id, None) or self._under_way.pop(item_id, None)
                self._end(image or self._begin(event.when), event.when, event.error)

    def close(self) -> None:
        """End what is open: nobody will hear of its end."""
        images = self._under_way.values()
        for span in (*(image.submit for image in images), *(image.span for image in images), *self._runs.values()):
            if span:
                span.set_attribute("hunyuan.unfinished", True)
                span.end()
        self._under_way.clear()
        self._runs.clear()

    def _begin(self, since: datetime) -> _Image:
        span = self._tracer.start_span(
            self._name, kind=trace.SpanKind.CLIENT, attributes=self._attributes, start_time=_nanoseconds(since)
        )
        return _Image(since, span)

    def _watch(self, image: _Image, task_id: str) -> None:
        image.span.set_attribute("gen_ai.response.id", task_id)
        self._under_way[task_id] = image

    def _step(
        self, name: str, image: _Image, since: datetime, attributes: dict[str, str | int] | None = None
    ) -> trace.Span:
        below = trace.set_span_in_context(image.span)
        return self._tracer.start_span(name, below, attributes=attributes, start_time=_nanoseconds(since))

    def _end(self, image: _Image, when: datetime, error: HunyuanError | None = None) -> None:
        _end_submit(image, when, error)
        _end(image.span, when, error)
        self._meters.ended((when - image.since).total_seconds(), error)


def _operation(model: str) -> dict[str, str]:
    return {"gen_ai.operation.name": OPERATION, "gen_ai.provider.name": PROVIDER, "gen_ai.request.model": model}


def _end_submit(image: _Image, when: datetime, error: HunyuanError | None = None) -> None:
    if image.submit:
        _end(image.submit, when, error)
        image.submit = None


def _end(span: trace.Span, when: datetime, error: HunyuanError | None = None) -> None:
    if error:
        span.set_attribute("error.type", error.kind)
        span.set_status(trace.StatusCode.ERROR)
    span.end(_nanoseconds(when))


def _before(event: Polled | Downloaded) -> datetime:
    """Return when what took its `seconds` began."""
    return event.when - timedelta(seconds=event.seconds)


def _nanoseconds(when: datetime) -> int:
    return round(when.timestamp() * 1e9)
