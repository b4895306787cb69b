"""What building the book again costs where `make book` was run: nothing changed, a chapter, a module, cold.

    python benchmarks/build.py nothing                         some seconds
    python benchmarks/build.py nothing own chapter module cold all of it, about half an hour of two cores

Seconds are those of the processor, so that they depend little on what else the machine does. `own` is what
``jupyter-book build`` does with its own cache when nothing changed; it does not look at stores and package.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from measuring import Clock, processor

from ser_core import files, paths

CHAPTER, MODULE = Path("notebooks/92_benchmarks.md"), Path("ser_core/errors.py")
BOOK = (
    "snakemake --snakefile workflow/Snakefile --cores 2 --max-checksum-file-size 0 --rerun-incomplete --nolock "
    "--quiet rules host progress"
)
OWN = "jupyter_book.cli.main build . --quiet"


def _remove() -> None:
    for folder in ("_build", "book/chapters"):
        shutil.rmtree(folder, ignore_errors=True)


STEPS = {
    "nothing": ("nothing changed", lambda: None, BOOK),
    "own": ("nothing changed, by jupyter-book's own cache", lambda: None, OWN),
    "chapter": ("one chapter changed", CHAPTER.touch, BOOK),
    "module": ("a module of the package changed", MODULE.touch, BOOK),
    "cold": ("cold", _remove, BOOK),
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
            change()
            with Clock() as clock:
                subprocess.run([sys.executable, "-m", *words.split()], check=True)
            clocks.append(clock)
        middle = {key: statistics.median(getattr(clock, key) for clock in clocks) for key in ("cpu", "wall")}
        found[name] = {"what": what, "cpu_s": round(middle["cpu"], 1), "wall_s": round(middle["wall"], 1)}
        found[name] |= {"turns": len(clocks), "measured_on": datetime.now(UTC).date().isoformat()}
        print(name, found[name], flush=True)
        files.write_json({"steps": found, "machine": {"cpu": processor()}}, given.out)


if __name__ == "__main__":
    main()
