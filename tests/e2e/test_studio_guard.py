"""The studio answers the browser that was opened with its token, and nobody else."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
from collections.abc import AsyncIterator

import attrs
import pytest
from aiohttp import web

from hunyuan_async.studio._guard import Guard
from hunyuan_async.studio._server import Studio

STRICT = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
ANYWHERE = str(ipaddress.IPv4Address(0))


@attrs.frozen
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask(port: int, method: str = "GET", path: str = "/", body: str = "", **headers: str) -> Answer:
    """Send a request byte by byte, as a program that obeys nothing; "_" in a header's name stands for "-"."""
    fields = {"Host": f"127.0.0.1:{port}", "Connection": "close", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {part}\r\n" for name, value in fields.items() for part in value.split("|") if value)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n{body}".encode())
    head, _, content = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *rest = head.decode().split("\r\n")
    return Answer(int(status.split()[1]), dict(line.split(": ", 1) for line in rest), content)


async def _greet(request: web.Request) -> web.Response:
    return web.json_response({"hello": request.method})


async def _break(request: web.Request) -> web.Response:
    raise RuntimeError("inside /home/me")


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"data")
    return response


ROUTES = [
    web.get("/api/hello", _greet),
    web.post("/api/hello", _greet),
    web.get("/api/bug", _break),
    web.get("/api/stream", _stream),
]


@attrs.frozen
class Open:
    """A studio, and what a browser that was let in knows."""

    port: int
    token: str
    cookie: str

    async def ask(self, method: str = "GET", path: str = "/api/hello", body: str = "", **headers: str) -> Answer:
        """Ask as that browser."""
        return await ask(self.port, method, path, body, **{"Cookie": self.cookie} | headers)

    async def post(self, **headers: str) -> Answer:
        """Post as a page of ours, but for the *headers*; an empty one is left out."""
        usual = {"Origin": f"http://127.0.0.1:{self.port}", "Content_Type": "application/json"}
        return await self.ask("POST", body="{}", **usual | headers)


async def _let_in(studio: Studio) -> Open:
    port, token = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]{43})", studio.url).groups()  # type: ignore[union-attr]
    answer = await ask(int(port), path=f"/?token={token}")
    return Open(int(port), token, answer.headers["Set-Cookie"].partition(";")[0])


@pytest.fixture
async def studio() -> AsyncIterator[Open]:
    """A studio that a browser was let into."""
    async with Studio("review.html", ROUTES) as running:
        yield await _let_in(running)


async def test_the_token_is_given_for_a_cookie_at_once(studio: Open) -> None:
    """It does not stay in the address; scripts, other sites and other ports do not get the cookie."""
    answer = await ask(studio.port, path=f"/?token={studio.token}&view=1")
    assert (answer.status, answer.headers["Location"]) == (303, "/?view=1")
    name, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert name.startswith(f"hunyuan_studio_{studio.port}=")
    assert studio.token not in name
    assert {*attributes} == {"HttpOnly", "Path=/", "SameSite=Strict"}
    assert (await studio.ask(path="/")).status == 200


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/api/hello", "/nothing", "/?token=wrong", "/?token="])
async def test_without_the_cookie_nothing_is_given(studio: Open, path: str) -> None:
    """Not even whether there is something."""
    for cookie in ("", f"hunyuan_studio_{studio.port}=", f"hunyuan_studio_{studio.port}=\xe9", studio.cookie[:-1]):
        answer = await ask(studio.port, path=path, Cookie=cookie)
        assert (answer.status, [*json.loads(answer.body)]) == (403, ["error"])


async def test_a_cookie_is_of_one_start(studio: Open) -> None:
    """Two studios of one machine do not mix theirs up, and a browser may have both."""
    async with Studio("review.html", ROUTES) as running:
        other = await _let_in(running)
        renamed = studio.cookie.replace(str(studio.port), str(other.port))
        assert (await other.ask(Cookie=studio.cookie)).status == 403
        assert (await other.ask(Cookie=renamed)).status == 403
        assert (await other.ask(path=f"/?token={studio.token}", Cookie="")).status == 403
        assert (await other.ask(Cookie=f"{studio.cookie}; {other.cookie}")).status == 200
        assert (await studio.ask(Cookie=f"{studio.cookie}; {other.cookie}")).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("[::1]:{port}", 200),
        ("evil.example:{port}", 403),
        ("127.0.0.1.evil.example:{port}", 403),
        ("192.168.0.1:{port}", 403),
        ("127.0.0.1", 403),
        ("127.0.0.1:1", 403),
        ("", 400),
        ("127.0.0.1:{port}|evil.example", 400),
    ],
)
async def test_another_host_name_is_refused(studio: Open, host: str, status: int) -> None:
    """Else a page elsewhere could let its own name lead here, and read everything."""
    answer = await studio.ask(Host=host.format(port=studio.port))
    assert answer.status == status


@pytest.mark.parametrize(
    ("host", "name", "is_ours"),
    [
        (ANYWHERE, "192.168.0.7:8", True),
        ("::", "[fe80::1]:8", True),
        (ANYWHERE, "evil.example:8", False),
        (ANYWHERE, "192.168.0.7:9", False),
        ("192.168.0.7", "192.168.0.7:8", True),
        ("192.168.0.7", "192.168.0.8:8", False),
        ("fe80::1", "[fe80::1]:8", True),
    ],
)
def test_other_addresses_are_known_by_their_numbers(host: str, name: str, is_ours: bool) -> None:
    """A name could be anybody's, an address is this machine's."""
    assert Guard(host, 8).is_ours(name) is is_ours


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Content_Type": "application/json; charset=utf-8"}, 200),
        ({"Origin": ""}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"}, 403),
        ({"Origin": "", "Sec_Fetch_Site": "same-site"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": ""}, 415),
        ({"Cookie": ""}, 403),
    ],
)
async def test_only_our_page_changes_anything(studio: Open, headers: dict[str, str], status: int) -> None:
    """A form or a script elsewhere can have the browser post with our cookie."""
    assert (await studio.post(**headers)).status == status


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/static/style.css", 200), ("/api/hello", 200), ("/api/stream", 200), ("/nothing", 404)],
)
async def test_every_answer_tells_the_browser_to_be_strict(studio: Open, path: str, status: int) -> None:
    """Nothing is loaded from elsewhere, framed, guessed at or kept; streams say so as well."""
    for cookie, expected in ((studio.cookie, status), ("", 403)):
        answer = await studio.ask(path=path, Cookie=cookie)
        assert answer.status == expected
        assert STRICT.items() <= answer.headers.items()


@pytest.mark.parametrize(
    "name", ["..%2f_guard.py", "%2e%2e/_guard.py", "../_guard.py", "..", "", "_guard.py", "style.css%00", "STYLE.css"]
)
async def test_only_static_files_are_served(studio: Open, name: str) -> None:
    """By their own names."""
    answer = await studio.ask(path=f"/static/{name}")
    assert (answer.status, [*json.loads(answer.body)]) == (404, ["error"])


@pytest.mark.parametrize(
    ("name", "kind"), [("style.css", "text/css"), ("theme.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
)
async def test_static_files_have_fixed_types(studio: Open, name: str, kind: str) -> None:
    """Whatever this machine takes their suffixes for."""
    answer = await studio.ask(path=f"/static/{name}")
    assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"


async def test_a_bug_tells_the_browser_nothing(studio: Open, caplog: pytest.LogCaptureFixture) -> None:
    """The terminal gets it in full."""
    answer = await studio.ask(path="/api/bug")
    assert (answer.status, b"/home/me" in answer.body) == (500, False)
    assert [*json.loads(answer.body)] == ["error"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_wrong_method_is_refused(studio: Open) -> None:
    """As JSON, too."""
    answer = await studio.ask("DELETE", Origin=f"http://127.0.0.1:{studio.port}", Content_Type="application/json")
    assert (answer.status, answer.headers["Allow"], [*json.loads(answer.body)]) == (405, "GET,HEAD,POST", ["error"])


@pytest.mark.parametrize("host", [ANYWHERE, "::", "192.168.0.7"])
def test_other_machines_are_let_in_on_purpose_alone(host: str) -> None:
    """By an argument of its own."""
    with pytest.raises(ValueError, match="can be reached from other machines"):
        Studio("review.html", [], host=host)
    assert Studio("review.html", [], host=host, allow_remote=True)


async def test_it_can_be_stopped_with_a_stream_open(studio: Open) -> None:
    """And its address is gone then."""
    async with Studio("review.html", []) as running:
        assert running.url
    with pytest.raises(RuntimeError, match="not started"):
        assert running.url
