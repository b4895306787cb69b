"""The interval of a system's expected score when the people it is trained on, and the division, are random too.

A bootstrap over test speakers holds the fitted systems fixed. The variance that it leaves out cannot be estimated from
one cross-validation without bias; it shows where whole cross-validations are made of other people. Half of the speakers
are other people than the other half, so the scores of whole cross-validations inside the halves differ by all that
chance in the choice of people does: tested ones and trained ones (`ser_core.experiments.halves`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ser_core.errors import SerError
from ser_core.evaluation import bootstrap, intervals, metrics
from ser_core.evaluation.comparisons import Difference
from ser_core.evaluation.intervals import Interval


def widening(scores: np.ndarray, variances: np.ndarray) -> float:
    """Return by how much an interval over test speakers is to be widened, from scores of halves of the speakers.

    The factor is the root of the mean squared difference of the two halves' scores, less what a division of its own
    adds to them, over the sum of their variances by test speakers alone. It is applied to intervals of all speakers,
    so both variances are taken to fall as one over the number of people. That of training falls faster where the
    score depends on the fitted weights to second order only, and the factor is then too large.

    Source:
        Half-samples: McCarthy, "Pseudo-replication: half samples", Review of the International Statistical Institute
        37, 1969. Why refitting on other people is needed: Bengio and Grandvalet, "No unbiased estimator of the
        variance of k-fold cross-validation", JMLR 5, 2004. Widening an interval by a ratio of standard deviations:
        Bates, Hastie and Tibshirani, "Cross-validation: what does it estimate and how well does it do it?", JASA 119,
        2023, who find it by nested cross-validation. Another correction: Nadeau and Bengio, "Inference for the
        generalization error", Machine Learning 52, 2003. `ser_core.experiments.trained_coverage` tries ours.

    Args:
        scores: Shape (R, 2, D): of each random halving, both halves, each under D divisions of its own. More
            halvings, and systems that the factor is to be of together, are more rows.
        variances: Shape (R, 2): the squared standard error over test speakers of the mean of each half's D scores.

    Returns:
        The factor, 1 or more.

    Raises:
        SerError: If the shapes do not fit.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> only_tested_people_matter = rng.normal(0.6, 0.05, (10_000, 2, 1))
        >>> round(widening(only_tested_people_matter, np.full((10_000, 2), 0.05**2)), 1)
        1.0
        >>> twice_the_variance = rng.normal(0.6, 0.05 * 2**0.5, (10_000, 2, 1))
        >>> round(widening(twice_the_variance, np.full((10_000, 2), 0.05**2)), 1)
        1.4
    """
    if scores.ndim != 3 or scores.shape[:2] != variances.shape or scores.shape[1] != 2:
        raise SerError(f"scores of shape {scores.shape} and variances of {variances.shape}; expected (R, 2, D), (R, 2)")
    by_division = scores.var(axis=2, ddof=1) / scores.shape[2] if scores.shape[2] > 1 else np.zeros(scores.shape[:2])
    people = np.square(np.diff(scores.mean(axis=2), axis=1)[:, 0]) - by_division.sum(axis=1)
    return float(np.sqrt(max(people.mean() / variances.sum(axis=1).mean(), 1.0)))


def crossed_variance(scores: np.ndarray) -> float:
    """Return the variance that the choice of divisions and of seeds gives the mean score, each a random factor.

    Args:
        scores: Shape (D, S): under each division, the score of each seed.

    Returns:
        The variance of division means over D, plus that of seed means over S, less that of what is left over D S,
        which both of them hold; a factor with one value adds nothing.

    Examples:
        >>> round(crossed_variance(np.array([[0.60], [0.62], [0.64]])), 6)  # 0.0004 / 3
        0.000133
        >>> round(crossed_variance(np.array([[0.60, 0.61], [0.62, 0.63]])), 6)  # 0.0002 / 2 and 0.00005 / 2
        0.000125
    """
    d, s = scores.shape
    rows, columns = scores.mean(axis=1), scores.mean(axis=0)
    found = (rows.var(ddof=1) / d if d > 1 else 0.0) + (columns.var(ddof=1) / s if s > 1 else 0.0)
    if d > 1 and s > 1:
        left = scores - rows[:, None] - columns + scores.mean()
        found -= np.square(left).sum() / ((d - 1) * (s - 1)) / (d * s)
    return float(max(found, 0.0))


def standard_error(values: np.ndarray, scores: np.ndarray, factor: float) -> float:
    """Return the standard error of a mean score over divisions and seeds.

    Args:
        values: The mean score in bootstrap resamples of n test speakers, shape (R,).
        scores: The score under each division and of each seed, shape (D, S).
        factor: See `widening`.

    Returns:
        The root of: the variance of the resamples times the squared factor, plus `crossed_variance`.

    Examples:
        >>> round(standard_error(np.array([0.5, 0.7]), np.array([[0.6]]), 1.5), 2)
        0.15
    """
    return float(np.sqrt(np.nanvar(values) * factor**2 + crossed_variance(scores)))


def ends(
    values: np.ndarray, scores: np.ndarray, factor: float, n_clusters: int, level: float = 0.95
) -> tuple[float, float]:
    """Return the ends of the interval of a mean score over divisions and seeds.

    Args:
        values: The mean score in bootstrap resamples of the test speakers, shape (R,).
        scores: The score under each division and of each seed, shape (D, S).
        factor: See `widening`.
        n_clusters: Number of speakers.
        level: Nominal coverage.

    Returns:
        The expanded percentiles, moved away from the mean score by the ratio of `standard_error` to that of the
        resamples.

    Examples:
        >>> values = np.random.default_rng(0).normal(0.6, 0.02, 10_000)
        >>> [round(end, 2) for end in ends(values, np.array([[0.6]]), 1.5, 1_000)]
        [0.54, 0.66]
    """
    value, own = scores.mean(), np.nanstd(values)
    low, high = bootstrap.ends(values, level, bootstrap.METHOD, n_clusters)
    wider = standard_error(values, scores, factor) / own if own else 1.0
    return float(value - wider * (value - low)), float(value + wider * (high - value))


def interval(
    predictions: pd.DataFrame,
    factor: float,
    metric: str = "uar",
    *,
    division: str = "division",
    unit: str = "speaker",
    classes: Sequence[str] | None = None,
    **options,
) -> Interval:
    """Return the mean of a metric over divisions with an interval for the expected score of the procedure.

    The procedure: train on as many other people of the population, divided anew, and test on people not among them.
    The interval starts from the bootstrap over test speakers of the mean over divisions and seeds, and is widened
    for the people trained on by ``factor``, and for the divisions and seeds, crossed, by `crossed_variance`.
    It does not cover another corpus, other sentences, or choices that were made by looking at these scores.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; one row a division, seed and clip.
        factor: From `ser_core.experiments.halves.widening`; of a network, which is not fitted in halves, that of cheap
            systems on the same corpus. 1 leaves out the people trained on.
        metric: See `ser_core.evaluation.intervals.interval`.
        division: The column that tells divisions apart; ``seed`` where each seed made a division of its own, as in
            experiments with ``splits: per-seed``.
        unit: The column to resample.
        classes: The K classes in order; by default `ser_core.evaluation.metrics.class_names`.
        **options: ``n_resamples``, ``level``, ``seed``, ``min_effective`` and ``min_clusters``, as of
            `ser_core.evaluation.intervals.from_counts`.

    Returns:
        The interval, cut at 0 and 1; refused as `ser_core.evaluation.intervals.from_counts` refuses.

    Raises:
        SerError: If the divisions do not have the same seeds and clusters, or the predictions are invalid.

    Examples:
        >>> table = pd.DataFrame({"clip": list("abcdef"), "speaker": list("uvwxyz"), "truth": "sad"})
        >>> table = table.assign(prediction=["sad"] * 5 + ["happy"])
        >>> twice = pd.concat([table.assign(division=0), table.assign(division=1)])
        >>> interval(twice, 1.2, "wa").text(digits=2)
        '0.83 [0.23, 1.00]'
    """
    names = classes or metrics.class_names(metrics.validate(predictions.drop_duplicates("clip")))
    tables = [_counts(predictions, division, unit, names)]
    return _widened(tables, factor, metric, names, unit, **options)[0]


def difference(
    first: pd.DataFrame,
    second: pd.DataFrame,
    factor: float,
    metric: str = "uar",
    *,
    division: str = "division",
    unit: str = "speaker",
    classes: Sequence[str] | None = None,
    **options,
) -> Difference:
    """Return the mean difference of two systems over divisions, first minus second, as `interval` does a score.

    Args:
        first: As of `interval`; both systems have the same divisions, seeds and clips.
        second: The other system.
        factor: From `ser_core.experiments.halves.widening` with ``minus``, or that of scores of the corpus.
        metric: See `interval`.
        division: See `interval`.
        unit: See `interval`.
        classes: See `interval`; by default those of both.
        **options: See `interval`.

    Returns:
        The difference; its p-value asks what the interval asks, by Student's t of the same widened standard error with
        one degree of freedom less than there are clusters, and is NaN where there is no interval.

    Raises:
        SerError: As `interval`, or if the two do not have the same divisions, seeds and clusters.

    Examples:
        >>> table = pd.DataFrame({"clip": list("abcdef"), "speaker": list("uvwxyz"), "truth": "sad", "division": 0})
        >>> good, bad = (table.assign(prediction=["sad"] * n + ["happy"] * (6 - n)) for n in (5, 1))
        >>> difference(good, bad, 1.2, "wa").interval.text(digits=2, signed=True)
        '+0.67 [+0.07, +1.00]'
    """
    both = [metrics.validate(table.drop_duplicates("clip")) for table in (first, second)]
    names = classes or sorted({*metrics.class_names(both[0]), *metrics.class_names(both[1])})
    tables = [_counts(table, division, unit, names) for table in (first, second)]
    if not np.array_equal(*(metrics.support(counts) for counts in tables)):
        raise SerError("the two systems were not tested on the same clips under the same divisions and seeds")
    found, error = _widened(tables, factor, metric, names, unit, **options)
    # Systems with the same answers have the error 0: they do not differ.
    p = 2 * stats.t.sf(abs(found.value) / error, found.n_clusters - 1) if error else 1.0
    freedom = found.n_clusters - 1 if found.refusal is None else np.nan
    return Difference(found, float(p), "Student's t, widened", error if found.refusal is None else np.nan, freedom)


def _counts(predictions: pd.DataFrame, division: str, unit: str, names: Sequence[str]) -> np.ndarray:
    """Return confusion counts of shape (D, S, G, K, K): divisions, seeds, clusters, truth, prediction."""
    if division not in predictions:
        raise SerError(
            f"the predictions have no column '{division}'; name the one that tells divisions apart, as division='seed'"
        )
    seed = predictions["seed"] if "seed" in predictions and division != "seed" else 0
    rows = predictions.assign(division=predictions[division], seed=seed)
    metrics.validate(rows.drop_duplicates("seed"))
    twice = rows.duplicated(["division", "seed", "clip"])
    if twice.any():
        at = rows.loc[twice, ["clip", "division", "seed"]].iloc[0]
        raise SerError(
            f"clip '{at['clip']}' is predicted more than once in division {at['division']} by seed {at['seed']}; "
            f"expected one row each"
        )
    # One count of all rows takes a fraction of the time of a count for each division.
    number = {name: pd.factorize(rows[name], sort=True)[0] for name in ("division", "seed", unit) if name in rows}
    n = {name: 1 + codes.max() for name, codes in number.items()}
    pairs = pd.DataFrame(number)
    for name in [name for name in number if name != "division"]:
        if len(pairs.drop_duplicates(["division", name])) != n["division"] * n[name]:
            raise SerError(f"the divisions of '{division}' do not all have the same seeds and {unit}s; complete them")
    found = intervals.counts(rows.assign(seed=number["division"] * n["seed"] + number["seed"]), unit, names)
    return found.reshape(n["division"], n["seed"], *found.shape[1:])


def _widened(
    tables: Sequence[np.ndarray],
    factor: float,
    metric: str,
    names: Sequence[str],
    unit: str,
    *,
    n_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    min_effective: float = intervals.MIN_EFFECTIVE,
    min_clusters: int = intervals.MIN_CLUSTERS,
) -> tuple[Interval, float]:
    """Return the interval of one system's mean metric or of two systems' difference, and its standard error."""
    if not factor >= 1:
        raise SerError(f"factor={factor}: expected 1 or more, as from ser_core.experiments.halves.widening")
    bootstrap.check_draws(n_resamples)
    d, s, g, k = tables[0].shape[:4]
    function, signs = metrics.metric(metric, names), (1, -1)
    merged = [table.reshape(d * s, g, k, k) for table in tables]
    scores = sum(sign * function(table.sum(axis=1)).reshape(d, s) for sign, table in zip(signs, merged, strict=False))
    refusal = intervals.why_refused(merged, metric, names, unit, min_effective, min_clusters)
    low = high = error = np.nan
    if refusal is None:
        drawn = np.random.default_rng(seed).multinomial(g, np.full(g, 1 / g), size=n_resamples).astype(float)
        values = np.zeros(n_resamples)
        for number in range(d * s):  # all divisions, seeds and resamples at once would be gigabytes
            totals = [(drawn @ table[number].reshape(g, k * k)).reshape(-1, k, k) for table in merged]
            values += sum(sign * function(each) for sign, each in zip(signs, totals, strict=False)) / (d * s)
        low, high = ends(values, scores, factor, g, level)
        low, high = max(low, 1.0 - len(tables)), min(high, 1.0)
        error = standard_error(values, scores, factor) * np.sqrt(g / (g - 1))
    method = f"expanded, widened by {factor:.2f}"
    note = intervals.absences(merged[0], names)
    return Interval(float(scores.mean()), low, high, level, method, unit, g, refusal, note), float(error)
