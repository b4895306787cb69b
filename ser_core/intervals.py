"""How sure a score is: bootstrap over speakers, paired differences, permutation tests, and when to refuse."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser_core import metrics, resampling
from ser_core.errors import SerError

# 4 clusters allow only 35 distinct resamples, and `ser_core.simulation` finds that a 95 % percentile interval then
# misses the truth about four times as often as it says.
MIN_CLUSTERS = 5
# A class that a twentieth of the resamples lack makes the metric change its meaning from resample to resample.
MAX_ABSENT = 0.05


@dataclass(frozen=True)
class Interval:
    """A score with its interval, or with the reason why there is none.

    Attributes:
        value: The score: the mean over seeds.
        low: Lower end; NaN when refused.
        high: Upper end; NaN when refused.
        level: Nominal coverage, as 0.95.
        method: ``percentile`` or ``expanded``.
        unit: What was resampled: ``speaker``, ``clip``, ...
        n_clusters: How many of them.
        refusal: Why there is no interval; None when there is one.
        note: What must be said beside the value, as ``absent class: sad``; else empty.
    """

    value: float
    low: float
    high: float
    level: float
    method: str
    unit: str
    n_clusters: int
    refusal: str | None = None
    note: str = ""

    def text(self, percent: bool = False, digits: int | None = None, signed: bool = False) -> str:
        """Return the score for prose and tables.

        Args:
            percent: Show 61.2 for 0.612.
            digits: Decimals; 3, or 1 with ``percent``.
            signed: Show a plus sign.

        Examples:
            >>> Interval(0.6123, 0.5708, 0.6502, 0.95, "percentile", "speaker", 24).text()
            '0.612 [0.571, 0.650]'
            >>> Interval(0.6123, np.nan, np.nan, 0.95, "percentile", "speaker", 4, "4 speakers, fewer than 5").text()
            '0.612 (no interval: 4 speakers, fewer than 5)'
        """
        digits = (1 if percent else 3) if digits is None else digits
        # Adding 0.0 after rounding turns -0.0 into 0.0.
        value, low, high = (
            f"{round(100 * x if percent else x, digits) + 0.0:{'+' if signed else ''}.{digits}f}"
            for x in (self.value, self.low, self.high)
        )
        return f"{value} [{low}, {high}]" if self.refusal is None else f"{value} (no interval: {self.refusal})"

    def __str__(self) -> str:
        """Return `text`, with the note if there is one."""
        return self.text() + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Difference:
    """The difference of two systems on the same clips.

    Attributes:
        interval: Of first minus second; its unit, clusters and refusal are as for one score.
        p_value: Two-sided; valid for any number of clusters, also when the interval is refused.
        method: ``exact permutation`` or ``random permutation``.
    """

    interval: Interval
    p_value: float
    method: str

    def text(self, percent: bool = False, digits: int | None = None) -> str:
        """Return the difference for prose and tables.

        Examples:
            >>> Difference(Interval(0.031, 0.01, 0.052, 0.95, "percentile", "speaker", 24), 0.004, "exact").text()
            '+0.031 [+0.010, +0.052], p = 0.004'
        """
        p = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        return f"{self.interval.text(percent, digits, signed=True)}, {p}"

    def __str__(self) -> str:
        """Return `text`, with the note if there is one."""
        return self.text() + (f" ({self.interval.note})" if self.interval.note else "")


def counts(predictions: pd.DataFrame, unit: str = "speaker", classes: Sequence[str] | None = None) -> np.ndarray:
    """Count confusions for each seed and cluster: all that the scores and intervals need.

    Args:
        predictions: See `ser_core.metrics.validate`.
        unit: The column whose values are the clusters; ``clip`` makes each clip its own cluster.
        classes: The K classes in order; by default `ser_core.metrics.class_names`.

    Returns:
        Integers of shape (S, G, K, K): seeds and clusters in ascending order, truth, prediction.

    Raises:
        SerError: If the predictions are invalid, or ``unit`` is not a column or is empty in some rows.

    Examples:
        >>> table = pd.DataFrame({"clip": ["a", "b"], "truth": ["sad", "sad"], "prediction": ["sad", "happy"]})
        >>> counts(table.assign(speaker=["x", "y"])).shape
        (1, 2, 2, 2)
    """
    predictions = metrics.validate(predictions)
    names = metrics.class_names(predictions) if classes is None else classes
    if unit not in predictions:
        raise SerError(
            f"the predictions have no column '{unit}' to resample; add it, as in predictions.assign({unit}="
            f"predictions['clip'].map(clips['{unit}'])), or choose one of {list(predictions.columns)}"
        )
    if predictions[unit].isna().any():
        n = int(predictions[unit].isna().sum())
        raise SerError(f"{n} of {len(predictions)} predictions have no {unit}; fill it in or resample another unit")
    seed, seeds = pd.factorize(predictions["seed"], sort=True)
    cluster, clusters = pd.factorize(predictions[unit], sort=True)
    s, g, k = len(seeds), len(clusters), len(names)
    flat = metrics.confusion(
        predictions["truth"], predictions["prediction"], names, groups=seed * g + cluster, n_groups=s * g
    )
    return flat.reshape(s, g, k, k)


def effective(counts: np.ndarray) -> np.ndarray:
    """Return the effective number of clusters of each class: the inverse Simpson index of its clips over clusters.

    G when all G clusters have as many clips of the class, 1 when one has them all, 0 when there are none.

    Args:
        counts: Shape (S, G, K, K), as from `counts`.

    Returns:
        Shape (K,), in [0, G].

    Examples:
        >>> effective(np.array([[[[8, 0], [0, 2]], [[8, 0], [0, 0]]]]))
        array([2., 1.])
    """
    clips = metrics.support(counts).mean(axis=0)
    total = clips.sum(axis=0)
    return np.divide(total**2, (clips**2).sum(axis=0), out=np.zeros_like(total), where=total > 0)


def interval(predictions: pd.DataFrame, metric: str = "uar", *, unit: str = "speaker", **options) -> Interval:
    """Return a metric of predictions with its bootstrap interval over speakers.

    Args:
        predictions: See `ser_core.metrics.validate`.
        metric: One of `ser_core.metrics.METRICS`, or ``recall:<class>``.
        unit: The column to resample. ``clip`` gives the interval that pretends clips are independent.
        **options: ``classes``, and all of `from_counts`.

    Returns:
        The interval; a refused one when the data cannot support it.

    Raises:
        SerError: As `counts` and `ser_core.metrics.metric`.

    Examples:
        >>> table = pd.DataFrame({"clip": list("abcdef"), "speaker": list("uvwxyz"), "truth": "sad"})
        >>> interval(table.assign(prediction=["sad"] * 5 + ["happy"]), "wa").text(digits=2)
        '0.83 [0.50, 1.00]'
    """
    names = options.pop("classes", None) or metrics.class_names(metrics.validate(predictions))
    return from_counts(counts(predictions, unit, names), metric, classes=names, unit=unit, **options)


def from_counts(
    counts: np.ndarray,
    metric: str = "uar",
    *,
    classes: Sequence[str],
    unit: str = "speaker",
    method: str = resampling.METHOD,
    n_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    min_effective: float = 3.0,
    min_clusters: int = MIN_CLUSTERS,
) -> Interval:
    """Return the bootstrap interval of a metric from confusion counts.

    A resample draws as many clusters as there are, with replacement, and takes all clips of each. With several
    seeds it also draws as many seeds and averages the metric over them: seeds are a second level and never more
    clips. (Resampling both factors is slightly too wide rather than too narrow: Owen 2007.)

    Source:
        B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13 (percentile interval);
        C. A. Field and A. H. Welsh, "Bootstrapping clustered data", JRSS B 69, 2007;
        A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007;
        T. C. Hesterberg, "What teachers should know about the bootstrap", American Statistician 69, 2015
        (``expanded``).

    Args:
        counts: Shape (S, G, K, K), as from `counts`.
        metric: One of `ser_core.metrics.METRICS`, or ``recall:<class>``.
        classes: The K classes in order.
        unit: What a cluster is, for messages.
        method: ``percentile``, or ``expanded``: percentiles moved outwards by the factor that a t interval has
            over a normal one with the plug-in variance, which mends much of the percentile's shortness when
            clusters are few.
        n_resamples: Number of resamples.
        level: Nominal coverage.
        seed: Of the random numbers; the same seed and counts give the same interval, in any row order.
        min_effective: The fewest effective clusters (see `effective`) a class may have.
        min_clusters: The fewest clusters.

    Returns:
        The interval. It is refused, with NaN ends and the reason, if clusters are too few, if a class that the
        metric averages has too few effective clusters, or if one would be absent from over 5 % of resamples; those
        that lack the class of a ``recall:`` are left out.

    Raises:
        SerError: If the method or metric is unknown.
    """
    resampling.check(method)
    function = metrics.metric(metric, classes)
    value = float(function(counts.sum(axis=1)).mean())
    refusal = _refusal([counts], metric, classes, unit, min_effective, min_clusters)
    low = high = np.nan
    if refusal is None:
        (values,) = resampling.resampled([counts], function, n_resamples, np.random.default_rng(seed), same_seeds=True)
        low, high = resampling.ends(values, level, method, counts.shape[1])
    note = _note(counts, classes)
    return Interval(value, low, high, level, method, unit, counts.shape[1], refusal, note)


def _note(counts: np.ndarray, classes: Sequence[str]) -> str:
    """Name the classes without a clip in all seeds, or in some when seeds cover different clips."""
    empty = (metrics.support(counts).sum(axis=1) == 0).sum(axis=0)
    notes = []
    for n in sorted(set(empty[empty > 0]), reverse=True):
        names = ", ".join(name for name, of in zip(classes, empty, strict=True) if of == n)
        notes.append(f"absent class: {names}" if n == len(counts) else f"absent in {n} of {len(counts)} seeds: {names}")
    return "; ".join(notes)


def _refusal(
    tables: list[np.ndarray],
    metric: str,
    classes: Sequence[str],
    unit: str,
    min_effective: float,
    min_clusters: int,
) -> str | None:
    """Return why these counts cannot carry an interval, or None."""
    g = tables[0].shape[1]
    if g < min_clusters:
        return f"{g} {unit}{'s' if g > 1 else ''}, fewer than {min_clusters}"
    for table in tables:
        having = (metrics.support(table) > 0).any(axis=0).sum(axis=0)
        for name, n_effective, n_having in zip(classes, effective(table), having, strict=True):
            if metric.startswith("recall:") and metric != f"recall:{name}":
                continue
            if 0 < n_effective < min_effective:
                return f"{name}: {n_effective:.1f} effective {unit}s, fewer than {min_effective:g}"
            if n_having and (missing := (1 - n_having / g) ** g) > MAX_ABSENT:
                return f"{name}: absent from {missing:.0%} of resamples, more than {MAX_ABSENT:.0%}"
            if metric.startswith("recall:") and not n_having:
                return "no clip of the class"
    return None


def difference(
    a: pd.DataFrame,
    b: pd.DataFrame,
    metric: str = "uar",
    *,
    unit: str = "speaker",
    classes: Sequence[str] | None = None,
    method: str = resampling.METHOD,
    n_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    min_effective: float = 3.0,
    min_clusters: int = MIN_CLUSTERS,
) -> Difference:
    """Return a's metric minus b's, with a paired interval and a permutation test.

    Both systems are scored on the same resamples of the same clusters, and of the same seeds where they have the
    same ones. The p-value asks how often swapping the two systems' answers, for each cluster by the flip of a
    coin, gives a difference at least as large: all 2^G swaps if there are at most ``n_resamples``, else that many
    random ones, the observed one counted among them. For the test, counts are first averaged over seeds.

    Source:
        P. Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005 (swaps within pairs);
        A. Yeh, "More accurate tests for the statistical significance of result differences", COLING 2000;
        B. Phipson and G. K. Smyth, "Permutation p-values should never be zero", Stat. Appl. Genet. Mol. Biol. 9,
        2010.

    Args:
        a: Predictions of the first system.
        b: Predictions of the second system, for the same clips with the same truth and clusters. If both have the
            same seeds, then for the same (seed, clip) pairs; else each seed of each must cover the same clips.
        metric: One of `ser_core.metrics.METRICS`, or ``recall:<class>``.
        unit: The column to resample and to swap by.
        classes: The classes of the task; by default `ser_core.metrics.class_names` of both.
        method: ``percentile`` or ``expanded``, see `from_counts`.
        n_resamples: Number of resamples, and of random swaps.
        level: Nominal coverage.
        seed: Of the random numbers.
        min_effective: The fewest effective clusters a class may have.
        min_clusters: The fewest clusters for an interval; the p-value is exact with any number.

    Returns:
        The difference; its interval is refused where either score's would be.

    Raises:
        SerError: If clips, truth or clusters of the two differ; the message states both sides.

    Examples:
        >>> a = pd.DataFrame({"clip": list("abcdef"), "speaker": list("uvwxyz"), "truth": "sad", "prediction": "sad"})
        >>> result = difference(a, a.assign(prediction=["sad", "sad", "happy", "sad", "sad", "sad"]))
        >>> round(result.interval.value, 3), result.p_value, result.method
        (0.167, 1.0, 'exact permutation')
    """
    resampling.check(method)
    same_seeds = _check_paired(a, b, unit)
    names = classes or sorted({*metrics.class_names(a), *metrics.class_names(b)})
    tables = [counts(a, unit, names), counts(b, unit, names)]
    function = metrics.metric(metric, names)
    rng = np.random.default_rng(seed)
    value = float(function(tables[0].sum(axis=1)).mean() - function(tables[1].sum(axis=1)).mean())
    refusal = _refusal(tables, metric, names, unit, min_effective, min_clusters)
    low = high = np.nan
    g = tables[0].shape[1]
    if refusal is None:
        first, second = resampling.resampled(tables, function, n_resamples, rng, same_seeds=same_seeds)
        low, high = resampling.ends(first - second, level, method, g)
    p_value, exact = resampling.swap_test(*(table.mean(axis=0) for table in tables), function, n_resamples, rng)
    note = _note(tables[0], names)
    result = Interval(value, low, high, level, method, unit, g, refusal, note)
    return Difference(result, p_value, f"{'exact' if exact else 'random'} permutation")


def _check_paired(a: pd.DataFrame, b: pd.DataFrame, unit: str) -> bool:
    """Raise unless a and b pair clip by clip; return whether they have the same seeds."""
    a, b = metrics.validate(a), metrics.validate(b)
    same_seeds = set(a["seed"]) == set(b["seed"])
    facts = []
    for table in (a, b):
        if unit not in table:
            raise SerError(f"the predictions have no column '{unit}'; they have {list(table.columns)}")
        seeds, clips = table["seed"].nunique(), table["clip"].nunique()
        if not same_seeds and len(table) != seeds * clips:
            raise SerError(
                f"the systems have different seeds, {a['seed'].unique().tolist()} and {b['seed'].unique().tolist()}, "
                f"and not every seed covers the same clips; compare systems run with the same seeds"
            )
        keys = ["seed", "clip"] if same_seeds else ["clip"]
        facts.append(table.drop_duplicates(keys).set_index(keys)[["truth"] if unit == "clip" else ["truth", unit]])
    first, second = facts
    only_a, only_b = first.index.difference(second.index), second.index.difference(first.index)
    if len(only_a) or len(only_b):
        example = _key((only_a if len(only_a) else only_b)[0])
        raise SerError(
            f"the systems cover different clips: {len(first)} and {len(second)}, {len(only_a)} only in the first and "
            f"{len(only_b)} only in the second, such as {example}; a paired difference needs the same"
        )
    for column in first:
        other = second[column].reindex(first.index)
        differ = (first[column].astype("object") != other.astype("object")).to_numpy()
        if differ.any():
            clip, x, y = _key(first.index[differ][0]), first[column][differ].iloc[0], other[differ].iloc[0]
            raise SerError(f"the systems differ in {column} in {differ.sum()} rows, first {clip}: {x!r} != {y!r}")
    return same_seeds


def _key(key: object) -> str:
    return f"clip '{key[1]}' of seed {key[0]}" if isinstance(key, tuple) else f"clip '{key}'"


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return p-values adjusted for their number by Holm's step-down method, in the order given.

    Source:
        S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6,
        1979.

    Args:
        p_values: The m p-values of a family of comparisons, in [0, 1].

    Returns:
        Shape (m,), in [0, 1].

    Raises:
        SerError: If one is missing or not in [0, 1].

    Examples:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise SerError(f"p-values must be in [0, 1], got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted
