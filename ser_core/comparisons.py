"""Whether one system is better than another: paired differences, permutation tests, and many of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ser_core import intervals, metrics, resampling
from ser_core.errors import SerError
from ser_core.intervals import Interval


@dataclass(frozen=True)
class Difference:
    """The difference of two systems on the same clips.

    Attributes:
        interval: Of first minus second; its unit, clusters and refusal are as for one score.
        p_value: Two-sided. That of a permutation is valid for any number of clusters, also when the interval is
            refused; that of Student's t is NaN then.
        method: ``exact permutation``, ``random permutation`` or ``Student's t of the resamples``.
    """

    interval: Interval
    p_value: float
    method: str

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
        p: In [0, 1].
        symbol: What stands before it in prose.

    Returns:
        Three digits, or that it is less than they show.

    Examples:
        >>> p_text(0.0004), p_text(0.0213), p_text(0.0213, "p")
        ('< 0.001', '0.021', 'p = 0.021')
    """
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
    method: str = resampling.METHOD,
    n_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    min_effective: float = 3.0,
    min_clusters: int = intervals.MIN_CLUSTERS,
) -> Difference:
    """Return a's metric minus b's, with a paired interval and a permutation test.

    Both systems are scored on the same resamples of the same clusters, and of the same seeds where they have the
    same ones. The p-value asks how often swapping the two systems' answers, for each cluster by the flip of a
    coin, gives a difference at least as large: all 2^G swaps if there are at most ``n_resamples``, else that many
    random ones, the observed one counted among them. For the test, counts are first averaged over seeds.

    Source:
        Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005;
        Yeh, "More accurate tests for the statistical significance of result differences", COLING 2000;
        Phipson and Smyth, "Permutation p-values should never be zero", Stat. Appl. Genet. Mol. Biol. 9, 2010.

    Args:
        a: Predictions of the first system.
        b: Predictions of the second system, for the same clips with the same truth and clusters. If both have the
            same seeds, then for the same (seed, clip) pairs; else each seed of each must cover the same clips.
        metric: One of `ser_core.metrics.METRICS`, or ``recall:<class>`` or ``f1:<class>``.
        unit: The column to resample and to swap by.
        classes: The classes of the task; by default `ser_core.metrics.class_names` of both.
        same_truth: False if the two are of different tasks on the same clips, such as arousal and valence, with equally
            many classes each; ``classes`` then says nothing. Answers to different questions cannot be swapped, so that
            the p-value then is that of Student's t, as of `asymmetry`.
        method: ``expanded`` or ``percentile``, see `ser_core.intervals.from_counts`.
        n_resamples: Number of resamples, and of random swaps.
        level: Nominal coverage.
        seed: Of the random numbers.
        min_effective: The fewest effective clusters a class may have.
        min_clusters: The fewest clusters for an interval; the p-value is valid with any number.

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
    same_seeds = _check_paired(a, b, unit, same_truth)
    if same_truth:
        names = classes or sorted({*metrics.class_names(a), *metrics.class_names(b)})
        tables = [intervals.counts(a, unit, names), intervals.counts(b, unit, names)]
    else:
        of_a, of_b = metrics.class_names(a), metrics.class_names(b)
        if len(of_a) != len(of_b):
            raise SerError(f"the tasks have different numbers of classes, {list(of_a)} and {list(of_b)}")
        tables = [intervals.counts(a, unit, of_a), intervals.counts(b, unit, of_b)]
        names = [" or ".join(pair) for pair in zip(of_a, of_b, strict=True)]
    function = metrics.metric(metric, names)
    rng = np.random.default_rng(seed)
    value = float(function(tables[0].sum(axis=1)).mean() - function(tables[1].sum(axis=1)).mean())
    refusal = intervals.why_refused(tables, metric, names, unit, min_effective, min_clusters)
    low = high = p_value = np.nan
    g = tables[0].shape[1]
    if refusal is None:
        first, second = resampling.resampled(tables, function, n_resamples, rng, same_seeds=same_seeds)
        low, high = resampling.ends(first - second, level, method, g)
        p_value = _student(value, first - second, g, tables)
    result = Interval(value, low, high, level, method, unit, g, refusal, intervals.absences(tables[0], names))
    if not same_truth:
        return Difference(result, p_value, _STUDENT)
    p_value, exact = resampling.swap_test(*(table.mean(axis=0) for table in tables), function, n_resamples, rng)
    return Difference(result, p_value, f"{'exact' if exact else 'random'} permutation")


_STUDENT = "Student's t of the resamples"


def _student(value: float, draws: np.ndarray, n_clusters: int, tables: Sequence[np.ndarray]) -> float:
    """Return the two-sided p-value of a difference in standard deviations of its resamples.

    A class that a few clusters have most of is known no better than those few allow: degrees of freedom are the
    effective clusters of the class that has fewest, minus 1.
    """
    error = np.nanstd(draws) * np.sqrt(n_clusters / (n_clusters - 1))
    freedom = min(n for table in tables for n in intervals.effective(table) if n > 0) - 1
    return float(2 * stats.t.sf(abs(value) / error, freedom)) if error else float(value == 0)


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
    `ser_core.intervals.effective`) of the class that has fewest, minus 1.

    Args:
        first: Predictions of two systems for the same clips, see `difference`.
        second: Predictions of two systems for other clips, of other clusters.
        metric: One of `ser_core.metrics.METRICS`.
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
    same_seeds = [_check_paired(*pair, unit, same_truth=True) for pair in (first, second)]
    if shared := set(first[0][unit]) & set(second[0][unit]):
        raise SerError(f"both parts have the {unit} {sorted(shared)[0]!r}; their clips must come from different ones")
    values, draws, sizes, notes, counted, refusal = [], [], [], [], [], None
    for number, (a, b) in enumerate((first, second)):
        names = sorted({*metrics.class_names(a), *metrics.class_names(b)})
        tables = [intervals.counts(table, unit, names) for table in (a, b)]
        counted += tables
        function = metrics.metric(metric, names)
        refusal = refusal or intervals.why_refused(tables, metric, names, unit, 3.0, intervals.MIN_CLUSTERS)
        rng = np.random.default_rng([seed, number])
        of_a, of_b = resampling.resampled(tables, function, n_resamples, rng, same_seeds=same_seeds[number])
        values.append(float(function(tables[0].sum(axis=1)).mean() - function(tables[1].sum(axis=1)).mean()))
        draws.append(of_a - of_b)
        sizes.append(tables[0].shape[1])
        notes.append(intervals.absences(tables[0], names))
    value, drawn, g = values[0] - values[1], draws[0] - draws[1], min(sizes)
    low = high = p_value = np.nan
    if refusal is None:
        low, high = resampling.ends(drawn, level, resampling.METHOD, g)
        p_value = _student(value, drawn, g, counted)
    note = "; ".join(dict.fromkeys(filter(None, notes)))
    return Difference(Interval(value, low, high, level, resampling.METHOD, unit, g, refusal, note), p_value, _STUDENT)


def _check_paired(a: pd.DataFrame, b: pd.DataFrame, unit: str, same_truth: bool) -> bool:
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
        facts.append(table.drop_duplicates(keys).set_index(keys)[["truth"] * same_truth + [unit] * (unit != "clip")])
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
        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.

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
