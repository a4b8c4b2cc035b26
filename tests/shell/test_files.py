"""Images on disk: whole, checked, under the right name, or not there at all."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import stat
from pathlib import Path

import pytest
from PIL import Image

from hunyuan_async._files import ImageFile
from hunyuan_async.errors import DownloadFailed
from hunyuan_async.models import SavedImage

URL = "https://images.example/1?sign=secret"


def drawn(format_name: str) -> bytes:
    """Return an image of 67 by 45 pixels."""
    target = io.BytesIO()
    Image.effect_noise((67, 45), 60).save(target, format_name)
    return target.getvalue()


PNG, WEBP = drawn("PNG"), drawn("WEBP")


def save(path: Path, data: bytes = PNG, *, exact: bool = True, overwrite: bool = False) -> SavedImage:
    """Write and commit *data* in three chunks."""
    file = ImageFile(path, exact=exact, overwrite=overwrite)
    for start in range(0, len(data), 1 + len(data) // 3):
        file.write(data[start : start + 1 + len(data) // 3])
    return file.commit(URL)


@pytest.fixture(params=["links", "no links"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on a file system with hard links, and on one without, such as FAT."""

    def refuse(*names: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("file_system")
def test_a_saved_image_is_described_by_what_is_on_disk(tmp_path: Path) -> None:
    """Hash, length and size are those of the file; directories are made; nothing else is left."""
    path = tmp_path / "a" / "b" / "koi.png"
    assert save(path) == SavedImage(path, URL, hashlib.sha256(PNG).hexdigest(), len(PNG), 67, 45)
    assert path.read_bytes() == PNG
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "exact", "kept"),
    [
        ("koi.png", True, "koi.png"),
        ("koi", True, "koi"),
        ("koi", False, "koi.webp"),
        ("sku.42", False, "sku.42.webp"),
    ],
)
def test_a_whole_name_is_kept_and_a_stem_gets_its_extension(tmp_path: Path, name: str, exact: bool, kept: str) -> None:
    """The extension follows from the bytes, never from an address."""
    assert save(tmp_path / name, WEBP, exact=exact).path == tmp_path / kept
    assert os.listdir(tmp_path) == [kept]


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("exact", [True, False])
def test_an_existing_file_is_kept_unless_asked(tmp_path: Path, exact: bool) -> None:
    """The message names it; with `overwrite` it is replaced in one step."""
    existing = tmp_path / "koi.png"
    existing.write_bytes(b"mine")
    path = existing if exact else tmp_path / "koi"
    with pytest.raises(DownloadFailed, match=r"koi\.png exists"):
        save(path, exact=exact)
    assert existing.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["koi.png"]
    save(path, exact=exact, overwrite=True)
    assert existing.read_bytes() == PNG
    assert os.listdir(tmp_path) == ["koi.png"]


def test_a_dangling_link_of_that_name_is_not_followed(tmp_path: Path) -> None:
    """Else an image could be put where somebody else wants it."""
    (tmp_path / "koi.png").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DownloadFailed, match="exists"):
        save(tmp_path / "koi.png")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("data", [b"", b"<html>sign in</html>", PNG[:-20]])
def test_what_is_no_whole_image_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    """Neither the name nor the temporary file is there afterwards."""
    with pytest.raises(DownloadFailed):
        save(tmp_path / "koi.png", data)
    assert not os.listdir(tmp_path)


def test_until_the_commit_there_is_no_file_of_that_name(tmp_path: Path) -> None:
    """Nor a directory before the first byte; discarding removes what came, as often as one likes."""
    path = tmp_path / "new" / "koi.png"
    file = ImageFile(path, exact=True, overwrite=False)
    assert not path.parent.exists()
    file.write(PNG)
    assert not path.exists()
    assert len(os.listdir(path.parent)) == 1
    file.discard()
    file.discard()
    assert not os.listdir(path.parent)


def test_a_file_follows_the_umask(tmp_path: Path) -> None:
    """Images are made to be looked at, by a web server for one."""
    before = os.umask(0o027)
    try:
        mode = stat.S_IMODE(save(tmp_path / "koi.png").path.stat().st_mode)
    finally:
        os.umask(before)
    assert mode == 0o640


def test_a_directory_that_cannot_be_made_is_a_failed_download(tmp_path: Path) -> None:
    """It says where and why in the system's words, and carries the system's error."""
    (tmp_path / "file").touch()
    with pytest.raises(DownloadFailed, match=r"File exists|Not a directory") as caught:
        save(tmp_path / "file" / "koi.png")
    assert isinstance(caught.value.__cause__, OSError)


def test_a_disk_that_takes_no_more_is_a_failed_download(tmp_path: Path) -> None:
    """The engine can tell it from a bad image by its cause."""
    file = ImageFile(tmp_path / "koi.png", exact=True, overwrite=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(DownloadFailed, match="File too large") as caught:
            file.write(PNG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(caught.value.__cause__, OSError)
    file.discard()
    assert not os.listdir(tmp_path)
