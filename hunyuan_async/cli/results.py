"""results.jsonl: the latest attempt of every item of a run, written anew from its journal."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.cli.result_lines import ResultLine, result_line
from hunyuan_async.settings import Service

FILE_NAME = "results.jsonl"


def write_results(reader: JournalReader, run: str, out_dir: Path, service: Service) -> None:
    """Replace the results of a run in one step, by a line for each of its items in the order of planning.

    The file is for its owner alone: it holds prompts, and addresses that may be signed.

    Raises:
        OSError: The disk is full, for example; the results stay as they were.
        JournalError: The journal cannot be read; likewise.
    """
    # A runner that ends and `hunyuan report` may write at once: each has a file of its own, which is made private.
    with tempfile.NamedTemporaryFile(dir=out_dir, prefix=f".{FILE_NAME}-", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.writelines(encoded(result_line(item, out_dir, service)) for item in reader.latest(run))
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(out_dir / FILE_NAME)
        finally:
            temporary.unlink(missing_ok=True)


def encoded(line: ResultLine) -> bytes:
    """Write a line; it ends as lines do."""
    # A lone surrogate becomes an escape that JSON reads back.
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace") + b"\n"
