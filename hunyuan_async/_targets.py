"""Where images go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs

from hunyuan_async._core.image_bytes import EXTENSIONS
from hunyuan_async._core.lifecycle import Item
from hunyuan_async._core.names import safe_name
from hunyuan_async.models import ImageRequest

PER_FOLDER = 1000


def image_path(item: Item, name: str | None = None, *, telling: bool = True) -> str:
    """Return where the images of *item* go below its run's directory, without the extension.

    Args:
        item: Its place in the run gives the folder; an attempt beyond the first gets a name of its own.
        name: What the file is called, if not after the item's id.
        telling: Whether that name alone tells items apart.
    """
    wanted = name or item.id
    if item.attempt == 1:
        name = safe_name(wanted, item.id, telling=telling)
    else:
        name = safe_name(f"{wanted}-attempt{item.attempt}", f"{item.id}\0{item.attempt}", telling=False)
    return f"images/{int(str(item.detail['index'])) // PER_FOLDER:04}/{name}"


@attrs.frozen
class Target:
    """Where an item's images go.

    Attributes:
        path: The file's whole name, or a name without the extension, which then follows from the bytes.
        exact: Whether the name is kept as it is.
        overwrite: Whether a file of that name may be replaced.
    """

    path: Path
    exact: bool = False
    overwrite: bool = False

    @property
    def taken(self) -> bool:
        """Whether a file stands there that may not be replaced."""
        if self.overwrite:
            return False
        paths = [self.path] if self.exact else [self.path.with_name(f"{self.path.name}.{kind}") for kind in EXTENSIONS]
        return any(path.exists() for path in paths)

    def numbered(self, number: int) -> Target:
        """Return the target of a task's image *number*, counted from 1: "x", "x.2", "x.3"."""
        if number == 1:
            return self
        suffix = self.path.suffix if self.exact else ""
        stem = self.path.name.removesuffix(suffix)
        return attrs.evolve(self, path=self.path.with_name(f"{stem}.{number}{suffix}"))


def target_at(place: str | os.PathLike[str], name: str, *, overwrite: bool) -> Target:
    """Return *place* if it is a file's name, or a target called *name* in it if it is a folder."""
    path = Path(place)
    if os.fspath(place).endswith(os.sep) or path.is_dir():
        return Target(path / safe_name(name or "image", name), overwrite=overwrite)
    return Target(path, exact=True, overwrite=overwrite)


def target_for(
    save_to: str | os.PathLike[str] | Callable[[ImageRequest], os.PathLike[str]] | None,
) -> Callable[[Item], Target] | None:
    """Return what gives each item its target: a folder's files are named after the items' ids."""
    if save_to is None:
        return None
    if not callable(save_to):
        folder = Path(save_to)
        return lambda item: Target(folder / safe_name(item.id, item.id))
    place = save_to

    def target(item: Item) -> Target:
        assert item.request is not None
        return Target(Path(place(item.request)))

    return target
