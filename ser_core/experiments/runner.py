"""The runner: systems become Runs, resumable by seed and fold."""

import contextlib
import os
import platform
import resource
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from filelock import Timeout

from ser_core import files
from ser_core.errors import SerError
from ser_core.experiments import keys, runs, specs
from ser_core.experiments.configuration import Experiment
from ser_core.experiments.fitting import fit_fold
from ser_core.experiments.fold import steps
from ser_core.experiments.specs import ClassicalSystem, NetworkSystem, System
from ser_core.systems import workers

TOLERANCES = {
    # A solver stops an iteration earlier or later; on 6,373 features that moves a probability by two hundredths, and
    # two of the 120 clips of a fold to another class.
    "classical": {"answers": 0.03, "probability": 0.05},
    "fusion": {"answers": 0.03, "probability": 0.05},
    # Its training amplifies the last bit: on 6,373 features, 37 of the 260 clips of a fold got another class.
    "perceptron": {"answers": 0.2, "probability": 0.9},
    # Training in bfloat16 goes other ways on a processor without it; two seeds disagree about twice as often as this.
    "network": {"answers": 0.08, "probability": 0.75},
}
"""How far a fold that is fitted again may be from the recorded one on another processor, by kind of system.

``answers`` is the share of its clips that may get another class, ``probability`` the largest change of a probability.
"""


LEFT_OUT = "probabilities left out"
"""How a note of a Run begins whose system gives probabilities that are none."""


def kind_of(system: System) -> str:
    """Return ``classical``, ``perceptron`` (a classical system that is one), ``network`` or ``fusion``."""
    if isinstance(system, ClassicalSystem):
        return "perceptron" if system.model.endswith("mlp") else "classical"
    return "network" if isinstance(system, NetworkSystem) else "fusion"


def _part(experiment: str, system: System, seed: int, fold: int, key: str) -> Path:
    # With the code, so that no Run is joined from parts that were made by different code.
    made_by = files.digest(key, keys.code_of(system))
    return _parts(experiment, system) / f"{made_by}-{seed}-{fold}.parquet"


def _parts(experiment: str, system: System) -> Path:
    """Return the folder of what a Run is made of, which is there as long as the Run is not whole."""
    return runs.folder(experiment, system.folder) / ".parts"


def _writes() -> bool:
    """Return whether this is the only process or, under ``accelerate launch``, the one of them that writes."""
    return os.environ.get("RANK", "0") == "0"


def _run_part(experiment: str, system: System, seed: int, fold: int, key: str) -> None:
    """Fit one fold and keep its predictions; the file appears whole or not at all."""
    from sklearn.exceptions import ConvergenceWarning

    start, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        path = _part(experiment, system, seed, fold, key).with_suffix("")
        predictions, facts = fit_fold(system, seed, fold, path)
        if _writes():
            shutil.rmtree(path, ignore_errors=True)
    facts["converged"] = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    facts["seconds"] = round(time.perf_counter() - start, 3)
    facts["cpu_seconds"] = round(time.process_time() - cpu, 3)
    facts["peak_memory_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    if _writes():
        files.write_parquet(predictions, _part(experiment, system, seed, fold, key), facts)


def pending(
    experiment: Experiment, only: str = "", systems: Sequence[str] = (), note: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[System, str]]:
    """Yield the systems whose Run is missing, damaged, or of another system, division, data or label mapping.

    Args:
        experiment: From `ser_core.experiments.configuration.load`.
        only: Only the systems whose name contains this.
        systems: Only the systems of these names.
        note: Called with a line for each Run that is there and is to be made again, which says why.

    Yields:
        Each system with its key.

    Raises:
        SerError: If data of a system is not there.
    """
    for system in experiment.systems:
        if only not in system.folder or (systems and system.folder not in systems):
            continue
        name, here = f"{experiment.name}/{system.folder}", keys.identity(system)
        if (runs.folder(experiment.name, system.folder) / "run.json").is_file():
            reason = outdated(name, here)
            if reason is None:
                continue
            note(f"{name} is made again: {reason}")
        yield system, here["key"]


def outdated(name: str, here: dict) -> str | None:
    """Return why a committed Run is not the one that its experiment asks for; None if it is.

    Args:
        name: ``<experiment>/<system>``.
        here: The identity of the system, see `ser_core.experiments.keys.identity`.
    """
    try:
        info = runs.info(name)
        for table in sorted({"predictions", *info["tables"]}):
            runs.check_table(name, table, info)
        # As systems, so that a setting that was added since has the value it had before there was a choice.
        was = {**{field: info.get(field) for field in here}, "cell": specs.read(info["cell"])}
    except SerError as error:
        return str(error)
    now = {**here, "cell": specs.read(here["cell"])}
    changed = [field for field in ("cell", "divisions", "data", "labels") if was[field] != now[field]]
    words = {"cell": "its settings", "divisions": "its folds", "data": "its data", "labels": "its label mapping"}
    if changed:
        return f"{' and '.join(words[field] for field in changed)} changed since"
    if info.get("key") != keys.key(info):
        return f"its key {info.get('key')} is not the digest of what it records, {keys.key(info)}"
    return None


@contextlib.contextmanager
def _held(names: Sequence[str], note: Callable[[str], None]) -> Iterator[None]:
    """Keep other processes from making these Runs at the same time; wait for those that do."""
    with contextlib.ExitStack() as stack:
        for name in sorted(names):
            lock = files.lock(name)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                note(f"waiting for another 'ser run' that makes {name}")
                lock.acquire()
            stack.callback(lock.release)
        yield


def run(
    experiment: Experiment,
    *,
    only: str = "",
    systems: Sequence[str] = (),
    jobs: int = -1,
    progress: bool = True,
    note: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Make the Runs of an experiment that are not there yet; folds already fitted are not fitted again.

    Args:
        experiment: From `ser_core.experiments.configuration.load`.
        only: Only the systems whose name contains this.
        systems: Only the systems of these names.
        jobs: Processes; -1 is one per core.
        progress: Show a progress bar on standard error.
        note: Called with a line for each Run that is made again, or is being made by another process, which is
            waited for.

    Returns:
        The folders of the Runs that were made.

    Raises:
        SerError: If ``only`` or a name matches no system, or a fold cannot be fitted.
    """
    import joblib
    from tqdm import tqdm

    there = [system.folder for system in experiment.systems]
    if only and not any(only in system for system in there):
        raise SerError(f"no system of '{experiment.name}' contains '{only}'; the first is '{there[0]}'")
    if unknown := sorted(set(systems) - set(there)):
        raise SerError(f"no system of '{experiment.name}' is called '{unknown[0]}'; the first is '{there[0]}'")
    waiting = {system.folder for system, _ in pending(experiment, only, systems)}
    # What was killed after it had written a Run left the parts that it is made of.
    left = {system.folder for system in experiment.systems if _parts(experiment.name, system).is_dir()}
    chosen = {name for name in there if only in name and (not systems or name in systems)}
    names = [f"{experiment.name}/{name}" for name in waiting | (left & chosen)]
    with _held(names, note) if _writes() else contextlib.nullcontext():
        todo = list(pending(experiment, only, systems, note))
        for system in experiment.systems if _writes() else ():
            if system.folder in left & chosen - {one.folder for one, _ in todo}:
                shutil.rmtree(_parts(experiment.name, system), ignore_errors=True)
        tasks = [
            (experiment.name, system, seed, fold, key)
            for system, key in todo
            for seed, fold in steps(system)
            if not _part(experiment.name, system, seed, fold, key).is_file()
        ]
        with workers.pool(jobs):
            done = joblib.Parallel(return_as="generator_unordered")(joblib.delayed(_run_part)(*task) for task in tasks)
            for _ in tqdm(done, total=len(tasks), desc=experiment.name, unit="fold", disable=not progress):
                pass
        return [_assemble(experiment, system, key) for system, key in todo] if _writes() else []


def _assemble(experiment: Experiment, system: System, key: str) -> Path:
    """Join the parts of a system into a Run and remove them."""
    tables, facts = [], []
    for seed, fold in steps(system):
        path = _part(experiment.name, system, seed, fold, key)
        tables.append(files.read_parquet(path))
        facts.append({"seed": seed, "fold": fold, **files.read_metadata(path)})
    predictions, others = split_parts(pd.concat(tables, ignore_index=True))
    columns = [name for name in predictions if name.startswith(runs.PROBABILITY)]
    # A class that a fold's training part lacks has probability 0 there.
    predictions[columns] = predictions[columns].fillna(0.0)
    notes = []
    if lost := int(((predictions[columns].sum(axis=1) - 1).abs() > 1e-3).sum()) if columns else 0:
        # Naive Bayes divides zero by zero where every class is impossible; its answers stand, its confidence does not.
        predictions = predictions.drop(columns=columns)
        notes.append(f"{LEFT_OUT}: {lost} clips have none that sum to 1")
    measured = {
        "device": f"{'/'.join(sorted({fact.pop('device', 'cpu') for fact in facts}))}, {platform.machine()}",
        "seconds": round(sum(fact.pop("seconds") for fact in facts), 3),
        "cpu_seconds": round(sum(fact.pop("cpu_seconds", 0.0) for fact in facts), 3),
        "peak_memory_mib": max(fact.pop("peak_memory_mib") for fact in facts),
    }
    info = {
        "experiment": experiment.name,
        "question": experiment.question,
        **keys.identity(system),
        "code": keys.code_of(system),
        "versions": runs.versions(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "tolerance": TOLERANCES[kind_of(system)],
        "folds": facts,
        "notes": notes,
        "measured": measured,
    }
    path = runs.write(runs.Run(experiment.name, system.folder, predictions, info, others))
    shutil.rmtree(path / ".parts")
    return path


def split_parts(predictions: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return the predictions of the test part, and those of every other part by its name.

    Args:
        predictions: From `fit_fold`, of one fold or several.
    """
    if "part" not in predictions:
        return predictions, {}
    others = {name: _own(rows.drop(columns="part")) for name, rows in predictions.groupby("part")}
    return others.pop("test").reset_index(drop=True), others


def _own(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return a part's predictions without the probabilities that only other parts have."""
    columns = [name for name in predictions if name.startswith(runs.PROBABILITY)]
    return predictions.drop(columns=[name for name in columns if predictions[name].isna().all()])
