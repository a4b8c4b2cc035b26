"""`hunyuan doctor`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable

import click

from hunyuan_async._assembly import base_url_of, over_aiohttp
from hunyuan_async._core.text import printable
from hunyuan_async.cli.checkup import Finding, check_machine, check_service, check_settings, check_tls
from hunyuan_async.cli.connection import Connection, connection_options, open_client
from hunyuan_async.cli.exits import Exit, explanation
from hunyuan_async.cli.probe import Witness
from hunyuan_async.cli.terminal import run
from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE

PROBE = ImageRequest("a grey square on white paper", size="256*256", seed=1)
_MARKS = {"ok": "✓ ", "warn": "! ", "fail": "✗ "}
_EXITS = {"key": Exit.KEY_REFUSED, "disk": Exit.DISK, "service": Exit.TRY_LATER, "TLS": Exit.TRY_LATER}


@click.command
@click.option("--probe", is_flag=True, help="Make one small image, after asking, and print what the service answers.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before that.")
@connection_options
def doctor(probe: bool, yes: bool, connection: Connection) -> int:
    """Check key, address, TLS, clock, disk and versions. It costs nothing, unless --probe is given.

    The probe's output is made for a bug report: no key, no id, no address of an image and no text stands in it.
    """
    if probe and not (yes or connection.emulator):
        credits = API_IN_ONE.credits_per_image
        price = f"{credits} credits (about ${credits * API_IN_ONE.usd_per_credit:.2f})"
        click.confirm(f"The probe makes one image for {price}. Go on?", err=True, abort=True)
    findings = [*check_machine(), *check_settings(connection)]
    _tell(findings)
    worst = _worst(findings)
    return worst or run(_ask_service(connection, probe=probe))


async def _ask_service(connection: Connection, *, probe: bool) -> int:
    async with open_client(connection) as client:
        witness = Witness(over_aiohttp(client))
        client.transport = witness
        findings = [await check_tls(base_url_of(client)), *await check_service(witness.inner)]
        _tell(findings)
        worst = _worst(findings)
        if probe and not worst:
            await _probe(client, witness)
        await witness.aclose()
    return worst


async def _probe(client: Client, witness: Witness) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            await client.download(await client.generate(PROBE), folder + os.sep)
        except HunyuanError as error:
            witness.seen.append([explanation(error)])
    for exchange in witness.seen:
        click.echo("\n" + "\n  ".join(printable(line, 4000) for line in exchange))


def _tell(findings: Iterable[Finding]) -> None:
    for finding in findings:
        click.echo(f"{_MARKS[finding.level]}{finding.subject:<11} {printable(finding.told, 1000)}")


def _worst(findings: Iterable[Finding]) -> Exit:
    failed = (_EXITS.get(finding.subject, Exit.REFUSED_INPUT) for finding in findings if finding.level == "fail")
    return next(failed, Exit.DONE)
