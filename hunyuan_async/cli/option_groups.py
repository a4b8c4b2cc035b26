"""Options that belong together reach a command as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable

import attrs

Command = Callable[..., int]


def option_group(
    name: str, group: type[attrs.AttrsInstance], *options: Callable[[Command], Command]
) -> Callable[[Command], Command]:
    """Add *options* to a command, which gets them as an instance of *group* in the argument *name*.

    The options are named as the fields of *group*.
    """
    fields = [field.name for field in attrs.fields(group)]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_group(**given: object) -> int:
            own = {field: given.pop(field) for field in fields}
            return command(**given, **{name: group(**own)})

        decorated: Command = with_group
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate
