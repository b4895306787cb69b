"""Runs: per-clip predictions and the facts of how they were made, written whole, read checked."""

import functools
import hashlib
import platform
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ser_core import metrics, store
from ser_core.errors import SerError

COLUMNS = ("clip", "speaker", "fold", "seed", "truth", "prediction")
PROBABILITY = metrics.PROBABILITY

# The modules whose code decides predictions, beside the folds and the features, which are hashed as they are.
PREDICTING = ("classical", "fitting")
TRAINING = ("training", "models", "probing", "encoders/base")


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
def code_hash(modules: tuple[str, ...] = PREDICTING) -> str:
    """Return 16 hex digits that change when code that decides predictions changes; comments do not count.

    Args:
        modules: Modules and packages, as paths under ``ser_core``.
    """
    import ast

    digest = hashlib.sha256()
    for name in modules:
        base = Path(__file__).parent / name
        for path in sorted(base.glob("*.py")) if base.is_dir() else [base.with_suffix(".py")]:
            tree = ast.parse(path.read_text())
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                    node.body[0].value.value = ""
            digest.update(ast.unparse(tree).encode())
    return digest.hexdigest()[:16]


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions that decide predictions: Python and the numerical libraries."""
    from importlib.metadata import version

    names = ("ser-core", "numpy", "scipy", "pandas", "scikit-learn", "lightgbm", "xgboost-cpu", "xgboost")
    names += ("torch", "torchaudio", "torchvision", "transformers", "accelerate")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except ImportError:
            continue
    return found


def arrange(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return valid predictions in the one order that is stored.

    Args:
        predictions: See `ser_core.metrics.validate`; speaker, fold and seed may be absent (missing, 0 and 0).

    Returns:
        The columns `COLUMNS`, then the probabilities in the order of the classes, sorted by seed and clip.

    Raises:
        SerError: If the predictions are not valid.

    Examples:
        >>> table = pd.DataFrame({"clip": ["b", "a"], "truth": ["sad", "happy"], "prediction": ["sad", "sad"]})
        >>> arrange(table)["clip"].tolist()
        ['a', 'b']
    """
    # Classes that are numbers become words, as in a CSV file.
    words = {name: "str" for name in ("clip", "speaker", "truth", "prediction") if name in predictions}
    table = metrics.validate(predictions.astype(words)).assign(
        speaker=predictions.get("speaker", pd.Series(pd.NA, index=predictions.index)).astype("str"),
        fold=predictions.get("fold", pd.Series(0, index=predictions.index)),
    )
    table = table.astype({"fold": "int32", "seed": "int32"})
    columns = [PROBABILITY + name for name in metrics.class_names(table) if PROBABILITY + name in table]
    table = table.astype(dict.fromkeys(columns, "float32"))
    return table[[*COLUMNS, *columns]].sort_values(["seed", "clip"], ignore_index=True)


def folder(experiment: str, system: str) -> Path:
    """Return where a Run is, or would be."""
    return store.results() / "runs" / experiment / system


def write(run: Run) -> Path:
    """Write a Run, predictions first: a folder with ``run.json`` is complete.

    Returns:
        Its folder.
    """
    path = folder(run.experiment, run.system)
    store.write_parquet(arrange(run.predictions), path / "predictions.parquet")
    for name, table in run.others.items():
        store.write_parquet(_other(table), path / f"{name}.parquet")
    store.write_json(run.info, path / "run.json")
    return path


def read(run: str) -> Run:
    """Read a Run.

    Args:
        run: Its name, ``<experiment>/<system>``.

    Raises:
        SerError: If it is not there or not valid; the message says how to make it.
    """
    facts = info(run)
    return Run(*run.split("/"), _arrange_file(folder(*run.split("/")) / "predictions.parquet"), facts)


def info(run: str) -> dict:
    """Return the content of a Run's ``run.json``, without its predictions.

    Args:
        run: Its name, ``<experiment>/<system>``.

    Raises:
        SerError: If it is not there; the message says how to make it.
    """
    import json

    experiment, _, system = run.partition("/")
    path = folder(experiment, system) / "run.json"
    if not path.is_file():
        raise SerError(f"no Run '{run}'; make it with: ser run experiments/{experiment}.yaml")
    return json.loads(path.read_text())


def other(run: str, name: str) -> pd.DataFrame:
    """Return a further table of a Run, see `Run.others`.

    Args:
        run: Name of the Run, ``<experiment>/<system>``.
        name: Name of the table.

    Returns:
        The columns `COLUMNS` and the probabilities, sorted by seed, fold and clip.

    Raises:
        SerError: If the Run has none of this name.
    """
    return store.read_parquet(folder(*run.split("/")) / f"{name}.parquet")


def _other(table: pd.DataFrame) -> pd.DataFrame:
    """Return a further table in the one order that is stored; several folds may have a clip in their dev part."""
    columns = [name for name in table if name.startswith(PROBABILITY)]
    table = table[[*COLUMNS, *sorted(columns)]].astype({"fold": "int32", "seed": "int32"})
    return table.sort_values(["seed", "fold", "clip"], ignore_index=True)


def catalogue(experiment: str | None = None) -> pd.DataFrame:
    """Return the committed Runs, one row each: experiment, system, and the fields of the resolved cell.

    Args:
        experiment: Only this experiment's; all if None.

    Raises:
        SerError: If there are none.
    """
    import json

    root = store.results() / "runs"
    paths = sorted(root.glob(f"{experiment or '*'}/*/run.json"))
    if not paths:
        raise SerError(f"no Runs under {root / (experiment or '')}; make them with: ser run experiments/<name>.yaml")
    rows = []
    for path in paths:
        cell = json.loads(path.read_text())["cell"]
        rows.append({"experiment": path.parent.parent.name, "system": path.parent.name, **cell})
    return pd.DataFrame(rows)


def _arrange_file(path: Path) -> pd.DataFrame:
    """Read and arrange a parquet or CSV file of predictions; errors name it."""
    try:
        if path.suffix == ".parquet":
            return arrange(store.read_parquet(path))
        # Only an empty cell is missing: NA may be somebody's initials.
        words = dict.fromkeys(("clip", "speaker", "truth", "prediction"), "str")
        return arrange(pd.read_csv(path, dtype=words, keep_default_na=False, na_values=[""]))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SerError(f"{path}: not a readable CSV file ({str(error).splitlines()[0]})") from error
    except SerError as error:
        raise SerError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def read_table(path: Path | str) -> pd.DataFrame:
    """Read predictions of any toolkit from a CSV or parquet file.

    Args:
        path: A file with the columns clip, truth, prediction and, if known, speaker, fold, seed and ``p_<class>``.

    Returns:
        Valid predictions, see `arrange`.

    Raises:
        SerError: If the file is not there, cannot be read, or is not valid.
    """
    path = Path(path)
    if not path.is_file():
        raise SerError(f"{path}: no such file")
    if path.suffix not in (".csv", ".parquet"):
        raise SerError(f"{path}: predictions are read from .csv or .parquet files, not from '{path.suffix}'")
    return _arrange_file(path)
