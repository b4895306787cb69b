"""Whether the words of predictions mean what they seem to: one thing is written in one way, seeds agree."""

import difflib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from ser_core.errors import SerError
from ser_core.evaluation.metrics import PROBABILITY
from ser_core.files import text

MOST_CLASSES = 100
"""More classes than any list of emotions has; their table of confusions would fill the memory."""

_CLOSE = 0.6  # of difflib: anger and angry have 0.8, sad and bored 0.5


def check(predictions: pd.DataFrame) -> None:
    """Refuse predictions whose score would be wrong in silence, because of how classes, speakers or clips are written.

    Args:
        predictions: As from `ser_core.evaluation.predictions.arrange`.

    Raises:
        SerError: If two classes, speakers or clips differ only in case, blanks, Unicode form or the format of a
            number; a column of probabilities names no class; a name is blank, ``nan``, or holds characters that act on
            a terminal; classes are numbers with fractions, or there are more than `MOST_CLASSES` of them; no answer is
            a class of the truth; a class is never answered, and most answers are no class or one is a word close to it;
            a clip has two truths or two speakers; or most answers are not the likeliest class by the probabilities
            beside them.

    Examples:
        >>> table = pd.DataFrame({"clip": ["a", "b"], "truth": ["sad", "happy"], "prediction": ["Sad", "happy"]})
        >>> check(table)
        Traceback (most recent call last):
        ser_core.errors.SerError: the classes 'Sad' and 'sad' differ only in case, blanks, coding or the format of a \
number; write them alike
    """
    truth, answers = predictions["truth"].unique(), predictions["prediction"].unique()
    classes = sorted({*truth, *answers})
    for column in ("clip", "truth", "prediction", "speaker"):
        if column in predictions:
            _check_names(column, predictions[column].dropna().unique())
    numbers = pd.to_numeric(pd.Series(classes), errors="coerce")
    if numbers.notna().all() and (numbers % 1 != 0).any():
        broken = classes[int((numbers % 1 != 0).argmax())]
        raise SerError(
            f"the class '{broken}' is a number between whole ones, as of a regression; name the emotion of each clip"
        )
    if len(classes) > MOST_CLASSES:
        kind = "numbers" if numbers.notna().all() else "different words"
        raise SerError(
            f"there are {len(classes)} classes ({kind}), first '{classes[0]}'; expected at most {MOST_CLASSES}: name "
            f"the emotion of each clip"
        )
    _check_alike("classes", classes)
    if PROBABILITY in predictions:
        raise SerError(f"the column '{PROBABILITY}' names no class; name it as in p_{classes[0]}, or leave it out")
    _check_shared(predictions, set(truth), set(answers))
    _check_alike("clips", predictions["clip"].unique(), text.clip_key)
    if "speaker" in predictions:
        _check_alike("speakers", predictions["speaker"].dropna().unique())
    _check_seeds(predictions)
    if (wrong := _unlikely(predictions)) > len(predictions) / 2:
        raise SerError(
            f"in {wrong} of {len(predictions)} rows the prediction is not the class with the largest probability; "
            f"check that each p_ column holds the class in its name"
        )


def notes(predictions: pd.DataFrame) -> list[str]:
    """Return what is to be known beside a score: seeds of other clips, answers that are not the likeliest, and so on.

    Args:
        predictions: As for `check`.

    Examples:
        >>> table = pd.DataFrame({"clip": ["a", "b"], "truth": "sad", "prediction": "sad", "speaker": ["x", "y"]})
        >>> notes(table)
        ['each clip has a speaker of its own: intervals over speakers are intervals over clips']
    """
    found = []
    if "seed" in predictions and predictions["seed"].nunique() > 1:
        seeds = predictions.groupby("clip")["seed"].nunique()
        partly = int((seeds < predictions["seed"].nunique()).sum())
        if partly:
            found.append(f"{partly} of {len(seeds)} clips are not predicted by every seed: means mix different clips")
    if wrong := _unlikely(predictions):
        found.append(f"in {wrong} of {len(predictions)} rows the prediction is not the class with the largest p_")
    if "speaker" in predictions and predictions["speaker"].notna().any():
        named = predictions.dropna(subset="speaker")
        n_clips = named["clip"].nunique()
        if n_clips > 1 and named["speaker"].nunique() == n_clips:
            found.append("each clip has a speaker of its own: intervals over speakers are intervals over clips")
    return found


def _check_names(column: str, names: Iterable[str]) -> None:
    for name in names:
        if not text.key(name):
            raise SerError(f"the predictions' column '{column}' holds blanks only; leave the cell empty or fill it in")
        if column != "clip" and text.no_value(name):
            raise SerError(
                f"the predictions' column '{column}' holds the text '{name}', which stands for a missing value; leave "
                f"the cell empty or fill it in"
            )
        if text.acts(name):
            raise SerError(f"the predictions' column '{column}' holds control characters: '{text.shown(name)}'")


def _check_alike(what: str, names: Iterable[str], how=text.key) -> None:
    if pair := text.alike(names, how):
        kind = "case, blanks, coding or the format of a number"
        if how is text.clip_key:
            kind += ", or in their ending"
        raise SerError(f"the {what} '{pair[0]}' and '{pair[1]}' differ only in {kind}; write them alike")


def _check_shared(predictions: pd.DataFrame, truth: set[str], answers: set[str]) -> None:
    """Refuse answers in other words than those of the truth."""
    way_out = "write answers in the words of the truth"
    # One class and one other answer may be a system that is always wrong.
    if not truth & answers and len(truth | answers) > 2:
        raise SerError(
            f"no answer is a class of the truth: answers are {sorted(answers)[:8]}, classes {sorted(truth)[:8]}; "
            f"{way_out}"
        )
    declared = {name.removeprefix(PROBABILITY) for name in predictions if name.startswith(PROBABILITY)}
    foreign, unanswered = answers - truth, truth - answers
    if pair := _close(unanswered - declared, foreign - declared):
        raise SerError(
            f"'{pair[0]}' is a class of the truth and never an answer, '{pair[1]}' is an answer and no class of the "
            f"truth; {way_out}"
        )
    many = int(predictions["prediction"].isin(foreign).sum())
    if unanswered and many > len(predictions) / 2:
        raise SerError(
            f"{many} of {len(predictions)} answers are {sorted(foreign)[:8]}, which no clip is in truth; {way_out}"
        )


def _close(truth: set[str], answers: set[str]) -> tuple[str, str] | None:
    """Return a class and an answer that look like two words for one thing."""
    for word in sorted(truth):
        for answer in sorted(answers):
            one, other = text.key(word), text.key(answer)
            within = min(len(one), len(other)) >= 3 and (one in other or other in one)
            if within or difflib.SequenceMatcher(None, one, other).ratio() >= _CLOSE:
                return word, answer
    return None


def _check_seeds(predictions: pd.DataFrame) -> None:
    """Refuse a clip that is not the same in every seed."""
    for column in ("truth", "speaker"):
        if column not in predictions:
            continue
        several = predictions.groupby("clip")[column].nunique()
        if len(several := several[several > 1]):
            values = predictions.loc[predictions["clip"] == several.index[0], column].unique().tolist()
            raise SerError(
                f"clip '{several.index[0]}' has more than one {column}: {values}, in {len(several)} clips; expected "
                f"the same in every seed"
            )


def _unlikely(predictions: pd.DataFrame) -> int:
    """Return in how many rows the prediction is not the class with the largest probability; a tie is none."""
    columns = [name for name in predictions if name.startswith(PROBABILITY)]
    if not columns:
        return 0
    values = predictions[columns].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    at = pd.Index([name.removeprefix(PROBABILITY) for name in columns]).get_indexer(predictions["prediction"])
    own = values[np.arange(len(values)), at]
    return int(((own < values.max(axis=1) - 1e-6) & (at >= 0)).sum())
