"""Predictions: a table of what a system says of clips, of this package or of any other."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ser_core import files
from ser_core.errors import SerError
from ser_core.evaluation import metrics, wording
from ser_core.evaluation.columns import arranged
from ser_core.evaluation.metrics import PROBABILITY
from ser_core.files import csvfile, datasets

COLUMNS = ("clip", "speaker", "fold", "seed", "truth", "prediction")
WORDS = ("clip", "speaker", "truth", "prediction")
"""The columns that are texts, whatever they look like."""


def arrange(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return valid predictions in the one order that is stored.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; speaker, fold and seed may be absent (missing, 0 and
            0).

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
    words = {name: "str" for name in WORDS if name in predictions}
    table = metrics.validate(predictions.astype(words)).assign(
        speaker=predictions.get("speaker", pd.Series(pd.NA, index=predictions.index)).astype("str"),
        fold=predictions.get("fold", pd.Series(0, index=predictions.index)),
    )
    table = table.assign(**{name: _whole(table[name]) for name in ("fold", "seed")})
    columns = [PROBABILITY + name for name in metrics.class_names(table) if PROBABILITY + name in table]
    table = table.astype(dict.fromkeys(columns, "float32"))
    return table[[*COLUMNS, *columns]].sort_values(["seed", "clip"], ignore_index=True)


def _whole(numbers: pd.Series) -> pd.Series:
    """Return whole numbers in 32 bits, or in 64 where these do not hold them."""
    values = [int(value) for value in numbers]
    for kind in ("int32", "int64", "uint64"):
        if np.iinfo(kind).min <= min(values) and max(values) <= np.iinfo(kind).max:
            return pd.Series(values, index=numbers.index, dtype=kind)
    raise SerError(f"the predictions' column '{numbers.name}' holds {max(values, key=abs)}; expected at most 64 bits")


def load(path: Path | str) -> pd.DataFrame:
    """Read predictions from a CSV or parquet file, without the checks of `ser_core.evaluation.wording`.

    Args:
        path: A ``.csv`` or ``.parquet`` file, with the columns as `arrange` names them.

    Returns:
        Valid predictions, see `arrange`.

    Raises:
        SerError: If the file is not there, cannot be read, or is not valid.
    """
    path = Path(path)
    if not path.is_file():
        raise SerError(f"{path}: no such file")
    kind = path.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise SerError(f"{path}: predictions are read from .csv or .parquet files, not from '{path.suffix}'")
    table = files.read_parquet(path) if kind == ".parquet" else csvfile.read(path, WORDS)
    try:
        _check_cells(table)
        return arrange(table)
    except SerError as error:
        raise SerError(f"{path}: {error}") from error


def read(
    path: Path | str, given: Mapping[str, str] | None = None, note: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """Read predictions of any toolkit.

    Args:
        path: A file, folder or ``-``, see `ser_core.files.datasets.read`, with the columns clip, truth, prediction and,
            if known, speaker, fold, seed and ``p_<class>``; see `ser_core.evaluation.columns.arranged` for others.
        given: Column that a score needs -> column of the table.
        note: Called with a line for what was taken for what.

    Returns:
        Valid predictions, see `arrange`.

    Raises:
        SerError: If the file is not there, cannot be read, is not valid, or its words do not mean what they seem to,
            see `ser_core.evaluation.wording.check`.
    """
    try:
        table = arranged(datasets.read(path), given, note)
        _check_cells(table)
        predictions = arrange(_numbers(table))
        wording.check(predictions)
    except SerError as error:
        raise SerError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    return predictions


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of text with numbers for probabilities; what is none stays, and is refused where it is used."""
    named = [name for name in table if str(name).startswith(PROBABILITY) or name in ("seed", "fold")]
    for name in [name for name in named if not pd.api.types.is_numeric_dtype(table[name])]:
        numbers = pd.to_numeric(table[name], errors="coerce")
        table = table.assign(**{name: numbers}) if numbers.notna().eq(table[name].notna()).all() else table
    return table


def _check_cells(table: pd.DataFrame) -> None:
    """Refuse cells that are no text or number, such as lists in a parquet file."""
    for name in table:
        values = table[name].dropna()
        if values.dtype != "object":
            if pd.api.types.is_datetime64_any_dtype(values.dtype) and name in (*WORDS, "seed", "fold"):
                raise SerError(f"the predictions' column '{name}' holds dates; expected text or numbers")
            continue
        allowed = (str, bytes, bool, int, float, np.number) if name in WORDS else (str, bool, int, float, np.number)
        odd = [value for value in values if not isinstance(value, allowed)]
        if odd and (name in (*WORDS, "seed", "fold") or str(name).startswith(PROBABILITY)):
            kind = type(odd[0]).__name__
            raise SerError(f"the predictions' column '{name}' holds {len(odd)} cells of type {kind}; expected text")
