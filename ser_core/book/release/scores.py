"""The table of scores that a release carries: one row a Run, computed from its predictions and from nothing else."""

import json
from pathlib import Path

import pandas as pd

from ser_core import files
from ser_core.errors import SerError
from ser_core.evaluation import metrics, predictions

PATH = "tables/runs.csv"
"""Where the table is in a bundle."""


def table(results: Path) -> str:
    """Return the scores of every Run as CSV, always the same text for the same predictions.

    Args:
        results: A folder of results, with ``runs/<experiment>/<system>/`` in it.

    Returns:
        One row a Run, sorted: its name, clips, speakers, seeds and classes; UAR, accuracy, macro and weighted F1 in
        [0, 1], each the mean over seeds, to six decimals.

    Raises:
        SerError: If there are no Runs, or one's facts or predictions are not valid, or the predictions are not those
            that its ``run.json`` records.
    """
    rows = []
    for stamp in sorted((results / "runs").glob("*/*/run.json")):
        name = f"{stamp.parent.parent.name}/{stamp.parent.name}"
        check_tables(stamp)
        found = metrics.scores(predictions.load(stamp.parent / "predictions.parquet"))
        counts = {key: found[f"n_{key}"] for key in ("clips", "speakers", "seeds", "classes")}
        rows.append({"run": name} | counts | {key: f"{found[key]:.6f}" for key in metrics.METRICS})
    if not rows:
        raise SerError(f"{results / 'runs'}: no Runs; each is a folder with run.json and predictions.parquet")
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def check_tables(stamp: Path) -> None:
    """Raise unless the tables beside a ``run.json`` are those that it records.

    Args:
        stamp: The ``run.json``.

    Raises:
        SerError: If it is no JSON object with ``tables``, or a table is missing or another.
    """
    try:
        recorded = json.loads(stamp.read_text(encoding="utf-8"))["tables"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SerError(f"{stamp}: expected a JSON object with 'tables', the sha256 of each ({error})") from error
    for table_name, expected in recorded:
        path = stamp.parent / f"{table_name}.parquet"
        if not path.is_file():
            raise SerError(f"{path}: no such file, which its run.json records")
        if files.sha256(path) != expected:
            raise SerError(f"{path}: not the table that its run.json records")
