"""The command line as a person starts it: in a process of its own, against an emulator in the test's loop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict, cast

import attrs
import pytest

from hunyuan_async.emulator import Emulator

NOWHERE = "http://127.0.0.1:9/api/v1"  # no test may reach the real service, whatever it forgets


class Line(TypedDict):
    """What tests read of a line of results."""

    id: str
    status: str
    request: Mapping[str, object]
    input: Mapping[str, object]
    images: list[Mapping[str, str | int]]
    task_id: str
    credits: int
    error: Mapping[str, str] | None
    attempt: int


@attrs.frozen
class Ended:
    """What a command left behind.

    Attributes:
        code: Its exit code.
        stdout: What it printed as its result.
        stderr: What it said.
    """

    code: int
    stdout: bytes
    stderr: str


@attrs.define
class Command:
    """A command under way.

    Attributes:
        process: Its process.
    """

    process: asyncio.subprocess.Process
    _read: dict[str, list[bytes]] = attrs.field(factory=lambda: {"stdout": [], "stderr": []}, init=False)

    async def says(self, text: str) -> None:
        """Wait for a line on stderr that holds *text*."""
        await self._reads("stderr", text)

    async def prints(self, text: str, times: int = 1) -> str:
        """Wait for so many lines on stdout that hold *text*; return the last."""
        return [await self._reads("stdout", text) for _ in range(times)][-1]

    async def _reads(self, name: Literal["stdout", "stderr"], text: str) -> str:
        stream = self.process.stdout if name == "stdout" else self.process.stderr
        assert stream is not None
        while line := await stream.readline():
            self._read[name].append(line)
            if text in line.decode():
                return line.decode()
        raise AssertionError(f"{text!r} is not in {self._read}, and it said {(await self.ends()).stderr}")

    def receives(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ends(self, stdin: bytes | None = None) -> Ended:
        """Wait for its end."""
        async with asyncio.timeout(60):  # not how long it takes, but that it ends at all
            stdout, stderr = await self.process.communicate(stdin)
        assert self.process.returncode is not None
        stdout, stderr = b"".join([*self._read["stdout"], stdout]), b"".join([*self._read["stderr"], stderr])
        return Ended(self.process.returncode, stdout, stderr.decode())


@attrs.define
class CommandLine:
    """Starts `hunyuan` in a directory of the test's own, with hardly any environment.

    Attributes:
        place: The directory.
        environment: What every command gets.
        emulator: The service that commands talk to.
    """

    place: Path
    environment: dict[str, str]
    emulator: Emulator | None = None
    _started: list[asyncio.subprocess.Process] = attrs.field(factory=list, init=False)

    def use(self, emulator: Emulator) -> None:
        """Let commands talk to an emulator."""
        self.emulator = emulator
        self.environment |= {"HUNYUAN_BASE_URL": emulator.base_url, "HUNYUAN_API_KEY": emulator.api_key}

    async def start(self, *arguments: str | Path, after: str = "") -> Command:
        """Start a command; *after* is what a shell does first, in the same process."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(["sh", "-c", f'{after}; exec "$@"', "sh"] if after else []),
            *(sys.executable, "-m", "hunyuan_async", *map(str, arguments)),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd=self.place,
            env=self.environment,
        )
        self._started.append(process)
        return Command(process)

    async def run(self, *arguments: str | Path, stdin: bytes | None = None) -> Ended:
        """Run a command to its end."""
        return await (await self.start(*arguments)).ends(stdin)

    async def kill_all(self) -> None:
        """End what still runs."""
        for process in self._started:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    def write(self, name: str, rows: Sequence[Mapping[str, object]]) -> Path:
        """Write an input as JSON lines."""
        path = self.place / name
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return path

    def koi(self, numbers: Iterable[int], **columns: object) -> Path:
        """Write an input of one row for each of the *numbers*, with the ids k0, k1, ..."""
        rows = [{"id": f"k{number}", "prompt": f"koi {number}", "seed": number, **columns} for number in numbers]
        return self.write("koi.jsonl", rows)

    def results(self, out: str = "out") -> list[Line]:
        """The lines of a run's results."""
        text = (self.place / out / "results.jsonl").read_text(encoding="utf-8")
        return [cast("Line", json.loads(line)) for line in text.splitlines()]

    def paid(self) -> dict[str, int]:
        """How often the service accepted each prompt."""
        assert self.emulator is not None
        return Counter(str(json.loads(post.body)["prompt"]) for post in self.emulator.posts if post.task_id)

    def statuses(self, out: str = "out") -> dict[str, int]:
        """How many items of a run ended how."""
        return Counter(line["status"] for line in self.results(out))


@pytest.fixture(scope="session", autouse=True)
def _signals_reach_commands() -> None:
    """Whoever runs the tests in the background may have had them ignore signals, and commands inherit that."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def command_line(tmp_path: Path) -> AsyncIterator[CommandLine]:
    """A place to run commands in."""
    inherited = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}
    place = tmp_path / "place"
    place.mkdir()
    line = CommandLine(place, inherited | {"HUNYUAN_BASE_URL": NOWHERE})
    yield line
    await line.kill_all()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of this machine that nobody vouches for, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-days", "2", *names, *curve, *files]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="session")
def self_signed(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """Return a server's TLS context with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def tls(self_signed: ssl.SSLContext) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The emulator's side of https, and the side of a client that asks for no proof."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    return self_signed, client
