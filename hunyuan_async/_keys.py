"""Where the API key comes from."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

import attrs

from hunyuan_async.errors import InvalidRequest
from hunyuan_async.settings import ApiKey

KEY_VARIABLE = "HUNYUAN_API_KEY"
FILE_VARIABLE = "HUNYUAN_API_KEY_FILE"
BASE_URL_VARIABLE = "HUNYUAN_BASE_URL"


@attrs.frozen
class FoundKey:
    """A key, and in words where it was found."""

    key: ApiKey
    source: str


def find_key(environment: Mapping[str, str], config_file: Path | None = None) -> FoundKey | None:
    """Look for a key in the environment, in the file that it names, and in *config_file*, in this order.

    Raises:
        InvalidRequest: A key file cannot be read, or others can read it.
    """
    if key := environment.get(KEY_VARIABLE, "").strip():
        return FoundKey(ApiKey(key), f"the environment variable {KEY_VARIABLE}")
    if name := environment.get(FILE_VARIABLE, ""):
        return FoundKey(_read(Path(name)), f"the file that {FILE_VARIABLE} names")
    if config_file and config_file.exists():
        return FoundKey(_read(config_file), f"the config file {config_file}")
    return None


def _read(path: Path) -> ApiKey:
    try:
        text = path.read_text(encoding="ascii").strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it holds more than plain ASCII"
        raise InvalidRequest(f"The key file {path} cannot be read: {problem}.") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidRequest(f"Others can read the key file {path}. Run: chmod 600 {path}")
    if not text:
        raise InvalidRequest(f"The key file {path} is empty.")
    return ApiKey(text)
