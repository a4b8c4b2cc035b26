"""The same request for other tools: as a curl command and as a Python program."""

from __future__ import annotations

import shlex

from hunyuan_async._core.names import slug
from hunyuan_async._core.wire import submit_body
from hunyuan_async._keys import KEY_VARIABLE
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import Service


def submit_address(service: Service, base_url: str) -> str:
    """Return where the submit goes."""
    return f"{base_url.rstrip('/')}/{service.submit_path}"


def as_curl(request: ImageRequest, service: Service, base_url: str) -> str:
    """Return a shell command that sends a prepared *request*, with the key taken from the environment."""
    parts = [
        f"curl --request POST {shlex.quote(submit_address(service, base_url))}",
        # The one part that the shell has to look into.
        f'--header "{service.auth_header}: {service.auth_scheme} ${KEY_VARIABLE}"',
        "--header 'Content-Type: application/json'",
        f"--data-raw {shlex.quote(submit_body(request, service).decode())}",
    ]
    return " \\\n  ".join(parts)


def as_python(request: ImageRequest, service: Service, base_url: str) -> str:
    """Return a program that makes a prepared *request* with this library, with the key taken from the environment."""
    wanted = {
        "prompt": request.prompt,
        "type": request.type,
        "size": request.size,
        "images": list(request.images),
        "seed": request.seed,
        "model": request.model,
        "extra": dict(request.extra),
    }
    given = {name: value for name, value in wanted.items() if value not in ([], {}, None)}
    fields = "".join(f"    {name}={value!r},\n" for name, value in given.items())
    where = "" if base_url == service.base_url else f"base_url={base_url!r}"
    return f"""\
import asyncio

from hunyuan_async import Client, ImageRequest

request = ImageRequest(
{fields})


async def main() -> None:
    async with Client({where}) as client:  # the key comes from {KEY_VARIABLE}
        result = await client.generate(request)
        await client.download(result, {f"{slug(request.prompt)}.png"!r})


if __name__ == "__main__":
    asyncio.run(main())
"""
