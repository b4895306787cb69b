"""Published confusion matrices recomputed: UAR conventions, constant-answer floors, clip-level intervals.

Counts come as from `ser_core.book.literature.published_confusions`: truth in rows, answers in columns in the same
order.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from ser_core.errors import SerError
from ser_core.evaluation import bootstrap, metrics
from ser_core.evaluation.intervals import Interval


def _array(confusion: pd.DataFrame) -> np.ndarray:
    """Return the counts of one part; shape (K, K)."""
    truth, answers = list(confusion.index), list(confusion.columns)
    if truth != answers:
        raise SerError(f"the rows are {truth} and the columns {answers}; expected the same classes in the same order")
    if not (confusion.sum(axis=None) > 0):
        raise SerError("the confusion matrix has no clips; nothing can be computed from it")
    return confusion.to_numpy()


def pool(confusions: pd.DataFrame) -> pd.DataFrame:
    """Add the confusion matrices of all parts, as if they were one test.

    Args:
        confusions: Clips, indexed by part and truth; see `ser_core.book.literature.published_confusions`.

    Returns:
        Clips, indexed by truth.

    Examples:
        >>> index = pd.MultiIndex.from_product([["a", "b"], ["happy", "sad"]], names=["part", "truth"])
        >>> pool(pd.DataFrame([[3, 1], [0, 2], [1, 0], [0, 0]], index=index, columns=["happy", "sad"])).to_numpy()
        array([[4, 1],
               [0, 2]])
    """
    return confusions.groupby(level="truth", sort=False).sum()


def uar_all(confusion: np.ndarray) -> np.ndarray:
    """Return the mean recall over all classes in [0, 1]; that of a class without clips counts as 0.

    This is scikit-learn's macro recall with ``labels`` of all classes and ``zero_division=0``. A perfect system then
    has the share of classes that are present, not 1: see `uar_conventions`.

    Args:
        confusion: Counts of shape (..., K, K), truth in rows.

    Examples:
        >>> float(uar_all(np.array([[3, 1], [0, 0]]))), float(metrics.uar(np.array([[3, 1], [0, 0]])))
        (0.375, 0.75)
    """
    return np.nan_to_num(metrics.recalls(confusion)).mean(axis=-1)


def uar_seen(confusion: np.ndarray) -> np.ndarray:
    """Return the mean recall over the classes in truth *or* answers in [0, 1]; 0 for those only among the answers.

    This is scikit-learn's macro recall without ``labels``. One wrong answer of another class changes what is averaged.

    Args:
        confusion: Counts of shape (..., K, K), truth in rows.

    Examples:
        >>> float(uar_seen(np.array([[3, 1], [0, 0]]))), float(uar_seen(np.array([[4, 0], [0, 0]])))
        (0.375, 1.0)
    """
    recalls = metrics.recalls(confusion)
    answered = np.asarray(confusion).sum(axis=-2) > 0
    return np.nan_to_num(recalls).sum(axis=-1) / (answered | (metrics.support(confusion) > 0)).sum(axis=-1)


def uar_conventions(confusions: pd.DataFrame) -> pd.DataFrame:
    """Average the same recalls in the three ways in which published ones were, for each part and for all pooled.

    Args:
        confusions: Clips, indexed by part and truth; see `ser_core.book.literature.published_confusions`.

    Returns:
        One row a part and one ``pooled``: ``clips``; ``present``, the number of classes with a clip; ``uar`` over
        those, `uar_seen` and `uar_all`; of `uar_all` the ``attainable`` maximum and what uniform ``guessing`` has on
        average; and ``wa``; all but the first two in [0, 1].

    Raises:
        SerError: If classes of rows and columns differ, or there are no clips.

    Examples:
        >>> index = pd.MultiIndex.from_product([["a"], ["happy", "sad"]], names=["part", "truth"])
        >>> table = pd.DataFrame([[3, 1], [0, 0]], index=index, columns=["happy", "sad"])
        >>> uar_conventions(table).loc["pooled", ["uar", "uar_all", "attainable", "guessing"]].tolist()
        [0.75, 0.375, 0.5, 0.25]
    """
    parts = {name: table.droplevel("part") for name, table in confusions.groupby(level="part", sort=False)}
    rows = {}
    for name, table in (parts | {"pooled": pool(confusions)}).items():
        counts = _array(table)
        present = int((metrics.support(counts) > 0).sum())
        rows[name] = {"clips": int(counts.sum()), "present": present, "uar": float(metrics.uar(counts))}
        rows[name] |= {"uar_seen": float(uar_seen(counts)), "uar_all": float(uar_all(counts))}
        rows[name] |= {"attainable": present / len(counts), "guessing": present / len(counts) ** 2}
        rows[name]["wa"] = float(metrics.wa(counts))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("part")


def constant_answers(confusion: pd.DataFrame) -> pd.DataFrame:
    """Score what gives the same answer to every clip: the floors of a test part.

    Args:
        confusion: Clips, indexed by truth; only their number in each class matters.

    Returns:
        One row an answer: ``uar``, `uar_all`, ``wa`` and ``weighted_f1`` in [0, 1].

    Raises:
        SerError: If classes of rows and columns differ, or there are no clips.

    Examples:
        >>> table = pd.DataFrame([[3, 1], [0, 1]], index=["happy", "sad"], columns=["happy", "sad"])
        >>> constant_answers(table)[["uar", "wa"]].to_numpy().tolist()
        [[0.5, 0.8], [0.5, 0.2]]
    """
    clips = _array(confusion).sum(axis=1)
    constant = np.eye(len(clips), dtype=int)[:, None, :] * clips[:, None]
    of = {"uar": metrics.uar, "uar_all": uar_all, "wa": metrics.wa, "weighted_f1": metrics.weighted_f1}
    return pd.DataFrame({name: metric(constant) for name, metric in of.items()}, index=confusion.index)


def merge_classes(confusion: pd.DataFrame, into: Mapping[str, str]) -> pd.DataFrame:
    """Merge classes, such as emotions of one arousal: what was taken for another of the same kind then is right.

    Args:
        confusion: Clips, indexed by truth.
        into: The kind of each class.

    Returns:
        Clips; one row and one column a kind.

    Raises:
        SerError: If a class has no kind.

    Examples:
        >>> names = ["angry", "happy", "sad"]
        >>> table = pd.DataFrame([[3, 1, 0], [2, 1, 1], [0, 0, 4]], index=names, columns=names)
        >>> merge_classes(table, {"angry": "high", "happy": "high", "sad": "low"}).to_numpy()
        array([[7, 1],
               [0, 4]])
    """
    if missing := [name for name in {**dict.fromkeys(confusion.index), **dict.fromkeys(confusion)} if name not in into]:
        raise SerError(f"no kind is given for {missing}; there are those of {list(into)}")
    return confusion.groupby(into, sort=False).sum().T.groupby(into, sort=False).sum().T


def exact_interval(right: int, clips: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of a share, for clips that are independent of each other.

    Clips of one speaker are not: the interval for other *speakers* is wider, and with fewer than five of them cannot
    be had at all. It says what even this most favourable reading allows.

    Source:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
        Biometrika 26, 1934.

    Args:
        right: Clips that are right.
        clips: All clips, at least 1.
        level: Nominal coverage, in (0, 1).

    Returns:
        The ends, in [0, 1].

    Raises:
        SerError: If there is no clip, or more are right than there are.

    Examples:
        >>> low, high = exact_interval(2, 2)
        >>> round(low, 3) == round(0.025**0.5, 3), high
        (True, 1.0)
    """
    if not 0 <= right <= clips or clips < 1:
        raise SerError(f"{right} of {clips} clips are right; expected at least one clip, and 0 to {clips} right ones")
    found = stats.binomtest(int(right), int(clips)).proportion_ci(level, method="exact")
    return float(found.low), float(found.high)


def exact_recalls(confusion: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return the recall of each class with its exact interval, and what the UAR would be without its right answers.

    Args:
        confusion: Clips, indexed by truth; if pooled over trainings that were tested on the same clips, each of these
            counts as often, and the intervals are too narrow.
        level: Nominal coverage of `exact_interval`, of which mind the remark.

    Returns:
        One row a class: ``right``, ``clips``, ``recall``, ``low``, ``high``, and ``uar_if_missed`` and
        ``uar_all_if_missed``, the UAR and `uar_all` if all clips of the class were wrong. A class without clips has no
        recall, and nothing would change without it.

    Raises:
        SerError: If classes of rows and columns differ, or there are no clips.

    Examples:
        >>> table = pd.DataFrame([[3, 1], [0, 1]], index=["happy", "sad"], columns=["happy", "sad"])
        >>> exact_recalls(table)[["recall", "uar_if_missed"]].to_numpy().tolist()
        [[0.75, 0.5], [1.0, 0.375]]
    """
    counts = _array(confusion)
    right, clips = np.diagonal(counts), metrics.support(counts).astype(int)
    ends = [exact_interval(r, n, level) if n else (np.nan, np.nan) for r, n in zip(right, clips, strict=True)]
    recalls = metrics.recalls(counts)
    each = np.nan_to_num(recalls)
    present = (clips > 0).sum()
    table = {"right": right, "clips": clips, "recall": recalls, "low": [low for low, _ in ends]}
    table |= {"high": [high for _, high in ends], "uar_if_missed": (each.sum() - each) / present}
    return pd.DataFrame(table | {"uar_all_if_missed": (each.sum() - each) / len(each)}, index=confusion.index)


BOOTSTRAPPED = {"uar_all": uar_all, "wa": metrics.wa, "weighted_f1": metrics.weighted_f1}
"""Metrics of `pooled_bootstrap`, as they were published."""


def pooled_bootstrap(
    confusion: pd.DataFrame,
    metric: str = "uar_all",
    *,
    drawn: int | None = None,
    n_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 42,
) -> Interval:
    """Return the percentile interval of pooled clips as Khan (2026) takes it: pairs of truth and answer, one by one.

    It is not how this book evaluates: clips of one speaker are drawn as if they were strangers, a clip that three
    trainings have answered counts as three clips, and resamples without a class give it recall 0.

    Source:
        M. S. Khan, "Cross-Lingual Speech Emotion Recognition for Indo-Aryan Languages", 2026,
        doi:10.5281/zenodo.20709692.

    Args:
        confusion: Clips, indexed by truth; pooled over the trainings, see `pool`.
        metric: One of `BOOTSTRAPPED`.
        drawn: Pairs in a resample; by default as many as there are. With the number of *different* clips it is the
            interval for trainings whose errors fall on the same clips.
        n_resamples: Number of resamples.
        level: Nominal coverage.
        seed: Of the random numbers; the draws are not those of the original, which had its own generator.

    Returns:
        The metric with its interval; the unit is the clip.

    Raises:
        SerError: If there is no such metric, classes of rows and columns differ, or there are no clips.

    Examples:
        >>> table = pd.DataFrame([[30, 10], [0, 40]], index=["happy", "sad"], columns=["happy", "sad"])
        >>> pooled_bootstrap(table).text(digits=2)
        '0.88 [0.80, 0.94]'
    """
    if metric not in BOOTSTRAPPED:
        raise SerError(f"no metric '{metric}'; there are {list(BOOTSTRAPPED)}")
    counts = _array(confusion)
    n = int(counts.sum()) if drawn is None else drawn
    draws = np.random.default_rng(seed).multinomial(n, counts.ravel() / counts.sum(), size=n_resamples)
    values = BOOTSTRAPPED[metric](draws.reshape(-1, *counts.shape))
    low, high = bootstrap.ends(values, level, "percentile", n)
    return Interval(float(BOOTSTRAPPED[metric](counts)), low, high, level, "percentile", "clip", n)
