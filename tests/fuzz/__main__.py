"""Feed parsers with what atheris makes of their own branches: `python -m tests.fuzz answer`.

It needs the extra `fuzz`. Without a name, every parser gets a minute; it ends at the first input that breaks one or
takes it too long, which it keeps in a file. Further arguments are libFuzzer's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
SECONDS = 60
LONGEST = 5  # seconds for one input


def fuzz(name: str, options: list[str]) -> None:
    """Feed one parser until it breaks or the time is over."""
    import atheris

    with atheris.instrument_imports(include=["hunyuan_async", "json", "csv"]):
        from tests.fuzz.parsers import PARSERS

    atheris.Setup([sys.argv[0], *options], PARSERS[name])
    atheris.Fuzz()


def corpus() -> Path:
    """Write the samples of the service's answers where the fuzzer begins; it adds what it finds worth keeping."""
    folder = Path(".fuzz") / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES.rglob("*.json"):
        body = json.loads(sample.read_text(encoding="utf-8"))
        (folder / f"{sample.parent.name}-{sample.name}").write_text(json.dumps(body), encoding="utf-8")
    return folder


def all_of_them() -> int:
    """Feed each parser for a while, in a process of its own."""
    from tests.fuzz.parsers import PARSERS

    begin = str(corpus())
    for name in PARSERS:
        options = [f"-max_total_time={SECONDS}", f"-timeout={LONGEST}", "-max_len=4096"]
        options += ["-artifact_prefix=.fuzz/", "-verbosity=0", begin]
        code = subprocess.run([sys.executable, "-m", "tests.fuzz", name, *options], check=False).returncode
        sys.stdout.write(f"{name}: {'nothing found' if code == 0 else f'broken, exit code {code}'}\n")
        if code:
            return code
    return 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            sys.exit(all_of_them())
        case [name, *options]:
            fuzz(name, options)
