"""The metrics of a set of predictions: what UAR, WA and the F1 scores are, exactly.

All are functions of confusion counts of shape (..., K, K), truth in rows and prediction in columns, and are
vectorised over the leading axes, so that the same code scores one system and ten thousand resamples of it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from ser_core.errors import SerError

_REQUIRED = ("clip", "truth", "prediction")
PROBABILITY = "p_"  # before the class, in the names of probability columns
Metric = Callable[[np.ndarray], np.ndarray]  # from (..., K, K) to (...)


def validate(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with the columns every score needs, or say what is wrong with them.

    Args:
        predictions: One row per (seed, clip): ``clip``, ``truth``, ``prediction``; if there are any, ``speaker``,
            ``fold``, ``seed`` and one probability ``p_<class>`` a class. Any source will do.

    Returns:
        The same rows; ``seed`` is 0 where it was absent.

    Raises:
        SerError: If there are no rows, a column or a value is missing, a seed or fold is no whole number, a (seed,
            clip) stands twice, a word is not among the ``p_`` classes, or probabilities are not in [0, 1] with sum 1
            within 0.001.

    Examples:
        >>> validate(pd.DataFrame({"clip": ["a"], "truth": ["sad"], "prediction": ["sad"]})).columns.tolist()
        ['clip', 'truth', 'prediction', 'seed']
    """
    if missing := [name for name in _REQUIRED if name not in predictions]:
        raise SerError(f"the predictions lack the columns {missing}; they have {list(predictions.columns)}")
    if not len(predictions):
        raise SerError("the predictions are empty; expected at least one row")
    if "seed" not in predictions:
        predictions = predictions.assign(seed=np.int32(0))
    for name in (*_REQUIRED, "seed"):
        empty = predictions[name].isna()
        if empty.any():
            clip = predictions.loc[empty, "clip"].iloc[0]
            raise SerError(f"the predictions' column '{name}' is empty in {empty.sum()} rows, first at clip {clip!r}")
    for name in [name for name in ("seed", "fold") if name in predictions]:
        broken = pd.to_numeric(predictions[name], errors="coerce").mod(1) != 0  # also where it is no number
        if broken.any():
            row = predictions.loc[broken].iloc[0]
            raise SerError(
                f"the predictions' column '{name}' is no whole number in {broken.sum()} rows, first {row[name]!r} at "
                f"clip {row['clip']!r}"
            )
    twice = predictions.duplicated(["seed", "clip"])
    if twice.any():
        row = predictions.loc[twice].iloc[0]
        raise SerError(
            f"clip '{row['clip']}' is predicted more than once for seed {row['seed']}; expected one row per seed "
            f"and clip (give repeated runs different seeds)"
        )
    names = [name for name in predictions if str(name).startswith(PROBABILITY)]
    if names:
        values = predictions[names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
        bad = ~((values >= 0) & (values <= 1)).all(axis=1) | ~(np.abs(values.sum(axis=1) - 1) <= 1e-3)
        if bad.any():
            row = predictions.loc[bad].iloc[0]
            seen = {*predictions["truth"].astype("str"), *predictions["prediction"].astype("str")}
            other = [name for name in names if name.removeprefix(PROBABILITY) not in seen]
            hint = f"; is '{other[0]}' that of a class? No clip has it" if other else ""
            raise SerError(
                f"the probabilities {names} are not in [0, 1] with sum 1 in {bad.sum()} rows, first at clip "
                f"'{row['clip']}', {[str(row[name]) for name in names]}{hint}"
            )
    class_names(predictions)
    return predictions


def class_names(predictions: pd.DataFrame) -> tuple[str, ...]:
    """Return the classes of the task: those with a ``p_`` column, else those in truth or prediction, sorted.

    Raises:
        SerError: If there are ``p_`` columns, and truth or prediction has a word without one.

    Examples:
        >>> class_names(pd.DataFrame({"clip": ["a"], "truth": ["sad"], "prediction": ["angry"]}))
        ('angry', 'sad')
    """
    used = {*predictions["truth"].unique(), *predictions["prediction"].unique()}
    named = {str(name).removeprefix(PROBABILITY) for name in predictions if str(name).startswith(PROBABILITY)}
    if named and used - named:
        raise SerError(
            f"the classes {sorted(used - named)} have no probability column; there are p_ columns of {sorted(named)}"
        )
    return tuple(sorted(named or used))


def confusion(
    truth: Sequence[str],
    prediction: Sequence[str],
    classes: Sequence[str],
    *,
    groups: np.ndarray | None = None,
    n_groups: int | None = None,
) -> np.ndarray:
    """Count how often each class was taken for each.

    Args:
        truth: The true class of each clip, shape (n_clips,).
        prediction: The predicted class of each clip, shape (n_clips,).
        classes: The K classes in the order of rows and columns.
        groups: An integer in [0, n_groups) for each clip; one matrix is counted for each group.
        n_groups: The number of groups; by default the largest of ``groups`` plus 1.

    Returns:
        Counts of shape (K, K), truth in rows and prediction in columns; with ``groups`` (n_groups, K, K).

    Raises:
        SerError: If the lengths differ, or a word is not among the classes.

    Examples:
        >>> confusion(["sad", "sad", "happy"], ["sad", "happy", "happy"], ["happy", "sad"])
        array([[1, 0],
               [1, 1]])
    """
    if len(truth) != len(prediction):
        raise SerError(f"truth and prediction differ in length: {len(truth)} != {len(prediction)}")
    words, codes = pd.Index(classes, dtype="object"), []
    for name, values in (("truth", truth), ("prediction", prediction)):
        code = words.get_indexer(pd.Index(values, dtype="object"))
        if (code < 0).any():
            word = pd.Index(values, dtype="object")[code < 0][0]
            raise SerError(f"the {name} has the class {word!r}; expected one of {list(classes)}")
        codes.append(code)
    k = len(words)
    cell = codes[0] * k + codes[1]
    if groups is None:
        return np.bincount(cell, minlength=k * k).reshape(k, k)
    n_groups = int(np.max(groups)) + 1 if n_groups is None else n_groups
    return np.bincount(np.asarray(groups) * (k * k) + cell, minlength=n_groups * k * k).reshape(n_groups, k, k)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _diagonal(confusion: np.ndarray) -> np.ndarray:
    return np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean over the last axis; what has weight 0 may be NaN."""
    return _ratio((np.where(weights > 0, values, 0.0) * weights).sum(-1), weights.sum(-1))


def support(confusion: np.ndarray) -> np.ndarray:
    """Return the number of clips of each true class, shape (..., K)."""
    return np.asarray(confusion).sum(axis=-1, dtype=float)


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Return the recall of each class in [0, 1], shape (..., K); NaN for a class absent from the truth.

    Examples:
        >>> recalls(np.array([[3, 1], [0, 0]]))
        array([0.75,  nan])
    """
    return _ratio(_diagonal(confusion), support(confusion))


def precisions(confusion: np.ndarray) -> np.ndarray:
    """Return the precision of each class in [0, 1], shape (..., K); NaN for a class never predicted."""
    return _ratio(_diagonal(confusion), np.asarray(confusion).sum(axis=-2, dtype=float))


def f1s(confusion: np.ndarray) -> np.ndarray:
    """Return the F1 of each class in [0, 1], shape (..., K); NaN for a class in neither truth nor prediction."""
    return _ratio(2 * _diagonal(confusion), support(confusion) + np.asarray(confusion).sum(axis=-2, dtype=float))


def uar(confusion: np.ndarray) -> np.ndarray:
    """Return the unweighted average recall in [0, 1]: the mean recall over the classes present in the truth.

    A class of the task without a clip has no recall, neither 0 nor 1; it is left out, and `absent` names it.

    Source:
        Schuller, Steidl and Batliner, "The INTERSPEECH 2009 Emotion Challenge", Interspeech 2009.

    Args:
        confusion: Counts of shape (..., K, K), truth in rows.

    Returns:
        Shape (...); NaN where there is no clip at all.

    Examples:
        >>> float(uar(np.array([[3, 1], [0, 2]])))
        0.875
        >>> float(uar(np.array([[3, 1], [0, 0]])))
        0.75
    """
    return _mean(recalls(confusion), (support(confusion) > 0).astype(float))


def wa(confusion: np.ndarray) -> np.ndarray:
    """Return the weighted accuracy in [0, 1]: the share of clips that are right; also called accuracy.

    Examples:
        >>> float(wa(np.array([[3, 1], [0, 4]])))
        0.875
    """
    return _ratio(_diagonal(confusion).sum(-1), support(confusion).sum(-1))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Return the mean F1 in [0, 1] over the classes in truth *or* prediction, as scikit-learn averages by default.

    A class that was predicted but has no clip counts with F1 0. This is not UAR, although some call it so.

    Examples:
        >>> float(macro_f1(np.array([[1, 1], [0, 0]]))), float(uar(np.array([[1, 1], [0, 0]])))
        (0.3333333333333333, 0.5)
    """
    values = f1s(confusion)
    return _mean(values, np.isfinite(values).astype(float))


def weighted_f1(confusion: np.ndarray) -> np.ndarray:
    """Return the mean F1 in [0, 1] over the classes, weighted by their number of clips."""
    return _mean(f1s(confusion), support(confusion))


METRICS: dict[str, Metric] = {"uar": uar, "wa": wa, "macro_f1": macro_f1, "weighted_f1": weighted_f1}
LABELS = {"uar": "UAR", "wa": "WA (accuracy)", "macro_f1": "macro F1", "weighted_f1": "weighted F1"}
"""What tables and figures call each of `METRICS`."""


def metric(name: str, classes: Sequence[str]) -> Metric:
    """Return the metric of a name: one of `METRICS`, or ``recall:<class>`` or ``f1:<class>`` for that of one class.

    Raises:
        SerError: If there is no such metric or class.

    Examples:
        >>> float(metric("recall:sad", ["happy", "sad"])(np.array([[3, 1], [1, 4]])))
        0.8
    """
    if name in METRICS:
        return METRICS[name]
    kind, _, word = name.partition(":")
    of_each = {"recall": recalls, "f1": f1s}
    if kind in of_each and word in classes:
        column = list(classes).index(word)
        return lambda confusion: of_each[kind](confusion)[..., column]
    raise SerError(
        f"no metric '{name}'; there are {list(METRICS)}, and 'recall:<class>' and 'f1:<class>' of {list(classes)}"
    )


def absent(truth: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes of the task that have no clip; a UAR is over the others.

    Examples:
        >>> absent(["angry", "happy"], ["angry", "happy", "sad"])
        ('sad',)
    """
    present = set(truth)
    return tuple(name for name in classes if name not in present)


def confusions(predictions: pd.DataFrame, classes: Sequence[str] | None = None) -> np.ndarray:
    """Return the confusion counts of each seed, shape (S, K, K), seeds in ascending order.

    Args:
        predictions: See `validate`.
        classes: The classes in order; by default `class_names` of the predictions.
    """
    predictions = validate(predictions)
    names = class_names(predictions) if classes is None else classes
    codes, _ = pd.factorize(predictions["seed"], sort=True)
    return confusion(predictions["truth"], predictions["prediction"], names, groups=codes)


def scores(predictions: pd.DataFrame, classes: Sequence[str] | None = None) -> dict:
    """Return every metric of a set of predictions, each the mean over seeds, and what they were computed from.

    Args:
        predictions: See `validate`.
        classes: The classes of the task; by default `class_names` of the predictions.

    Returns:
        ``uar``, ``wa``, ``macro_f1``, ``weighted_f1`` in [0, 1]; ``n_clips``, ``n_seeds``, ``n_classes`` (with at
        least one clip), ``n_speakers`` (None without speakers); ``absent``, the classes without a clip.

    Examples:
        >>> table = pd.DataFrame({"clip": ["a", "b"], "truth": ["sad", "sad"], "prediction": ["sad", "happy"]})
        >>> result = scores(table, classes=["angry", "happy", "sad"])
        >>> result["uar"], result["n_classes"], result["absent"]
        (0.5, 1, ('angry', 'happy'))
    """
    predictions = validate(predictions)
    names = class_names(predictions) if classes is None else tuple(classes)
    matrices = confusions(predictions, names)
    missing = absent(predictions["truth"], names)
    return {name: float(function(matrices).mean()) for name, function in METRICS.items()} | {
        "n_clips": predictions["clip"].nunique(),
        "n_seeds": len(matrices),
        "n_speakers": predictions["speaker"].nunique() if "speaker" in predictions else None,
        "n_classes": len(names) - len(missing),
        "absent": missing,
    }


def scores_by(predictions: pd.DataFrame, by: str | list[str], metric: str = "uar") -> pd.Series:
    """Return a metric of each group of predictions, such as of each speaker or fold, the mean over its seeds.

    Args:
        predictions: See `validate`.
        by: The columns that make the groups.
        metric: One of `METRICS`.

    Returns:
        One score a group, indexed by it.

    Examples:
        >>> table = pd.DataFrame({"clip": ["a", "b"], "truth": ["sad", "sad"], "prediction": ["sad", "happy"]})
        >>> scores_by(table.assign(speaker=["x", "y"]), "speaker", "wa").to_dict()
        {'x': 1.0, 'y': 0.0}
    """
    found = {group: scores(part)[metric] for group, part in predictions.groupby(by)}
    return pd.Series(found).rename_axis(by)


def merge_classes(predictions: pd.DataFrame, into: Mapping[str, str]) -> pd.DataFrame:
    """Merge classes, such as emotions of one arousal: what was taken for another of the same kind then is right.

    Args:
        predictions: See `validate`.
        into: The kind of each class, such as one of `ser_core.data.labels.KINDS`.

    Returns:
        The predictions with other truth and answers, and without probabilities.

    Raises:
        SerError: If a class has no kind.

    Examples:
        >>> table = pd.DataFrame({"clip": ["a", "b"], "truth": ["angry", "sad"], "prediction": ["happy", "happy"]})
        >>> merged = merge_classes(table, {"angry": "high", "happy": "high", "sad": "low"})
        >>> (merged["truth"] == merged["prediction"]).tolist()
        [True, False]
    """
    names = class_names(predictions)
    if missing := [name for name in names if name not in into]:
        raise SerError(f"no kind is given for {missing}; there are those of {list(into)}")
    kept = predictions.drop(columns=[column for column in predictions if column.startswith(PROBABILITY)])
    return kept.assign(truth=kept["truth"].map(into), prediction=kept["prediction"].map(into))


def per_class(predictions: pd.DataFrame, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Return recall, precision and F1 of each class in [0, 1], the mean over seeds, and its clips per seed.

    Returns:
        Rows indexed by ``class``; recall is missing for a class without a clip, precision for one that some
        seed never predicted.

    Examples:
        >>> table = pd.DataFrame({"clip": ["a", "b"], "truth": ["sad", "sad"], "prediction": ["sad", "happy"]})
        >>> float(per_class(table).loc["sad", "recall"])
        0.5
    """
    names = class_names(predictions) if classes is None else classes
    matrices = confusions(predictions, names)
    columns = {"recall": recalls, "precision": precisions, "f1": f1s, "support": support}
    table = {column: function(matrices).mean(axis=0) for column, function in columns.items()}
    return pd.DataFrame(table, index=pd.Index(names, name="class"))
