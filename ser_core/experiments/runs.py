"""Runs: per-clip predictions and the facts of how they were made, written whole, read checked."""

import functools
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ser_core import files, paths
from ser_core.errors import SerError
from ser_core.evaluation import predictions
from ser_core.evaluation.metrics import PROBABILITY
from ser_core.evaluation.predictions import COLUMNS, arrange

IDENTITY = ("cell", "divisions", "data", "labels", "key")
"""Fields of ``run.json`` that make a Run the Run it is, see `ser_core.experiments.keys.identity`."""


@dataclass(frozen=True)
class Run:
    """Predictions of one system in one experiment, and what made them.

    Attributes:
        experiment: Name of the experiment.
        system: Name of the system within it.
        predictions: One row per (seed, clip): `COLUMNS`, then one ``p_<class>`` column per class if the system
            gives probabilities.
        info: Content of ``run.json``.
        others: Further tables by name, for what was predicted beside the test parts: ``dev``, ``speakers-before`` and
            ``speakers-after`` (truth and prediction are speakers there).
    """

    experiment: str
    system: str
    predictions: pd.DataFrame
    info: dict
    others: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``<experiment>/<system>``."""
        return f"{self.experiment}/{self.system}"


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions that decide predictions: Python and the numerical libraries."""
    from importlib.metadata import version

    names = ("ser-core", "numpy", "scipy", "pandas", "scikit-learn", "lightgbm", "xgboost-cpu", "xgboost")
    names += ("torch", "torchaudio", "torchvision", "transformers", "accelerate", "peft")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except ImportError:
            continue
    return found


def folder(experiment: str, system: str) -> Path:
    """Return where a Run is, or would be."""
    for name in (experiment, system):
        if name in (".", "..") or "/" in name or "\\" in name:
            raise SerError(f"'{name}' is a path; expected the name of an experiment or of a system")
    return paths.results() / "runs" / experiment / system


def write(run: Run) -> Path:
    """Write a Run, predictions first: a folder with ``run.json`` is complete.

    ``run.json`` gets the sha256 of each table under ``tables``, by which `read` notices that one was changed. A Run
    that is there already and has the same identity and the same tables keeps its ``run.json``: what it records is of
    the day on which the predictions were first made.

    Returns:
        Its folder.
    """
    path = folder(run.experiment, run.system)
    tables = {"predictions": arrange(run.predictions)} | {name: _other(table) for name, table in run.others.items()}
    for name, table in tables.items():
        files.write_parquet(table, path / f"{name}.parquet")
    sums = {name: files.sha256(path / f"{name}.parquet") for name in tables}
    try:
        there = info(run.name)
    except SerError:
        there = {}
    made = json.loads(json.dumps({name: run.info.get(name) for name in IDENTITY}))
    if there.get("tables") != sums or made != {name: there.get(name) for name in IDENTITY}:
        files.write_json(run.info | {"tables": sums}, path / "run.json")
    return path


def read(run: str) -> Run:
    """Read a Run.

    Args:
        run: Its name, ``<experiment>/<system>``.

    Raises:
        SerError: If it is not there, not valid, or its predictions are others than those that were recorded; the
            message says how to make it.
    """
    facts = info(run)
    check_table(run, "predictions", facts)
    return Run(*run.split("/"), predictions.load(folder(*run.split("/")) / "predictions.parquet"), facts)


def check_table(run: str, name: str, facts: dict | None = None) -> None:
    """Raise unless a table of a Run is, byte for byte, the one that its ``run.json`` records.

    Args:
        run: Name of the Run, ``<experiment>/<system>``.
        name: ``predictions``, or another of its tables, see `Run.others`.
        facts: Its `info`, if that was read already.

    Raises:
        SerError: If the table is missing or its sha256 is another.
    """
    facts = info(run) if facts is None else facts
    path = folder(*run.split("/")) / f"{name}.parquet"
    again = f"make it again with: {how_to_make(run)}"
    if not path.is_file():
        raise SerError(f"{path}: no such file, which its run.json records; {again}")
    expected, found = facts["tables"].get(name), files.sha256(path)
    if found != expected:
        raise SerError(
            f"{path}: sha256 {found[:16]}, recorded {str(expected)[:16]}: changed since it was made; {again}"
        )


def how_to_make(run: str) -> str:
    """Return the command that makes a Run.

    Examples:
        >>> how_to_make("ladder/emodb.clip.egemaps.svm-linear.train")
        'ser run experiments/ladder.yaml --system emodb.clip.egemaps.svm-linear.train'
    """
    experiment, _, system = run.partition("/")
    return f"ser run experiments/{experiment}.yaml" + (f" --system {system}" if system else "")


def info(run: str) -> dict:
    """Return the content of a Run's ``run.json``, without its predictions.

    Args:
        run: Its name, ``<experiment>/<system>``.

    Raises:
        SerError: If it is not there or not readable; the message says how to make it.
    """
    experiment, _, system = run.partition("/")
    path = folder(experiment, system) / "run.json"
    if not path.is_file():
        raise SerError(f"no Run '{run}'; make it with: {how_to_make(run)}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SerError(f"{path}: not valid JSON ({error}); delete it and use: {how_to_make(run)}") from error
    if not isinstance(found, dict) or not isinstance(found.get("tables"), dict):
        raise SerError(
            f"{path}: expected a JSON object with 'tables', the facts of a Run; delete it and use: {how_to_make(run)}"
        )
    return found


def other(run: str, name: str) -> pd.DataFrame:
    """Return a further table of a Run, see `Run.others`.

    Args:
        run: Name of the Run, ``<experiment>/<system>``.
        name: Name of the table.

    Returns:
        The columns `COLUMNS` and the probabilities, sorted by seed, fold and clip.

    Raises:
        SerError: If the Run has none of this name, or it was changed.
    """
    facts = info(run)
    if name not in facts["tables"]:
        raise SerError(f"Run '{run}' has no table '{name}'; it has {sorted(facts['tables'])}")
    check_table(run, name, facts)
    return files.read_parquet(folder(*run.split("/")) / f"{name}.parquet")


def _other(table: pd.DataFrame) -> pd.DataFrame:
    """Return a further table in the one order that is stored; several folds may have a clip in their dev part."""
    columns = [name for name in table if name.startswith(PROBABILITY)]
    table = table[[*COLUMNS, *sorted(columns)]].astype({"fold": "int32", "seed": "int32"})
    return table.sort_values(["seed", "fold", "clip"], ignore_index=True)


def names(experiment: str | None = None) -> list[str]:
    """Return the names of the committed Runs, ``<experiment>/<system>``, sorted; they need not be readable.

    Args:
        experiment: Only this experiment's; all if None.

    Raises:
        SerError: If there are none, or the name is a path or a pattern.
    """
    root = paths.results() / "runs"
    if experiment and (experiment in (".", "..") or set(experiment) & set("/\\*?[")):
        raise SerError(f"'{experiment}' is no name of an experiment; expected one of the folders in {root}")
    there = sorted(root.glob(f"{experiment or '*'}/*/run.json"))
    if not there:
        raise SerError(f"no Runs under {root / (experiment or '')}; make them with: ser run experiments/<name>.yaml")
    return [f"{path.parent.parent.name}/{path.parent.name}" for path in there]


def find(experiment: str, **fields: object) -> str:
    """Return the name of the one Run of an experiment whose system has these settings.

    Args:
        experiment: Name of the experiment.
        **fields: Fields of the resolved system with their values, such as ``corpus="emodb", model="logreg"``. What
            tells no two of its Runs apart may be left out.

    Returns:
        ``<experiment>/<system>``.

    Raises:
        SerError: If no Run has these settings, or several have; it says which settings there are.

    Examples:
        >>> find("ladder", corpus="emodb", protocol="speaker", features="egemaps")
        'ladder/emodb.speaker.egemaps.svm-linear.train'
    """
    found = _catalogue(experiment, _stamps(experiment))
    if unknown := sorted(set(fields) - set(found)):
        raise SerError(f"Runs of '{experiment}' have no field {unknown}; they have {sorted(found)}")
    asked = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    for name, value in fields.items():
        there = found[name].drop_duplicates().tolist()
        found = found[found[name].map(lambda one, value=value: one == value)]
        if found.empty:
            raise SerError(f"no Run of '{experiment}' has {asked}; of those before, '{name}' is one of {there}")
    if len(found) > 1:
        apart = {name: found[name].map(str).unique().tolist() for name in found if found[name].map(str).nunique() > 1}
        apart = {name: values for name, values in apart.items() if name not in ("system", "run")}
        raise SerError(f"{len(found)} Runs of '{experiment}' have {asked}; they differ in {apart}")
    return f"{experiment}/{found['system'].iloc[0]}"


def _stamps(experiment: str) -> tuple[tuple[Path, tuple[int, ...]], ...]:
    """Return each Run of an experiment with the stamp of its facts."""
    paths_of = [folder(*name.split("/")) / "run.json" for name in names(experiment)]
    return tuple((path, files.stamp(path)) for path in paths_of)


@functools.lru_cache(maxsize=64)
def _catalogue(experiment: str, stamps: tuple[tuple[Path, tuple[int, ...]], ...]) -> pd.DataFrame:
    """Return `catalogue`, read once as long as no Run is written."""
    return catalogue(experiment)


def catalogue(experiment: str | None = None) -> pd.DataFrame:
    """Return the committed Runs, one row each: experiment, system, name of the Run, and the fields of the cell.

    Args:
        experiment: Only this experiment's; all if None.

    Raises:
        SerError: If there are none, or one is not readable.
    """
    rows = []
    for name in names(experiment):
        of, _, system = name.partition("/")
        if not isinstance(cell := info(name).get("cell"), dict):
            raise SerError(f"the run.json of '{name}' has no 'cell'; delete it and use: {how_to_make(name)}")
        rows.append({"experiment": of, "system": system, "run": name, **cell})
    return pd.DataFrame(rows)
