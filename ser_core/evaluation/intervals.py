"""How sure a score is: its bootstrap interval over speakers, and when there can be none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser_core.errors import SerError
from ser_core.evaluation import bootstrap, metrics

# 4 clusters allow only 35 distinct resamples, and `ser_core.experiments.coverage` finds that a 95 % interval then
# misses the truth more than twice as often as it says, even the expanded one.
MIN_CLUSTERS = 5
# Fewer clusters with most clips of a class say as little of it.
MIN_EFFECTIVE = 3.0
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
        method: ``expanded`` or ``percentile``.
        unit: What was resampled: ``speaker``, ``clip``, ...
        n_clusters: How many of them.
        refusal: Why there is no interval; None when there is one.
        note: What must be said beside the value, as ``absent class: sad``; else empty.
        slack: How far an end may lie from where infinitely many resamples would put it: two standard errors.
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
    slack: float = 0.0

    @property
    def half_width(self) -> float:
        """How far plus and minus: half the distance of the ends; NaN when refused.

        Examples:
            >>> round(Interval(0.6123, 0.5708, 0.6502, 0.95, "expanded", "speaker", 24).half_width, 4)
            0.0397
        """
        return (self.high - self.low) / 2

    def side(self, of: float = 0.0) -> int:
        """Return 1 or -1 if the whole interval is above or below a value, else 0.

        An end within `slack` of it touches it: on which side it lies is the random numbers' doing. 0 also when there
        is no interval.

        Args:
            of: The value, as 0 for a difference, or chance for a score.

        Examples:
            >>> Interval(0.03, 0.001, 0.06, 0.95, "expanded", "speaker", 24).side()
            1
            >>> Interval(0.03, 0.001, 0.06, 0.95, "expanded", "speaker", 24, slack=0.002).side()
            0
        """
        return int(self.low > of + self.slack) - int(self.high < of - self.slack)

    def text(self, percent: bool = False, digits: int | None = None, signed: bool = False, reasons: bool = True) -> str:
        """Return the score for prose and tables.

        Args:
            percent: Show 61.2 for 0.612.
            digits: Decimals; 3, or 1 with ``percent``.
            signed: Show a plus sign, and ±0.0 for an end that touches 0, see `side`.
            reasons: Show why there is no interval; False for the score alone then.

        Examples:
            >>> Interval(0.6123, 0.5708, 0.6502, 0.95, "expanded", "speaker", 24).text()
            '0.612 [0.571, 0.650]'
            >>> Interval(0.6123, np.nan, np.nan, 0.95, "expanded", "speaker", 4, "4 speakers, fewer than 5").text()
            '0.612 (no interval: 4 speakers, fewer than 5)'
            >>> Interval(0.6123, np.nan, np.nan, 0.95, "", "speaker", 4, "4 speakers, fewer than 5").text(reasons=False)
            '0.612'
        """
        digits = (1 if percent else 3) if digits is None else digits
        # Adding 0.0 after rounding turns -0.0 into 0.0.
        value, low, high = (
            f"{round(100 * x if percent else x, digits) + 0.0:{'+' if signed else ''}.{digits}f}"
            for x in (self.value, self.low, self.high)
        )
        if signed and 0 < self.slack:
            low, high = (
                f"±{0:.{digits}f}" if abs(end) <= self.slack else shown
                for end, shown in ((self.low, low), (self.high, high))
            )
        if self.refusal is None:
            return f"{value} [{low}, {high}]"
        return f"{value} (no interval: {self.refusal})" if reasons else value

    def __str__(self) -> str:
        """Return `text`, with the note if there is one."""
        return self.text() + (f" ({self.note})" if self.note else "")


def counts(predictions: pd.DataFrame, unit: str = "speaker", classes: Sequence[str] | None = None) -> np.ndarray:
    """Count confusions for each seed and cluster: all that the scores and intervals need.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`.
        unit: The column whose values are the clusters; ``clip`` makes each clip its own cluster.
        classes: The K classes in order; by default `ser_core.evaluation.metrics.class_names`.

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


def design(predictions: pd.DataFrame) -> tuple[int, ...] | None:
    """Return how the trainings of predictions are crossed, as (3, 3) for three draws of dev speakers with three seeds.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`. A column ``draw`` beside ``seed`` numbers the draws;
            the i-th smallest ``seed`` of each draw is the same seed.

    Returns:
        The numbers of draws and of seeds, or None if there is no such column or not every draw has as many seeds.

    Examples:
        >>> design(pd.DataFrame({"draw": [0, 0, 1, 1], "seed": [0, 1, 2, 3]}))
        (2, 2)
    """
    if "draw" not in predictions:
        return None
    seeds = predictions.groupby("draw")["seed"].nunique()
    return (len(seeds), int(seeds.iloc[0])) if seeds.nunique() == 1 else None


def interval(predictions: pd.DataFrame, metric: str = "uar", *, unit: str = "speaker", **options) -> Interval:
    """Return a metric of predictions with its bootstrap interval over speakers.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`.
        metric: One of `ser_core.evaluation.metrics.METRICS`, or ``recall:<class>`` or ``f1:<class>``.
        unit: The column to resample. ``clip`` gives the interval that pretends clips are independent.
        **options: ``classes``, and all of `from_counts`.

    Returns:
        The interval; a refused one when the data cannot support it.

    Raises:
        SerError: As `counts` and `ser_core.evaluation.metrics.metric`.

    Examples:
        >>> table = pd.DataFrame({"clip": list("abcdef"), "speaker": list("uvwxyz"), "truth": "sad"})
        >>> interval(table.assign(prediction=["sad"] * 5 + ["happy"]), "wa").text(digits=2)
        '0.83 [0.33, 1.00]'
    """
    names = options.pop("classes", None) or metrics.class_names(metrics.validate(predictions))
    return from_counts(
        counts(predictions, unit, names), metric, classes=names, unit=unit, design=design(predictions), **options
    )


def from_counts(
    counts: np.ndarray,
    metric: str = "uar",
    *,
    classes: Sequence[str],
    unit: str = "speaker",
    design: Sequence[int] | None = None,
    method: str = bootstrap.METHOD,
    n_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    min_effective: float = MIN_EFFECTIVE,
    min_clusters: int = MIN_CLUSTERS,
) -> Interval:
    """Return the bootstrap interval of a metric from confusion counts.

    A resample draws as many clusters as there are, with replacement, and takes all clips of each. With several
    seeds it also draws as many of their deviations from the mean over seeds (see
    `ser_core.evaluation.bootstrap.deviations`): seeds are a second level and never more clips. With one seed, what
    another training would give is not covered. (Both levels count how seeds differ from cluster to cluster, so that
    the interval is slightly too wide rather than too narrow: Owen 2007.)

    Source:
        Hesterberg, "What teachers should know about the bootstrap", American Statistician 69, 2015 (``expanded``);
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13 (``percentile``);
        Field and Welsh, "Bootstrapping clustered data", JRSS B 69, 2007;
        Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007.

    Args:
        counts: Shape (S, G, K, K), as from `counts`.
        metric: One of `ser_core.evaluation.metrics.METRICS`, or ``recall:<class>`` or ``f1:<class>``.
        classes: The K classes in order.
        unit: What a cluster is, for messages.
        design: How the S trainings are crossed, see `design`; by default S seeds.
        method: ``expanded``: percentiles moved outwards by the factor that a t interval has over a normal one with
            the plug-in variance; or ``percentile``, plainly those, which are too short when clusters are few.
        n_resamples: Number of resamples.
        level: Nominal coverage.
        seed: Of the random numbers; the same seed and counts give the same interval, in any row order.
        min_effective: The fewest effective clusters (see `effective`) a class may have.
        min_clusters: The fewest clusters.

    Returns:
        The interval. It is refused, with NaN ends and the reason, if clusters are too few, if a class that the
        metric averages has too few effective clusters, or if one would be absent from over 5 % of resamples; those
        that lack the one class of a metric are left out.

    Raises:
        SerError: If the method or metric is unknown.
    """
    bootstrap.check(method)
    function = metrics.metric(metric, classes)
    value = float(function(counts.sum(axis=1)).mean())
    refusal = why_refused([counts], metric, classes, unit, min_effective, min_clusters)
    low, high, slack = np.nan, np.nan, 0.0
    if refusal is None:
        (values,) = bootstrap.resampled(
            [counts], function, n_resamples, np.random.default_rng(seed), same_seeds=True, designs=[design]
        )
        trainings = bootstrap.deviations(function(counts.sum(axis=1)), design)
        low, high = bootstrap.ends(values, level, method, counts.shape[1], trainings)
        slack = bootstrap.slack(values, level, method, counts.shape[1], trainings)
    return Interval(value, low, high, level, method, unit, counts.shape[1], refusal, absences(counts, classes), slack)


def absences(counts: np.ndarray, classes: Sequence[str]) -> str:
    """Return the note that names the classes without a clip in all seeds, or in some if seeds cover different clips.

    Examples:
        >>> absences(np.array([[[[8, 0], [0, 0]]]]), ["happy", "sad"])
        'absent class: sad'
    """
    empty = (metrics.support(counts).sum(axis=1) == 0).sum(axis=0)
    notes = []
    for n in sorted(set(empty[empty > 0]), reverse=True):
        names = ", ".join(name for name, of in zip(classes, empty, strict=True) if of == n)
        notes.append(f"absent class: {names}" if n == len(counts) else f"absent in {n} of {len(counts)} seeds: {names}")
    return "; ".join(notes)


def why_refused(
    tables: Sequence[np.ndarray],
    metric: str,
    classes: Sequence[str],
    unit: str,
    min_effective: float = MIN_EFFECTIVE,
    min_clusters: int = MIN_CLUSTERS,
) -> str | None:
    """Return why counts cannot carry an interval, or None if they can.

    Args:
        tables: Counts of shape (S, G, K, K), one for each system that the interval is of.
        metric: See `from_counts`; that of one class asks for that class only.
        classes: The K classes in order.
        unit: What a cluster is.
        min_effective: The fewest effective clusters a class may have.
        min_clusters: The fewest clusters.

    Examples:
        >>> why_refused([np.ones((1, 3, 2, 2))], "uar", ["happy", "sad"], "speaker")
        '3 speakers, fewer than 5'
    """
    g, only, few, absent = tables[0].shape[1], metric.partition(":")[2], {}, None
    if g < min_clusters:
        return f"{g} {unit}{'s' if g > 1 else ''}, fewer than {min_clusters}"
    for table in tables:
        having = (metrics.support(table) > 0).any(axis=0).sum(axis=0)
        for name, n_effective, n_having in zip(classes, effective(table), having, strict=True):
            if only and name != only:
                continue
            if 0 < n_effective < min_effective:
                few[n_effective] = f"{name}: {n_effective:.1f} effective {unit}s, fewer than {min_effective:g}"
            if n_having and (missing := (1 - n_having / g) ** g) > MAX_ABSENT:
                absent = absent or f"{name}: absent from {missing:.0%} of resamples, more than {MAX_ABSENT:.0%}"
            if only and not n_having:
                return "no clip of the class"
    return few[min(few)] if few else absent
