"""What a run's journal remembers of the command that began it, so that `resume` needs no options."""

from __future__ import annotations

import attrs
import cattrs

from hunyuan_async._journal.reader import RunRecord
from hunyuan_async.cli.batch_options import Bounds
from hunyuan_async.cli.connection import Connection
from hunyuan_async.cli.names import NameTemplate, parse_name
from hunyuan_async.errors import InvalidRequest


@attrs.frozen
class RunSettings:
    """How a run is carried out.

    Attributes:
        connection: Whom it talks to.
        name: The template of file names.
        bounds: How far it may go.
    """

    connection: Connection
    name: str = "{id}"
    bounds: Bounds = attrs.field(factory=Bounds)

    @classmethod
    def of(cls, record: RunRecord) -> RunSettings:
        """Read those of a run that has begun; one that Python began has stored none.

        Raises:
            InvalidRequest: They make no sense.
        """
        if not record.settings:
            return cls(Connection(record.base_url or None))
        try:
            return cattrs.structure(record.settings, cls)
        except (cattrs.BaseValidationError, TypeError, ValueError):
            problem = "the settings in its journal make no sense"
        raise InvalidRequest(f"this run cannot be gone on with: {problem}")

    def stored_in(self, record: RunRecord) -> RunRecord:
        """Return *record* with these settings.

        Raises:
            InvalidRequest: They contradict those that the run was begun with.
        """
        if record.settings or record.base_url:
            before = RunSettings.of(record)
            if before.connection.emulator != self.connection.emulator:
                other = "the emulator" if before.connection.emulator else "the service"
                raise InvalidRequest(f"this directory was begun with {other}: choose another --out")
            if before.name != self.name:
                raise InvalidRequest(f"this run names its files {before.name}: leave --name out or change --out")
        return attrs.evolve(record, settings=cattrs.unstructure(self))

    @property
    def file_names(self) -> NameTemplate:
        """Gives images their names."""
        return parse_name(self.name)
