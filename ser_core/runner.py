"""The runner: cells become Runs, resumable by seed and fold."""

import functools
import hashlib
import os
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

from ser_core import corpora, dialogues, features, fitting, fusion, runs, store
from ser_core.cells import AnyCell, Cell, FusionCell, TrainingCell, division
from ser_core.errors import SerError
from ser_core.experiments import Experiment
from ser_core.recipes import Recipe


@functools.lru_cache(maxsize=16)
def data_hash(corpus: str, extractor: str) -> str:
    """Return 16 hex digits of what a corpus gives a Run: features and their names, and who says what in which clip."""
    table = features.load(corpus, extractor)
    facts = corpora.table(corpus).loc[table.index, ["speaker", "gender", "emotion", "sentence", "session", "split"]]
    digest = hashlib.sha256("\n".join([*table.columns, facts.to_csv(na_rep="?")]).encode())
    if extractor in features.WORDS:
        digest.update(table.to_csv().encode())
    else:
        digest.update(np.ascontiguousarray(table.to_numpy("float32")).tobytes())
    return digest.hexdigest()[:16]


def audio_hash(corpus: str) -> str:
    """Return 16 hex digits of what a corpus gives a network: what is heard in each clip, and who says what in it."""
    table = corpora.table(corpus)
    facts = table[["sha256", "speaker", "gender", "emotion", "sentence", "session", "split"]]
    return hashlib.sha256(facts.to_csv(na_rep="?").encode()).hexdigest()[:16]


def text_hash(corpus: str, recipe: Recipe) -> str:
    """Return 16 hex digits of what a network reads of each clip of a corpus."""
    read = dialogues.texts(corpus, recipe.context, recipe.words)
    return store.digest(sorted(read.items()))


def data_of(cell: AnyCell) -> str:
    """Return the digest of the data that a cell is trained on."""
    if isinstance(cell, FusionCell):
        return store.digest([_member(cell, member) for member in cell.members])
    if isinstance(cell, TrainingCell):
        names = (cell.corpus, *cell.recipe.extra)
        found = [audio_hash(corpus) for corpus in names]
        if cell.recipe.reads:
            found += [text_hash(corpus, cell.recipe) for corpus in names]
        return store.digest(found) if len(found) > 1 else found[0]
    if cell.test_features:
        return store.digest([data_hash(cell.corpus, name) for name in (cell.features, cell.test_features)])
    return data_hash(cell.corpus, cell.features)


def _member(cell: FusionCell, member: str) -> str:
    """Return the digest of what a fusion takes from a member: the key of a Run, or the features."""
    if member.count("/") == 2:
        return data_hash(cell.corpus, member.split("/")[0])
    return runs.info(member)["key"]


def code_of(cell: AnyCell) -> str:
    """Return the digest of the code that decides a cell's predictions."""
    if isinstance(cell, Cell):
        return runs.code_hash()
    if isinstance(cell, FusionCell):
        return runs.code_hash(("fusion", *runs.PREDICTING))
    recipe = cell.recipe
    others = ["augmentation"] if recipe.augmentation else []
    others += ["multimodal"] if recipe.text else []
    others += ["dialogues"] if recipe.reads else []
    modules = dict.fromkeys(module for name in (recipe.encoder, recipe.text) if name for module in _modules(name))
    return runs.code_hash((*runs.TRAINING, *(f"encoders/{module}" for module in modules), *others))


def _modules(encoder: str) -> tuple[str, ...]:
    """Return the modules of an encoder."""
    own = {"byol-s": ("byol",), **dict.fromkeys(SPECTROGRAM_NETWORKS, ("spectrogram",)), "minilm": ("text", "hub")}
    return own.get(encoder, ("text", "hub") if encoder.startswith("text:") else ("hub",))


@functools.lru_cache(maxsize=1024)
def folds_hash(cell: AnyCell) -> str:
    """Return 16 hex digits of who is trained on and who is tested, in all seeds and folds of a cell."""
    digest = hashlib.sha256()
    for seed in cell.seeds:
        digest.update(division(cell, seed)[["fold", "role", "clip"]].to_csv(index=False).encode())
    return digest.hexdigest()[:16]


def key(cell: AnyCell) -> str:
    """Return the digest of all that decides a cell's predictions: cell, folds, data and code."""
    return store.digest(asdict(cell), folds_hash(cell), data_of(cell), code_of(cell))


# Kept here by name, so that a key can be made without torch.
SPECTROGRAM_NETWORKS = ("vgg16-mel", "mobilenet-jet", "cnn1d-librosa94")


def _part(experiment: str, cell: AnyCell, seed: int, fold: int, cell_key: str) -> Path:
    return runs.folder(experiment, cell.system) / ".parts" / f"{cell_key}-{seed}-{fold}.parquet"


def _writes() -> bool:
    """Return whether this is the only process or, under ``accelerate launch``, the one of them that writes."""
    return os.environ.get("RANK", "0") == "0"


def _run_part(experiment: str, cell: AnyCell, seed: int, fold: int, cell_key: str) -> None:
    """Fit one fold and keep its predictions; the file appears whole or not at all."""
    from sklearn.exceptions import ConvergenceWarning

    start, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        if isinstance(cell, TrainingCell):
            from ser_core import training

            path = _part(experiment, cell, seed, fold, cell_key).with_suffix("")
            predictions, facts = training.fit_fold(cell, seed, fold, folder=path)
            if _writes():
                shutil.rmtree(path, ignore_errors=True)
        else:
            predictions, facts = (fusion if isinstance(cell, FusionCell) else fitting).fit_fold(cell, seed, fold)
    facts["converged"] = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    facts["seconds"] = round(time.perf_counter() - start, 3)
    facts["cpu_seconds"] = round(time.process_time() - cpu, 3)
    facts["peak_memory_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    if _writes():
        store.write_parquet(predictions, _part(experiment, cell, seed, fold, cell_key), facts)


def pending(experiment: Experiment, only: str = "") -> Iterator[tuple[AnyCell, str]]:
    """Yield the cells whose Run is missing or was made from another cell, other data or other code, with their key."""
    for cell in experiment.cells:
        if only not in cell.system:
            continue
        cell_key = key(cell)
        if (runs.folder(experiment.name, cell.system) / "run.json").is_file():
            if runs.info(f"{experiment.name}/{cell.system}")["key"] == cell_key:
                continue
        yield cell, cell_key


def _steps(cell: AnyCell) -> list[tuple[int, int]]:
    """Return every (seed, fold) of a cell."""
    return [(seed, fold) for seed in cell.seeds for fold in sorted(division(cell, seed)["fold"].unique().tolist())]


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
    return [_assemble(experiment, cell, cell_key) for cell, cell_key in todo] if _writes() else []


def _assemble(experiment: Experiment, cell: AnyCell, cell_key: str) -> Path:
    """Join the parts of a cell into a Run and remove them."""
    tables, facts = [], []
    for seed, fold in _steps(cell):
        path = _part(experiment.name, cell, seed, fold, cell_key)
        tables.append(store.read_parquet(path))
        facts.append({"seed": seed, "fold": fold, **store.read_metadata(path)})
    predictions, others = pd.concat(tables, ignore_index=True), {}
    if "part" in predictions:
        others = {name: _own(rows.drop(columns="part")) for name, rows in predictions.groupby("part")}
        predictions = others.pop("test").reset_index(drop=True)
    columns = [name for name in predictions if name.startswith(runs.PROBABILITY)]
    # A class that a fold's training part lacks has probability 0 there.
    predictions[columns] = predictions[columns].fillna(0.0)
    notes = []
    if lost := int(((predictions[columns].sum(axis=1) - 1).abs() > 1e-3).sum()) if columns else 0:
        # Naive Bayes divides zero by zero where every class is impossible; its answers stand, its confidence does not.
        predictions = predictions.drop(columns=columns)
        notes.append(f"probabilities left out: {lost} clips have none that sum to 1")
    measured = {
        "device": f"{'/'.join(sorted({fact.pop('device', 'cpu') for fact in facts}))}, {platform.machine()}",
        "seconds": round(sum(fact.pop("seconds") for fact in facts), 3),
        "cpu_seconds": round(sum(fact.pop("cpu_seconds", 0.0) for fact in facts), 3),
        "peak_memory_mib": max(fact.pop("peak_memory_mib") for fact in facts),
    }
    info = {
        "experiment": experiment.name,
        "question": experiment.question,
        "cell": asdict(cell),
        "key": cell_key,
        "code": code_of(cell),
        "data": data_of(cell),
        "divisions": folds_hash(cell),
        "versions": runs.versions(),
        "folds": facts,
        "notes": notes,
        "measured": measured,
    }
    path = runs.write(runs.Run(experiment.name, cell.system, predictions, info, others))
    shutil.rmtree(path / ".parts")
    return path


def _own(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return a part's predictions without the probabilities that only other parts have."""
    columns = [name for name in predictions if name.startswith(runs.PROBABILITY)]
    return predictions.drop(columns=[name for name in columns if predictions[name].isna().all()])
