"""`hunyuan doctor` in a process of its own."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from hunyuan_async.cli.checkup import check_service, check_tls
from hunyuan_async.emulator import Emulator, EmulatorSettings, fixed
from hunyuan_async.testing import Reply, ScriptedTransport

if TYPE_CHECKING:
    from tests.e2e.conftest import CommandLine

QUICK = EmulatorSettings(latency=fixed(0.05), small_pictures=True)


async def test_a_healthy_place_has_only_ticks_and_costs_nothing(command_line: CommandLine) -> None:
    """Key, address, TLS, clock, disk and versions; the key is told by its end alone."""
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        ended = await command_line.run("doctor")

    told = ended.stdout.decode()
    assert (ended.code, emulator.posts) == (0, [])
    assert {line[0] for line in told.splitlines()} == {"✓"}
    for subject in ("versions", "disk", "open files", "key", "base URL", "TLS", "service", "clock"):
        assert f"✓ {subject}" in told
    assert emulator.api_key not in told
    assert f"ends in {emulator.api_key[-4:]}" in told


async def test_the_probe_asks_and_shows_shapes_alone(command_line: CommandLine) -> None:
    """Whoever posts its output in public gives nothing away."""
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        refused = await command_line.run("doctor", "--probe", stdin=b"n\n")
        assert (refused.code, emulator.posts) == (130, [])
        ended = await command_line.run("doctor", "--probe", "--yes")

    told = ended.stdout.decode()
    assert (ended.code, len(emulator.posts)) == (0, 1)
    assert '"status": "completed"' in told
    assert "signature=..." in told
    for secret in (emulator.api_key, *emulator.issued, "grey square", "signature=f", "/images/"):
        assert secret not in told


@pytest.mark.parametrize(
    ("environment", "code", "told"),
    [
        ({"HUNYUAN_API_KEY": ""}, 4, "✗ key         There is no API key."),
        ({"HUNYUAN_API_KEY": "a-wrong-key-0001"}, 4, "✗ key         The service does not accept the key (HTTP 401)."),
        ({"HUNYUAN_BASE_URL": "http://example.com/v1"}, 2, "✗ base URL    base_url must be https"),
        ({"HUNYUAN_BASE_URL": "http://127.0.0.1:9/v1"}, 7, "✗ service     no answer: connection refused"),
    ],
)
async def test_what_is_wrong_is_told(
    command_line: CommandLine, environment: dict[str, str], code: int, told: str
) -> None:
    """With what to do next, and an exit code of its own; the probe then pays for nothing."""
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        command_line.environment.update(environment)
        ended = await command_line.run("doctor", "--probe", "--yes")

    assert ended.code == code
    assert told in ended.stdout.decode()
    assert emulator.posts == []


async def test_a_certificate_that_is_not_accepted_is_told(self_signed: ssl.SSLContext) -> None:
    """In the words of the TLS library."""
    async with Emulator(settings=QUICK, tls=self_signed) as emulator:
        finding = await check_tls(emulator.base_url)

    assert finding.level == "fail"
    assert "self-signed" in finding.told


@pytest.mark.parametrize(
    ("date", "level"),
    [
        ("Sun, 22 Nov 2015 12:00:00 GMT", "warn"),  # one that agrees is ticked above
        ("", None),
        ("Sun, 22 Nov 2026 12:00:00 -0000", None),
        (f"Sun, 22 Nov 2026 12:00:00 +{'9' * 30}", None),
    ],
)
async def test_a_clock_is_compared_if_the_answer_tells_the_time(date: str, level: str | None) -> None:
    """What is no date, or one beyond all calendars, tells nothing."""
    transport = ScriptedTransport(poll=lambda _: Reply(404, headers={"date": date}))

    found = [finding.level for finding in await check_service(transport) if finding.subject == "clock"]

    assert found == ([level] if level else [])
