"""Whether one system is better than another: paired differences with their intervals and tests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ser_core.errors import SerError
from ser_core.evaluation import bootstrap, intervals
from ser_core.evaluation.intervals import Interval
from ser_core.evaluation.pairing import Paired, paired


@dataclass(frozen=True)
class Difference:
    """The difference of two systems on the same clips.

    Attributes:
        interval: Of first minus second; its unit, clusters and refusal are as for one score.
        p_value: Two-sided, of the question that the interval answers. That of a permutation is valid for any number of
            clusters, also when the interval is refused; that of Student's t is NaN then.
        method: ``exact permutation`` or ``random permutation`` where each system was trained once; else
            ``Student's t of the resamples``, which counts that other seeds give other differences.
        error: Standard error of the difference, over clusters and trainings; NaN when the interval is refused.
        freedom: Degrees of freedom of the standard error.
    """

    interval: Interval
    p_value: float
    method: str
    error: float = np.nan
    freedom: float = np.nan

    def text(self, percent: bool = False, digits: int | None = None) -> str:
        """Return the difference for prose and tables.

        Examples:
            >>> Difference(Interval(0.031, 0.01, 0.052, 0.95, "expanded", "speaker", 24), 0.004, "exact").text()
            '+0.031 [+0.010, +0.052], p = 0.004'
        """
        return f"{self.interval.text(percent, digits, signed=True)}, {p_text(self.p_value, 'p')}"

    def points(self, reasons: bool = True) -> str:
        """Return the difference in points with its interval, without the p-value.

        Args:
            reasons: Show why there is no interval; False for the difference alone then.

        Examples:
            >>> Difference(Interval(0.031, 0.01, 0.052, 0.95, "expanded", "speaker", 24), 0.004, "exact").points()
            '+3.1 [+1.0, +5.2]'
        """
        return self.interval.text(percent=True, signed=True, reasons=reasons)

    def __str__(self) -> str:
        """Return `text`, with the note if there is one."""
        return self.text() + (f" ({self.interval.note})" if self.interval.note else "")


def p_text(p: float, symbol: str = "") -> str:
    """Return a p-value for prose and tables.

    Args:
        p: In [0, 1]; NaN for a comparison that is in no family, see `ser_core.evaluation.families.differences`.
        symbol: What stands before it in prose.

    Returns:
        Three digits, or that it is less than they show.

    Examples:
        >>> p_text(0.0004), p_text(0.0213), p_text(0.0213, "p"), p_text(float("nan"))
        ('< 0.001', '0.021', 'p = 0.021', 'not tested')
    """
    if np.isnan(p):
        return "not tested"
    if p < 0.001:
        return f"{symbol} < 0.001".strip()
    return f"{symbol} = {p:.3f}" if symbol else f"{p:.3f}"


def difference(
    a: pd.DataFrame,
    b: pd.DataFrame,
    metric: str = "uar",
    *,
    unit: str = "speaker",
    classes: Sequence[str] | None = None,
    same_truth: bool = True,
    as_trained: bool = False,
    **options,
) -> Difference:
    """Return a's metric minus b's, with a paired interval and a permutation test.

    Both systems are scored on the same resamples of the same clusters, and of the same seeds where they have the
    same ones. Interval and p-value answer one question:

    - Each system was trained once: other clusters. The p-value asks how often swapping the two systems' answers, for
      each cluster by the flip of a coin, gives a difference at least as large: all 2^G swaps if there are at most
      ``n_resamples``, else that many random ones, the observed one counted among them. What other seeds would give is
      not covered, by neither.
    - A system has several seeds: other clusters and other seeds. Swaps of answers cannot say what other seeds would
      do. So the p-value is that of Student's t, of the difference in standard errors of the resamples, in which a part
      is the seeds' (`ser_core.evaluation.bootstrap.spread`). Three seeds are few: such an error is itself uncertain,
      which the degrees of freedom count.

    Source:
        Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005;
        Yeh, "More accurate tests for the statistical significance of result differences", COLING 2000;
        Phipson and Smyth, "Permutation p-values should never be zero", Stat. Appl. Genet. Mol. Biol. 9, 2010.

    Args:
        a: Predictions of the first system.
        b: Predictions of the second system, for the same clips with the same truth and clusters. If both have the
            same seeds, then for the same (seed, clip) pairs; else each seed of each must cover the same clips.
        metric: One of `ser_core.evaluation.metrics.METRICS`, or ``recall:<class>`` or ``f1:<class>``.
        unit: The column to resample and to swap by.
        classes: The classes of the task; by default `ser_core.evaluation.metrics.class_names` of both.
        same_truth: False if the two are of different tasks on the same clips, such as arousal and valence, with equally
            many classes each; ``classes`` then says nothing. Answers to different questions cannot be swapped, so that
            the p-value then is that of Student's t.
        as_trained: Ask about other clusters only, with the seeds as they are, whose counts are averaged. For a system
            that was made of another's seeds, and so has luck in common with them that their resamples cannot show.
        **options: See `of_paired`.

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
    both = paired(a, b, metric, unit=unit, classes=classes, same_truth=same_truth)
    return of_paired(both.as_trained() if as_trained else both, **options)


def of_paired(
    both: Paired,
    *,
    method: str = bootstrap.METHOD,
    n_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    min_effective: float = intervals.MIN_EFFECTIVE,
    min_clusters: int = intervals.MIN_CLUSTERS,
) -> Difference:
    """Return the difference of two systems that `ser_core.evaluation.pairing.paired` has counted, see `difference`.

    Args:
        both: The counts of both systems.
        method: ``expanded`` or ``percentile``, see `ser_core.evaluation.intervals.from_counts`.
        n_resamples: Number of resamples, and of random swaps.
        level: Nominal coverage.
        seed: Of the random numbers.
        min_effective: The fewest effective clusters a class may have.
        min_clusters: The fewest clusters for an interval; the p-value is valid with any number.

    Returns:
        As of `difference`.

    Examples:
        >>> a = pd.DataFrame({"clip": list("abc"), "speaker": list("uvw"), "truth": "sad", "prediction": "sad"})
        >>> of_paired(paired(a, a)).p_value
        1.0
    """
    bootstrap.check(method)
    value, g = both.value, len(both.clusters)
    refusal = intervals.why_refused(both.tables, both.metric, both.classes, both.unit, min_effective, min_clusters)
    low = high = p_value = error = freedom = np.nan
    slack = 0.0
    if refusal is None:
        draws = both.resampled(n_resamples, np.random.default_rng(seed))
        low, high = bootstrap.ends(draws, level, method, g, both.trainings)
        slack = bootstrap.slack(draws, level, method, g, both.trainings)
        p_value, error, freedom = _student(value, draws, g, both.tables, both.trainings)
    note = intervals.absences(both.tables[0], both.classes)
    result = Interval(value, low, high, level, method, both.unit, g, refusal, note, slack)
    if not both.same_truth or max(map(len, both.tables)) > 1:
        return Difference(result, p_value, STUDENT, error, freedom)
    rng = np.random.default_rng([seed, 1])  # as of `ser_core.evaluation.families.max_t`, whatever was resampled before
    first, second = (table[0] for table in both.tables)
    p_value, exact = bootstrap.swap_test(first, second, both.function, n_resamples, rng)
    return Difference(result, p_value, f"{'exact' if exact else 'random'} permutation", error, freedom)


STUDENT = "Student's t of the resamples"


def _student(
    value: float,
    draws: np.ndarray,
    n_clusters: int,
    tables: Sequence[np.ndarray],
    trainings: Sequence[np.ndarray],
) -> tuple[float, float, float]:
    """Return the two-sided p-value of a difference in standard errors of its resamples, the error and its freedom.

    A class that a few clusters have most of is known no better than those few allow: the clusters' part has as many
    degrees of freedom as the class that has fewest has effective clusters, less 1.
    """
    of_clusters = min(n for table in tables for n in intervals.effective(table) if n > 0) - 1
    found = bootstrap.spread(draws, n_clusters, trainings, cluster_freedom=of_clusters)
    p_value = 2 * stats.t.sf(abs(value) / found.error, found.freedom) if found.error else float(value == 0)
    return float(p_value), found.error, found.freedom


def asymmetry(
    first: tuple[pd.DataFrame, pd.DataFrame],
    second: tuple[pd.DataFrame, pd.DataFrame],
    metric: str = "uar",
    *,
    unit: str = "speaker",
    n_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Return how much larger a paired difference on some clips is than another on other clips.

    Scores from A to B and from B to A are of different clips, and differ already if B is the easier corpus. What can be
    compared is what is lost on each: the system that knows the corpus minus the one that does not, paired on its own
    clips. The two losses are resampled independently of each other. The p-value is that of Student's t, of the
    difference in standard deviations of the resamples; degrees of freedom are the effective clusters (see
    `ser_core.evaluation.intervals.effective`) of the class that has fewest, minus 1.

    Args:
        first: Predictions of two systems for the same clips, see `difference`.
        second: Predictions of two systems for other clips, of other clusters.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        unit: The column to resample.
        n_resamples: Number of resamples.
        level: Nominal coverage.
        seed: Of the random numbers.

    Returns:
        The first difference minus the second; its interval, and with it the p-value (NaN then), is refused where one
        of the scores' is. Its number of clusters is that of the smaller part.

    Raises:
        SerError: As `difference`; or if the two parts share clusters.

    Examples:
        >>> a = pd.DataFrame({"clip": list("abcdef"), "speaker": list("uvwxyz"), "truth": "sad", "prediction": "sad"})
        >>> worse = a.assign(prediction=["sad", "sad", "happy", "sad", "sad", "sad"])
        >>> other = {"clip": list("ghijkl"), "speaker": list("opqrst")}
        >>> round(asymmetry((a, worse), (a.assign(**other), a.assign(**other))).interval.value, 3)
        0.167
    """
    if shared := set(first[0][unit]) & set(second[0][unit]):
        raise SerError(f"both parts have the {unit} {sorted(shared)[0]!r}; their clips must come from different ones")
    parts = [paired(a, b, metric, unit=unit) for a, b in (first, second)]
    draws, refusal = [], None
    for number, part in enumerate(parts):
        refusal = refusal or intervals.why_refused(part.tables, metric, part.classes, unit)
        draws.append(part.resampled(n_resamples, np.random.default_rng([seed, number])))
    value, drawn = parts[0].value - parts[1].value, draws[0] - draws[1]
    g = min(len(part.clusters) for part in parts)
    trainings = [way for part in parts for way in part.trainings]
    counted = [table for part in parts for table in part.tables]
    low = high = p_value = error = freedom = np.nan
    slack = 0.0
    if refusal is None:
        low, high = bootstrap.ends(drawn, level, bootstrap.METHOD, g, trainings)
        slack = bootstrap.slack(drawn, level, bootstrap.METHOD, g, trainings)
        p_value, error, freedom = _student(value, drawn, g, counted, trainings)
    notes = [intervals.absences(part.tables[0], part.classes) for part in parts]
    note = "; ".join(dict.fromkeys(filter(None, notes)))
    result = Interval(value, low, high, level, bootstrap.METHOD, unit, g, refusal, note, slack)
    return Difference(result, p_value, STUDENT, error, freedom)
