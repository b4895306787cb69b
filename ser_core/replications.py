"""Published procedures as they were, to be compared with ours: they are not how this book evaluates."""

import numpy as np
import pandas as pd

from ser_core import classical, metrics
from ser_core.errors import SerError

KHAN_MODELS = ("khan-svm", "khan-forest", "khan-mlp")


def khan2026_within(features: pd.DataFrame, emotions: pd.Series) -> pd.DataFrame:
    """Score a feature set as the Urdu-Sindhi study of Khan (2026) does within one language.

    Five stratified random folds (seed 42) of clips, a scaler fitted inside each fold, three untuned classifiers; the
    mean and the population deviation of the five fold scores. The corpus names no speakers, so they are shared.

    Source:
        M. S. Khan, "Speech Emotion Recognition via Transfer Learning", 2026, doi:10.5281/zenodo.20709692.

    Args:
        features: Shape (n_clips, n_features).
        emotions: Emotion of each clip, same index.

    Returns:
        One row a classifier: ``uar``, ``wa``, ``weighted_f1`` in [0, 1], and ``uar_sd``.

    Raises:
        SerError: If features and emotions are of different clips, or a class has fewer than five clips.
    """
    from sklearn.model_selection import StratifiedKFold

    _check(features, emotions)
    if (fewest := emotions.value_counts()).min() < 5:
        raise SerError(f"'{fewest.idxmin()}' has {fewest.min()} clips; five stratified folds need at least 5 of each")
    names = sorted(emotions.unique())
    x, y = features.to_numpy("float64"), emotions.map(names.index).to_numpy()
    rows = {}
    for name in KHAN_MODELS:
        matrices = []
        for train, test in StratifiedKFold(5, shuffle=True, random_state=42).split(x, y):
            system = classical.pipeline(name, "train", seed=42).fit(x[train], y[train])
            matrices.append(metrics.confusion(y[test], system.predict(x[test]), range(len(names))))
        folds = np.stack(matrices)
        rows[name] = {key: float(metrics.METRICS[key](folds).mean()) for key in ("uar", "wa", "weighted_f1")}
        rows[name]["uar_sd"] = float(metrics.uar(folds).std())
    return pd.DataFrame.from_dict(rows, orient="index")


def khan2026_transfer(source: tuple[pd.DataFrame, pd.Series], target: tuple[pd.DataFrame, pd.Series]) -> pd.DataFrame:
    """Train on all of one language and test on all of the other, the scaler fitted on the source only.

    Source:
        M. S. Khan, "Speech Emotion Recognition via Transfer Learning", 2026, doi:10.5281/zenodo.20709692.

    Args:
        source: Features and emotions to train on.
        target: Features and emotions to test on.

    Returns:
        One row a classifier: ``uar`` and ``weighted_f1`` in [0, 1].

    Raises:
        SerError: If the two sides have different features or emotions.
    """
    for features, emotions in (source, target):
        _check(features, emotions)
    (x, words), (x_test, words_test) = source, target
    if x.shape[1] != x_test.shape[1]:
        raise SerError(f"source and target have different features: {x.shape[1]} != {x_test.shape[1]}")
    names = sorted(words.unique())
    if names != sorted(words_test.unique()):
        raise SerError(f"source and target have different emotions: {names} != {sorted(words_test.unique())}")
    rows = {}
    for name in KHAN_MODELS:
        system = classical.pipeline(name, "train", seed=42).fit(x.to_numpy("float64"), words.map(names.index))
        answers = system.predict(x_test.to_numpy("float64"))
        matrix = metrics.confusion(words_test.map(names.index), answers, range(len(names)))
        rows[name] = {"uar": float(metrics.uar(matrix)), "weighted_f1": float(metrics.weighted_f1(matrix))}
    return pd.DataFrame.from_dict(rows, orient="index")


def _check(features: pd.DataFrame, emotions: pd.Series) -> None:
    if not features.index.equals(emotions.index):
        raise SerError(f"features and emotions are of different clips: {len(features)} and {len(emotions)} rows")
