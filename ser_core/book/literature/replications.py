"""Published procedures as they were, to be compared with ours: they are not how this book evaluates."""

import numpy as np
import pandas as pd

from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.systems import classifiers

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
            system = classifiers.pipeline(name, "train", seed=42).fit(x[train], y[train])
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
        system = classifiers.pipeline(name, "train", seed=42).fit(x.to_numpy("float64"), words.map(names.index))
        answers = system.predict(x_test.to_numpy("float64"))
        matrix = metrics.confusion(words_test.map(names.index), answers, range(len(names)))
        rows[name] = {"uar": float(metrics.uar(matrix)), "weighted_f1": float(metrics.weighted_f1(matrix))}
    return pd.DataFrame.from_dict(rows, orient="index")


def sharma2023_sizes(counts: pd.DataFrame) -> pd.DataFrame:
    """Compare the sizes of a balanced training and validation part with the recordings that were left for both.

    What is not in the test part is trained on or validated on once; what the two parts hold beyond it are augmented
    copies. If the published validation part has the sizes of one cut out of the balanced whole, augmentation most
    likely came before that split, and copies of one recording are on both of its sides.

    Source:
        V. Sharma, "Speech and Text-Based Emotion Recognizer", 2023, arXiv:2312.11503, Tables 1 to 4.

    Args:
        counts: Clips; one row a class, columns all (before augmentation), train, validation, test.

    Returns:
        One row a class, in clips: ``left``, recordings outside the test part; ``copies``, what train and validation
        hold beyond them; of the published validation part ``originals_at_most``, if training had none, and
        ``copies_at_least``, the rest; ``originals_expected``, if it was drawn after augmentation; and
        ``drawn_after``, its size then, by the paper's fifth and scikit-learn's stratified split.

    Raises:
        SerError: If a column is missing, or a class has more clips in the test part than in all.

    Examples:
        >>> counts = pd.DataFrame({"all": [40], "train": [160], "validation": [40], "test": [10]}, index=["calm"])
        >>> sharma2023_sizes(counts)[["left", "copies", "originals_at_most", "copies_at_least"]].loc["calm"].tolist()
        [30, 170, 30, 10]
    """
    from sklearn.model_selection import train_test_split

    if missing := [name for name in ("all", "train", "validation", "test") if name not in counts]:
        raise SerError(f"the counts lack the columns {missing}; they have {list(counts.columns)}")
    left = counts["all"] - counts["test"]
    if (left < 0).any():
        name = left.idxmin()
        raise SerError(f"'{name}' has {counts['test'][name]} clips in the test part, but {counts['all'][name]} in all")
    whole = counts["train"] + counts["validation"]
    words = np.repeat(whole.index.to_numpy(), whole)
    _, drawn = train_test_split(words, test_size=0.2, stratify=words, random_state=0)
    originals = np.minimum(left, counts["validation"])
    return pd.DataFrame(
        {
            "left": left,
            "copies": (whole - left).clip(lower=0),
            "originals_at_most": originals,
            "copies_at_least": counts["validation"] - originals,
            "originals_expected": counts["validation"] * (left / whole).clip(upper=1.0),
            "drawn_after": pd.Series(drawn).value_counts().reindex(whole.index),
        }
    )


def _check(features: pd.DataFrame, emotions: pd.Series) -> None:
    if not features.index.equals(emotions.index):
        raise SerError(f"features and emotions are of different clips: {len(features)} and {len(emotions)} rows")
