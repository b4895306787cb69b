"""What opening the committed stores costs, and what a chapter loads before its first cell.

    python benchmarks/stores.py    into results/benchmarks/stores.json; a minute

Each step runs in a process of its own; seconds are those of the processor, without imports.
"""

import argparse
import json
import sys
from pathlib import Path

from measuring import Clock, alone, processor

from ser_core import files, paths

HEAVY = ("torch", "transformers", "sklearn", "librosa", "pandera", "matplotlib", "scipy", "pyarrow")


def _runs():
    """Return the predictions of all Runs as one Arrow dataset, a partition each experiment and system."""
    import pyarrow.dataset as ds

    root = paths.results() / "runs"
    tables = sorted(map(str, root.glob("*/*/predictions.parquet")))
    names = ds.partitioning(field_names=["experiment", "system"])
    return ds.dataset(tables, partitioning=names, partition_base_dir=str(root))


def one_run() -> dict:
    """One Run of all: its name from its settings, then its predictions."""
    from ser_core.experiments import runs

    opened = []
    sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
    with Clock() as clock:
        there = len(runs.names())
        runs.read(runs.find("ladder", corpus="emodb", protocol="speaker", features="egemaps"))
    read = {name for name in opened if "/results/runs/" in name}
    return {"clock": clock, "of_runs": there, "tables_read": sum(name.endswith(".parquet") for name in read)}


def pruned() -> dict:
    """Two columns of one experiment of all, by an Arrow dataset."""
    import pyarrow.dataset as ds

    _runs().schema  # noqa: B018, imports what is imported at first use
    with Clock() as clock:
        all_runs = _runs()
        which = ds.field("experiment") == "ladder"
        table = all_runs.to_table(columns=["truth", "prediction"], filter=which)
        fragments = len(list(all_runs.get_fragments(filter=which)))
    return {"clock": clock, "rows": table.num_rows, "mib": round(table.nbytes / 2**20, 1), "tables_read": fragments}


def everything() -> dict:
    """All columns of all Runs that every Run has, for comparison."""
    _runs().schema  # noqa: B018
    with Clock() as clock:
        all_runs = _runs()
        table = all_runs.to_table()
    found = {"rows": table.num_rows, "mib": round(table.nbytes / 2**20, 1), "tables_read": len(all_runs.files)}
    return {"clock": clock, **found}


def layer() -> dict:
    """One layer of Whisper base of RAVDESS from the file of all."""
    from ser_core.systems import features

    features.load("savee", "whisper-base.layer3")
    with Clock() as clock:
        table = features.load("ravdess", "whisper-base.layer3")
    return {"clock": clock, "columns": table.shape[1]}


def layers() -> dict:
    """All layers, for comparison."""
    from ser_core.systems import features

    features.load("savee", "whisper-base")
    with Clock() as clock:
        table = features.load("ravdess", "whisper-base")
    return {"clock": clock, "columns": table.shape[1]}


def chapter() -> dict:
    """The start of a chapter: `ser_core.book.glue` and a Run's scores."""
    with Clock() as clock:
        from ser_core.book import glue  # noqa: F401
        from ser_core.experiments import scoring  # noqa: F401
    return {"clock": clock, "loaded": [name for name in HEAVY if name in sys.modules]}


STEPS = {step.__name__: step for step in (one_run, pruned, everything, layer, layers, chapter)}


def main() -> None:
    """Measure each step and write the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", choices=STEPS)
    parser.add_argument("--out", type=Path, default=paths.results() / "benchmarks/stores.json")
    given = parser.parse_args()
    if given.one:
        found = STEPS[given.one]()
        clock = found.pop("clock")
        print(json.dumps({"cpu_s": round(clock.cpu, 3), "peak_mib": round(clock.peak), **found}))
        return
    found = {}
    for name, step in STEPS.items():
        found[name] = {"what": step.__doc__.rstrip("."), **alone(__file__, "--one", name)}
        print(name, found[name], flush=True)
    files.write_json({"steps": found, "machine": {"cpu": processor()}}, given.out)


if __name__ == "__main__":
    main()
