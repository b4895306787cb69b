"""What building the book again costs where `make book` was run: nothing changed, a chapter, a module, cold.

    python benchmarks/build.py nothing                         some seconds
    python benchmarks/build.py nothing own chapter module cold all of it, about half an hour of two cores

Seconds are those of the processor, so that they depend little on what else the machine does. `own` is what
``jupyter-book build`` does with its own cache when nothing changed; it does not look at stores and package.
"""

import argparse
import contextlib
import functools
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from measuring import Clock, processor

from ser_core import files, paths

CHAPTER, MODULE = Path("notebooks/92_benchmarks.md"), Path("ser_core/errors.py")
BOOK = ["make", "--quiet", "book", f"VENV={sys.prefix}"]
OWN = [str(Path(sys.prefix) / "bin/jupyter-book"), "build", ".", "--quiet"]


@contextlib.contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextlib.contextmanager
def _with_more(path: Path, line: str) -> Iterator[None]:
    """Change a file, and change it back: what is older than its content counts, not than its time."""
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\n{line}\n", encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _removed() -> Iterator[None]:
    for folder in ("_build", "book/chapters"):
        shutil.rmtree(folder, ignore_errors=True)
    yield


STEPS = {
    "nothing": ("nothing changed", _as_it_is, BOOK),
    "own": ("nothing changed, by jupyter-book's own cache", _as_it_is, OWN),
    "chapter": ("one chapter changed", functools.partial(_with_more, CHAPTER, "One more."), BOOK),
    "module": ("a module of the package changed", functools.partial(_with_more, MODULE, "# One more."), BOOK),
    "cold": ("cold", _removed, BOOK),
}


def main() -> None:
    """Measure the steps that are named and add them to results/benchmarks/build.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", nargs="+", choices=STEPS)
    parser.add_argument("--turns", type=int, default=3, help="of those that change nothing")
    parser.add_argument("--out", type=Path, default=paths.results() / "benchmarks/build.json")
    given = parser.parse_args()
    found = json.loads(given.out.read_text())["steps"] if given.out.is_file() else {}
    for name in given.steps:
        what, change, words = STEPS[name]
        clocks = []
        for _ in range(given.turns if name in ("nothing", "own") else 1):
            with change(), Clock() as clock:
                subprocess.run(words, check=True)
            clocks.append(clock)
        middle = {key: statistics.median(getattr(clock, key) for clock in clocks) for key in ("cpu", "wall")}
        found[name] = {"what": what, "cpu_s": round(middle["cpu"], 1), "wall_s": round(middle["wall"], 1)}
        found[name] |= {"turns": len(clocks), "measured_on": datetime.now(UTC).date().isoformat()}
        print(name, found[name], flush=True)
        files.write_json({"steps": found, "machine": {"cpu": processor()}}, given.out)


if __name__ == "__main__":
    main()
