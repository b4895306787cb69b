"""Predictions: a table of what a system says of clips, of this package or of any other."""

from pathlib import Path

import pandas as pd

from ser_core import files
from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.evaluation.metrics import PROBABILITY

COLUMNS = ("clip", "speaker", "fold", "seed", "truth", "prediction")


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
    words = {name: "str" for name in ("clip", "speaker", "truth", "prediction") if name in predictions}
    table = metrics.validate(predictions.astype(words)).assign(
        speaker=predictions.get("speaker", pd.Series(pd.NA, index=predictions.index)).astype("str"),
        fold=predictions.get("fold", pd.Series(0, index=predictions.index)),
    )
    table = table.astype({"fold": "int32", "seed": "int32"})
    columns = [PROBABILITY + name for name in metrics.class_names(table) if PROBABILITY + name in table]
    table = table.astype(dict.fromkeys(columns, "float32"))
    return table[[*COLUMNS, *columns]].sort_values(["seed", "clip"], ignore_index=True)


def read(path: Path | str) -> pd.DataFrame:
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
    try:
        if path.suffix == ".parquet":
            return arrange(files.read_parquet(path))
        # Only an empty cell is missing: NA may be somebody's initials.
        words = dict.fromkeys(("clip", "speaker", "truth", "prediction"), "str")
        return arrange(pd.read_csv(path, dtype=words, keep_default_na=False, na_values=[""]))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SerError(f"{path}: not a readable CSV file ({str(error).splitlines()[0]})") from error
    except SerError as error:
        raise SerError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
