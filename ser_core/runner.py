"""The runner: cells become Runs, resumable by seed and fold."""

import functools
import hashlib
import platform
import resource
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from ser_core import corpora, features, runs, store
from ser_core.errors import SerError
from ser_core.experiments import Cell, Experiment
from ser_core.fitting import fit_fold, folds_of


@functools.lru_cache(maxsize=16)
def data_hash(corpus: str, extractor: str) -> str:
    """Return 16 hex digits of what a corpus gives a Run: feature values and names, and who says what in which clip."""
    table = features.load(corpus, extractor)
    facts = corpora.table(corpus).loc[table.index, ["speaker", "gender", "emotion", "sentence", "session", "split"]]
    digest = hashlib.sha256("\n".join([*table.columns, facts.to_csv(na_rep="?")]).encode())
    digest.update(np.ascontiguousarray(table.to_numpy("float32")).tobytes())
    return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=1024)
def folds_hash(cell: Cell) -> str:
    """Return 16 hex digits of who is trained on and who is tested, in all seeds and folds of a cell."""
    digest = hashlib.sha256()
    for seed in cell.seeds:
        digest.update(folds_of(cell, seed)[["fold", "role", "clip"]].to_csv(index=False).encode())
    return digest.hexdigest()[:16]


def key(cell: Cell) -> str:
    """Return the digest of all that decides a cell's predictions: cell, folds, data and code."""
    return store.digest(asdict(cell), folds_hash(cell), data_hash(cell.corpus, cell.features), runs.code_hash())


def _part(experiment: str, cell: Cell, seed: int, fold: int, cell_key: str) -> Path:
    return runs.folder(experiment, cell.system) / ".parts" / f"{cell_key}-{seed}-{fold}.parquet"


def _run_part(experiment: str, cell: Cell, seed: int, fold: int, cell_key: str) -> None:
    """Fit one fold and keep its predictions; the file appears whole or not at all."""
    from sklearn.exceptions import ConvergenceWarning

    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        predictions, facts = fit_fold(cell, seed, fold)
    facts["converged"] = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    facts["seconds"] = round(time.perf_counter() - start, 3)
    facts["peak_memory_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    store.write_parquet(predictions, _part(experiment, cell, seed, fold, cell_key), facts)


def pending(experiment: Experiment, only: str = "") -> Iterator[tuple[Cell, str]]:
    """Yield the cells whose Run is missing or was made from another cell, other data or other code, with their key."""
    for cell in experiment.cells:
        if only not in cell.system:
            continue
        cell_key = key(cell)
        if (runs.folder(experiment.name, cell.system) / "run.json").is_file():
            if runs.read(experiment.name, cell.system).info["key"] == cell_key:
                continue
        yield cell, cell_key


def _steps(cell: Cell) -> list[tuple[int, int]]:
    """Return every (seed, fold) of a cell."""
    return [(seed, fold) for seed in cell.seeds for fold in sorted(folds_of(cell, seed)["fold"].unique().tolist())]


def run(experiment: Experiment, *, only: str = "", jobs: int = -1, progress: bool = True) -> list[Path]:
    """Make the Runs of an experiment that are not there yet; folds already fitted are not fitted again.

    Args:
        experiment: From `ser_core.experiments.load`.
        only: Only the systems whose name contains this.
        jobs: Processes; -1 is one per core.
        progress: Show a progress bar on standard error.

    Returns:
        The folders of the Runs that were made.

    Raises:
        SerError: If ``only`` matches no system, or a fold cannot be fitted.
    """
    import joblib
    from tqdm import tqdm

    if only and not any(only in cell.system for cell in experiment.cells):
        first = experiment.cells[0].system
        raise SerError(f"no system of '{experiment.name}' contains '{only}'; the first is '{first}'")
    todo = list(pending(experiment, only))
    tasks = [
        (experiment.name, cell, seed, fold, cell_key)
        for cell, cell_key in todo
        for seed, fold in _steps(cell)
        if not _part(experiment.name, cell, seed, fold, cell_key).is_file()
    ]
    with joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1):
        done = joblib.Parallel(return_as="generator_unordered")(joblib.delayed(_run_part)(*task) for task in tasks)
        for _ in tqdm(done, total=len(tasks), desc=experiment.name, unit="fold", disable=not progress):
            pass
    return [_assemble(experiment, cell, cell_key) for cell, cell_key in todo]


def _assemble(experiment: Experiment, cell: Cell, cell_key: str) -> Path:
    """Join the parts of a cell into a Run and remove them."""
    tables, facts = [], []
    for seed, fold in _steps(cell):
        path = _part(experiment.name, cell, seed, fold, cell_key)
        tables.append(store.read_parquet(path))
        facts.append({"seed": seed, "fold": fold, **store.read_metadata(path)})
    predictions = pd.concat(tables, ignore_index=True)
    columns = [name for name in predictions if name.startswith(runs.PROBABILITY)]
    # A class that a fold's training part lacks has probability 0 there.
    predictions[columns] = predictions[columns].fillna(0.0)
    notes = []
    if lost := int(((predictions[columns].sum(axis=1) - 1).abs() > 1e-3).sum()) if columns else 0:
        # Naive Bayes divides zero by zero where every class is impossible; its answers stand, its confidence does not.
        predictions = predictions.drop(columns=columns)
        notes.append(f"probabilities left out: {lost} clips have none that sum to 1")
    measured = {
        "device": f"cpu, {platform.machine()}",
        "seconds": round(sum(fact.pop("seconds") for fact in facts), 3),
        "peak_memory_mib": max(fact.pop("peak_memory_mib") for fact in facts),
    }
    info = {
        "experiment": experiment.name,
        "question": experiment.question,
        "cell": asdict(cell),
        "key": cell_key,
        "code": runs.code_hash(),
        "data": data_hash(cell.corpus, cell.features),
        "divisions": folds_hash(cell),
        "versions": runs.versions(),
        "folds": facts,
        "notes": notes,
        "measured": measured,
    }
    path = runs.write(runs.Run(experiment.name, cell.system, predictions, info))
    shutil.rmtree(path / ".parts")
    return path
