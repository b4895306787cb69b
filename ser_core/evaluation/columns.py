"""Which columns of another tool's table are the clip, the truth, the prediction and the speaker."""

from collections.abc import Callable, Mapping

import pandas as pd

from ser_core.errors import SerError
from ser_core.evaluation.metrics import PROBABILITY

NAMES = {
    "clip": "file filename file_name path utterance utterance_id utt_id id name audio",
    "truth": "y_true label labels true target gold reference emotion actual",
    "prediction": "predictions predicted pred preds y_pred hypothesis predicted_label",
    "speaker": "speaker_id spk actor subject participant",
}
"""Column -> what other tools call it: nkululeko (file, emotion, predictions), scikit-learn (y_true, y_pred)."""

_NEEDED = ("clip", "truth", "prediction")


def arranged(
    table: pd.DataFrame, given: Mapping[str, str] | None = None, note: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """Return a table with the names of columns that a score needs.

    A column ``clip``, ``truth``, ``prediction`` or ``speaker`` that is not there is taken from the one column that has
    another of its `NAMES`. Of an audformat segmented table (file, start, end) the clip is all three. Columns that are
    named as the classes become their probabilities.

    Args:
        table: Any table.
        given: Column that a score needs -> column of the table, which goes before what names tell.
        note: Called with a line for what was taken for what.

    Returns:
        The table with columns renamed.

    Raises:
        SerError: If a column that is given is not there, several may be meant, or one is found for none.

    Examples:
        >>> table = pd.DataFrame({"file": ["a.wav"], "emotion": ["sad"], "predictions": ["sad"]})
        >>> arranged(table).columns.tolist()
        ['clip', 'truth', 'prediction']
    """
    given = dict(given or {})
    if unknown := sorted(set(given.values()) - set(table)):
        raise SerError(f"there is no column '{unknown[0]}'; there are {list(table)[:20]}")
    allowed = (*NAMES, "seed", "fold")
    if unknown := [name for name in given if name not in allowed and not name.startswith(PROBABILITY)]:
        raise SerError(f"'{unknown[0]}' is no column that a score needs; there are {', '.join(allowed)} and p_<class>")
    if len(set(given.values())) < len(given):
        raise SerError(f"one column of the table is given for two: {given}; give each for one")
    # What a given column replaces is not the clip or truth any longer.
    table = table.drop(columns=[name for name in given if name in table and name not in given.values()])
    table = table.rename(columns={column: name for name, column in given.items()})
    plain = {column: str(column).strip().casefold() for column in table}
    taken = {}
    for name, others in NAMES.items():
        if name in table:
            continue
        same = [column for column in table if plain[column] == name]
        found = same or [column for column in table if plain[column] in others.split() and column not in taken]
        if len(found) > 1:
            raise SerError(f"{found} may all be the column '{name}'; say which by --column {name}={found[0]}")
        if found:
            taken[found[0]] = name
    if missing := [name for name in _NEEDED if name not in {*table, *taken.values()}]:
        raise SerError(
            f"the predictions lack the columns {missing}; they have {list(table)[:20]}; say which is which by "
            f"--column {missing[0]}=NAME, for each"
        )
    if taken:
        note("; ".join(f"column '{column}' is taken for the {name}" for column, name in taken.items()))
    table = table.rename(columns=taken)
    if {"start", "end"} <= set(table) and table["clip"].astype("str").duplicated().any():
        note("clips are file, start and end")
        clip, start, end = (table[name].astype("str") for name in ("clip", "start", "end"))
        table["clip"] = clip + " " + start + " " + end
    return _probabilities(table, note)


def _probabilities(table: pd.DataFrame, note: Callable[[str], None]) -> pd.DataFrame:
    """Return a table whose columns that are named as classes are their probabilities."""
    classes = sorted({str(word) for name in ("truth", "prediction") for word in table[name].dropna()})
    there = [column for column in table if str(column).startswith(PROBABILITY)]
    if there or not classes or not set(classes) <= set(table):
        return table
    note(f"columns {classes} are taken for the classes' probabilities")
    return table.rename(columns={name: PROBABILITY + name for name in classes})
