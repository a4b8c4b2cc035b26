"""`hunyuan emulator`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from hunyuan_async.cli.amounts import parse_rate
from hunyuan_async.cli.terminal import run, say
from hunyuan_async.emulator import LATENCIES, SHAPES, Emulator, EmulatorSettings, Fault, read_faults
from hunyuan_async.errors import InvalidRequest


def _read_file(context: click.Context, parameter: click.Parameter, path: Path | None) -> tuple[Fault, ...]:
    try:
        return read_faults(path.read_bytes()) if path else ()
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path}: {error}") from None


def _read_shares(context: click.Context, parameter: click.Parameter, texts: Sequence[str]) -> list[Fault]:
    try:
        return [_read_share(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _read_share(text: str) -> Fault:
    kind, _, share = text.partition("=")
    try:
        number = float(share)
    except ValueError:
        raise ValueError(f"{text!r} is not like http-500=0.01") from None
    return Fault(kind, share=number)


@click.command
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8765, show_default=True)
@click.option("--allow-remote", is_flag=True, help="Listen at other addresses than this machine's own.")
@click.option("--seed", type=int, help="Makes ids, latencies, drawn seeds and faults repeat.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="Divides every duration.")
@click.option(
    "--latency",
    type=click.Choice([*LATENCIES]),
    default="uniform",
    show_default=True,
    callback=lambda _, __, name: LATENCIES[name](),
)
@click.option(
    "--rate",
    "requests_per_second",
    metavar="N/s",
    callback=lambda _, __, text: text and parse_rate(text),
    help="Answer 429 above so many requests a second.",
)
@click.option("--in-flight", "tasks_in_flight", type=int, help="Answer 429 above so many unfinished tasks.")
@click.option("--workers", type=int, help="Make so many images at a time; the others queue inside.")
@click.option("--retry-after/--no-retry-after", default=True, help="Whether a 429 says when to come back.")
@click.option("--credits", type=float, default=float("inf"), help="Answer 402 when so many are spent.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    default=["outputs"],
    type=click.Choice([*SHAPES]),
    metavar="NAME",
    help="Of finished tasks.",
)
@click.option("--small", "small_pictures", is_flag=True, help="Draw small images, which cost little.")
@click.option(
    "--faults",
    "scripted",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=_read_file,
    help="What goes wrong, and when: a list in JSON.",
)
@click.option(
    "--fault",
    "by_chance",
    multiple=True,
    metavar="KIND=SHARE",
    callback=_read_shares,
    help="What goes wrong by chance, such as http-500=0.01.",
)
def emulator(
    host: str,
    port: int,
    allow_remote: bool,
    seed: int | None,
    scripted: Sequence[Fault],
    by_chance: Sequence[Fault],
    **settings: object,
) -> int:
    """Serve a stand-in for the service until Ctrl-C, and print its address and its key.

    Prompts with "[refuse]" in them are refused; those with "[fail]" are accepted and fail later.
    The kinds of faults are in docs/reference/emulator.md.
    """
    return run(_serve(host, port, allow_remote, seed, {**settings, "faults": [*scripted, *by_chance]}))


async def _serve(host: str, port: int, allow_remote: bool, seed: int | None, settings: dict[str, object]) -> int:
    try:
        known = EmulatorSettings(**settings)  # type: ignore[arg-type] # the options are named as the fields
        emulator = Emulator(settings=known, host=host, port=port, allow_remote=allow_remote, seed=seed)
        await emulator.start()
    except (ValueError, OSError) as error:
        problem = str(error).replace("pass allow_remote=True", "add --allow-remote")
    else:
        async with emulator:
            click.echo(f"export HUNYUAN_BASE_URL={emulator.base_url}\nexport HUNYUAN_API_KEY={emulator.api_key}")
            say("Paste the two lines above into another terminal. Stop with Ctrl-C.")
            await asyncio.Event().wait()
    raise InvalidRequest(f"the emulator cannot be served at {host}:{port}: {problem}")
