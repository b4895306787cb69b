"""Minimal pairs of classes: two emotions that differ in one respect, told apart by the probabilities of a system."""

import numpy as np
import pandas as pd

from ser_core.errors import SerError
from ser_core.evaluation import comparisons, intervals, metrics, pairing
from ser_core.evaluation.comparisons import Difference
from ser_core.evaluation.intervals import Interval

PAIRS = {"arousal": ("angry", "sad"), "valence": ("angry", "happy")}
"""Both emotions of the first pair are negative and differ in arousal; of the second both are of high arousal."""


def forced_choice(predictions: pd.DataFrame, pair: tuple[str, str]) -> pd.DataFrame:
    """Return the answers of a system that has to choose between two classes, on the clips of these two alone.

    The answer is the class that has the larger probability of the two, the first in the alphabet if they are equal.
    What the system gave to other classes does not count, so that the UAR of chance is one half.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; with probabilities.
        pair: The two classes.

    Returns:
        The rows whose truth is one of the two, with other answers, and the probabilities of the two with sum 1 (one
        half each where both were 0).

    Raises:
        SerError: If the predictions are invalid, have no probabilities of the pair or no clip of one of the two, or
            the pair is not of two different classes.

    Examples:
        >>> table = pd.DataFrame({"clip": ["a", "b"], "truth": ["sad", "angry"], "prediction": "happy"})
        >>> table = table.assign(p_angry=[0.1, 0.3], p_happy=[0.7, 0.5], p_sad=[0.2, 0.2])
        >>> forced_choice(table, ("angry", "sad"))["prediction"].tolist()
        ['sad', 'angry']
    """
    predictions = metrics.validate(predictions)
    if len(set(pair)) != 2 or len(pair) != 2:
        raise SerError(f"the pair is {tuple(pair)}; expected two different classes")
    columns = [metrics.PROBABILITY + name for name in sorted(pair)]
    if missing := [name for name in columns if name not in predictions]:
        raise SerError(
            f"a choice between {' and '.join(sorted(pair))} needs their probabilities; the predictions lack the "
            f"columns {missing} and have {list(predictions.columns)}"
        )
    rows = predictions[predictions["truth"].isin(pair)]
    if missing := sorted(set(pair) - set(rows["truth"])):
        raise SerError(f"no clip is {' or '.join(missing)}; there are those of {sorted(set(predictions['truth']))}")
    values = rows[columns].to_numpy(dtype=float)
    total = values.sum(axis=1, keepdims=True)
    values = np.divide(values, total, out=np.full_like(values, 0.5), where=total > 0)
    others = [name for name in rows if str(name).startswith(metrics.PROBABILITY) and name not in columns]
    answers = np.array(sorted(pair), dtype=object)[values.argmax(axis=1)]
    rows = rows.drop(columns=others).assign(prediction=pd.Series(answers, index=rows.index, dtype="str"))
    return rows.assign(**dict(zip(columns, values.T, strict=True))).reset_index(drop=True)


def difference(
    predictions: pd.DataFrame,
    first: tuple[str, str] = PAIRS["arousal"],
    second: tuple[str, str] = PAIRS["valence"],
    *,
    unit: str = "speaker",
    **options,
) -> Difference:
    """Return how much better a system tells one pair of classes apart than another: UAR of the first minus the second.

    Both are scored on the same resamples of the same speakers. The clips are not the same, and the questions neither,
    so that answers cannot be swapped and the p-value is that of Student's t.

    Args:
        predictions: See `forced_choice`.
        first: Two classes.
        second: Two others; one may be among the first.
        unit: The column to resample.
        **options: See `ser_core.evaluation.comparisons.of_paired`.

    Returns:
        The difference of two UARs; its interval is refused where that of either is.

    Raises:
        SerError: As `forced_choice` and `ser_core.evaluation.intervals.counts`.

    Examples:
        >>> table = pd.DataFrame({"clip": list("abc"), "speaker": "x", "truth": ["sad", "angry", "happy"]})
        >>> table = table.assign(prediction="angry", p_angry=[0.3, 0.4, 0.6], p_happy=[0.2, 0.3, 0.3])
        >>> difference(table.assign(p_sad=[0.5, 0.3, 0.1])).interval.value
        0.5
    """
    parts = [forced_choice(predictions, pair) for pair in (first, second)]
    return comparisons.of_paired(pairing.of_parts(*parts, unit=unit), **options)


def compared(predictions: pd.DataFrame, **options) -> dict[str, Interval | Difference]:
    """Return the UAR of each of `PAIRS`, ``arousal`` and ``valence``, and how much the first is better.

    Args:
        predictions: See `forced_choice`.
        **options: As for `ser_core.evaluation.intervals.interval`.

    Returns:
        The two scores by name, and their ``difference``, see `difference`.

    Raises:
        SerError: As `difference`.

    Examples:
        >>> table = pd.DataFrame({"clip": list("abc"), "speaker": "x", "truth": ["sad", "angry", "happy"]})
        >>> table = table.assign(prediction="angry", p_angry=[0.3, 0.4, 0.6], p_happy=[0.2, 0.3, 0.3])
        >>> found = compared(table.assign(p_sad=[0.5, 0.3, 0.1]))
        >>> found["arousal"].value, found["valence"].value, found["difference"].interval.value
        (1.0, 0.5, 0.5)
    """
    scores = {name: intervals.interval(forced_choice(predictions, pair), **options) for name, pair in PAIRS.items()}
    return {**scores, "difference": difference(predictions, **options)}
