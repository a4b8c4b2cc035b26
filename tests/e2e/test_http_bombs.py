"""What a small answer can inflate to costs no memory."""

from __future__ import annotations

import asyncio
import sys
import textwrap

import pytest

PROGRAM = """
import asyncio, gzip, resource, sys, zlib
from hunyuan_async._http.transport import AiohttpTransport
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE, ApiKey, Limits, Timeouts

MEBIBYTE = 2**20
packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
head = packer.compress(bytes(MEBIBYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
block = packer.compress(bytes(MEBIBYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
bomb = head + block * 511
if sys.argv[2] == "members":
    bomb = gzip.compress(bytes(MEBIBYTE)) * 512

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Encoding: gzip\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(bomb) + bomb)

async def agree():
    pass

async def main(call):
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    base_url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    transport = AiohttpTransport(
        API_IN_ONE, ApiKey("aio_0123456789"), base_url=base_url, timeouts=Timeouts(), limits=Limits()
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if call == "submit":
        await transport.submit(ImageRequest("a fox"), agree)
    elif call == "poll":
        await transport.poll("n1")
    else:
        await transport.fetch(base_url, len)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, len(bomb))
    await transport.aclose()
    server.close()

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("call", ["submit", "poll", "fetch"])
@pytest.mark.parametrize("form", ["stream", "members"])
async def test_half_a_gibibyte_of_zeros_does_not_grow_the_process(call: str, form: str) -> None:
    """Of 512 MiB packed into half a megabyte no more than a few are ever held; a download is cut at its cap."""
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), call, form]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    grown, packed = map(int, output.split())
    assert packed < 2**20
    assert grown <= 16  # MiB
