"""`hunyuan task`."""

from __future__ import annotations

import json

import click

from hunyuan_async._core.text import printable
from hunyuan_async.cli.connection import Connection, base_url_option, open_client
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.progress import Progress
from hunyuan_async.cli.single import Destination, destination_options, waiting_view
from hunyuan_async.cli.terminal import run, say
from hunyuan_async.cli.views import shown
from hunyuan_async.models import TaskState


@click.command
@click.argument("task_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Wait until it is finished, and save its image.")
@destination_options
@base_url_option
def task(task_id: str, wait: bool, destination: Destination, base_url: str | None) -> int:
    """Look at the task with this ID, or fetch its image. It costs nothing.

    \b
    hunyuan task n68xxxx_hunyuan3            prints running, completed or failed
    hunyuan task n68xxxx_hunyuan3 -o koi.png waits and saves the image
    """
    connection = Connection(base_url)
    if wait or destination.output:
        return run(_fetch(task_id, destination, connection))
    return run(_look(task_id, connection, as_json=destination.as_json))


async def _look(task_id: str, connection: Connection, *, as_json: bool) -> int:
    async with open_client(connection) as client:
        status = await client.status(task_id)
    state, message = status.state.value, status.message
    click.echo(json.dumps({"task_id": task_id, "state": state, "message": message}) if as_json else state)
    if status.state is TaskState.FAILED:
        say(printable(message or "the service gives no reason"))
        return Exit.SOME_FAILED
    return Exit.DONE


async def _fetch(task_id: str, destination: Destination, connection: Connection) -> int:
    destination.check()
    view = waiting_view()
    journal = destination.journal(connection)
    async with open_client(connection, journal=journal, on_event=view.happened) as client:
        with shown(Progress(task_id, 1, client.statistics), view):
            result = await client.attach(task_id)
        await destination.save(client, result)
    return Exit.DONE
