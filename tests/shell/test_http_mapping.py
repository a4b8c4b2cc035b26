"""From a response object to our values, without a network. How requests fail needs sockets: see tests/e2e."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import pytest
from aioresponses import CallbackResult, aioresponses

from hunyuan_async._core.replies import Fetched, NoReply, Reply
from hunyuan_async._http.transport import AiohttpTransport
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE, ApiKey, Limits, Timeouts

MakeTransport = Callable[..., AiohttpTransport]

BASE = "https://service.example/v1"
SUBMIT = f"{BASE}/images/generations"
TASK = f"{BASE}/tasks/n1"
JSON = {"content-type": "application/json"}  # what aioresponses says unless told otherwise


async def agree() -> None:
    """Let the request go."""


@pytest.mark.parametrize("status", [200, 202, 301, 307, 400, 401, 402, 403, 404, 408, 409, 425, 429, 500, 503, 524])
async def test_every_status_is_handed_on(mocked_http: aioresponses, make_transport: MakeTransport, status: int) -> None:
    """The transport does not judge: submits and polls give the status and the body as they came."""
    mocked_http.post(SUBMIT, status=status, body=b"words")
    mocked_http.get(TASK, status=status, body=b"words")
    transport = make_transport(BASE)
    assert await transport.submit(ImageRequest("a fox"), agree) == Reply(status, b"words", JSON)
    assert await transport.poll("n1") == Reply(status, b"words", JSON)


async def test_of_the_headers_those_are_kept_that_a_rule_or_a_bug_report_needs(
    mocked_http: aioresponses, make_transport: MakeTransport
) -> None:
    """By lower-case names; nothing else that a server may say travels with the reply."""
    kept = {"Retry-After": "7", "Date": "today", "CF-Ray": "r", "X-Request-Id": "q", "X-RateLimit-Remaining": "0"}
    kept["Server"] = "cdn"
    mocked_http.get(TASK, headers={**kept, "Set-Cookie": "a=b", "X-Powered-By": "magic"})
    reply = await make_transport(BASE).poll("n1")
    assert isinstance(reply, Reply)
    assert reply.headers == JSON | {name.lower(): value for name, value in kept.items()}


@pytest.mark.parametrize(("size", "complete"), [(0, True), (2**16, True), (2**16 + 1, False), (2**17 + 1, False)])
async def test_the_body_of_a_submit_is_capped(
    mocked_http: aioresponses, make_transport: MakeTransport, size: int, complete: bool
) -> None:
    """A longer one cannot be what we asked for; it is cut, and said to be."""
    mocked_http.post(SUBMIT, body=b"x" * size)
    reply = await make_transport(BASE).submit(ImageRequest("a fox"), agree)
    assert reply == Reply(200, b"x" * min(size, 2**16), JSON, complete)


async def test_the_key_goes_to_the_api_and_not_to_an_image_host(
    mocked_http: aioresponses, make_transport: MakeTransport
) -> None:
    """Every request of the API carries it, no download does, though both go to the same host."""
    seen: list[tuple[str, bool]] = []

    def note(url: object, **options: object) -> CallbackResult:
        seen.append((str(url), "aio_0123456789abcdef" in str(options)))
        return CallbackResult(body=b"x")

    for method, url in [("POST", SUBMIT), ("GET", TASK), ("GET", f"{BASE}/a.png")]:
        mocked_http.add(url, method, callback=note)
    transport = make_transport(BASE)
    await transport.submit(ImageRequest("a fox"), agree)
    await transport.poll("n1")
    assert await transport.fetch(f"{BASE}/a.png", len) == Fetched(200, 1)
    assert [url for url, _ in seen] == [SUBMIT, TASK, f"{BASE}/a.png"]
    assert [shown for _, shown in seen] == [False, False, False], "the header shows the key in logs"
    requests = [call for calls in mocked_http.requests.values() for call in calls]
    sent = [dict(call.kwargs.get("headers") or {}).get("Authorization") for call in requests]
    assert sent == ["Bearer aio_0123456789abcdef", "Bearer aio_0123456789abcdef", None]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (aiohttp.ServerDisconnectedError(), "the server closed the connection before it answered"),
        (aiohttp.ClientOSError(104, "secret"), "connection reset by peer"),
        (aiohttp.ClientOSError("secret"), "the connection was lost"),
        (aiohttp.ClientPayloadError("secret"), "the answer was cut off"),
        (aiohttp.ClientConnectionError("secret"), "the connection was lost"),
        (aiohttp.SocketTimeoutError("secret"), "no answer in time"),
        (aiohttp.ConnectionTimeoutError("secret"), "no connection in time"),
        (TimeoutError(), "no answer in time"),
    ],
)
async def test_every_failure_has_words_of_ours(
    mocked_http: aioresponses, make_transport: MakeTransport, error: Exception, reason: str
) -> None:
    """What aiohttp says may hold addresses and headers, so none of it is passed on."""
    mocked_http.get(TASK, exception=error)
    assert await make_transport(BASE).poll("n1") == NoReply(reason, sent=True)


async def test_aioresponses_still_needs_help() -> None:
    """When this fails, aioresponses has caught up with aiohttp: replace `mocked_http` by `aioresponses()`."""
    async with aiohttp.ClientSession() as session:
        with aioresponses() as mocked:
            mocked.get(TASK)
            with pytest.raises(TypeError, match="stream_writer"):
                await session.get(TASK)


def test_an_api_on_this_machine_is_not_reached_through_a_proxy() -> None:
    """The way to a proxy may be long, and http shows it the key."""
    with pytest.raises(InvalidRequest, match="proxy"):
        AiohttpTransport(
            API_IN_ONE,
            ApiKey("aio_0123456789"),
            base_url="http://localhost:9/api/v1",
            timeouts=Timeouts(),
            limits=Limits(),
            proxy="http://proxy.example:3128",
        )
