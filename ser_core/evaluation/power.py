"""What a comparison could have found: detectable differences, equivalence, and what few speakers decide."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import optimize, stats

from ser_core.errors import SerError
from ser_core.evaluation import bootstrap, intervals, metrics, pairing
from ser_core.evaluation.comparisons import Difference

POWER = 0.8
ALPHA = 0.05


def detectable(error: float, freedom: float, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the difference that a two-sided t test finds with the given probability: the minimal detectable one.

    For one test. Where a family is corrected for its number, a difference must be larger.

    Source:
        Cohen, "Statistical Power Analysis for the Behavioral Sciences", 2nd ed., 1988; by the noncentral t.

    Args:
        error: Standard error of the difference.
        freedom: Its degrees of freedom: for one training, speakers less 1.
        power: How often it is found, in (``alpha``, 1).
        alpha: Level of the test.

    Returns:
        In the unit of ``error``.

    Examples:
        >>> round(detectable(1.9, 23), 1), round(detectable(3.5, 9), 1)
        (5.6, 11.0)
    """
    if not error > 0:
        return 0.0 if error == 0 else np.nan
    critical = stats.t.ppf(1 - alpha / 2, freedom)
    # The other side's tail, a significant difference of the wrong sign, is below 0.001 here.
    shift = optimize.brentq(lambda mean: stats.nct.sf(critical, freedom, mean) - power, 0, 1 + 2 * critical)
    return float(error * shift)


def detectable_in(difference: Difference) -> float:
    """Return the minimal detectable difference of a comparison, from its own standard error; NaN if it is refused."""
    return detectable(difference.error, difference.freedom)


def median_detectable(differences: Iterable[Difference]) -> float:
    """Return the median of `detectable_in` over comparisons; refused ones do not count, NaN if all are."""
    return float(pd.Series([detectable_in(one) for one in differences], dtype=float).median())


def speakers_needed(error: float, n_speakers: int, difference: float) -> int:
    """Return how many speakers of the same kind make a difference detectable, see `detectable`.

    Args:
        error: Standard error of a paired difference of systems that were trained once, which falls with the root of
            the number of speakers.
        n_speakers: Of how many speakers it is.
        difference: What is to be found, in the unit of ``error``.

    Examples:
        >>> speakers_needed(1.9, 24, 5.0), speakers_needed(1.9, 24, 2.0)
        (30, 172)
    """
    n = 3
    while detectable(error * np.sqrt(n_speakers / n), n - 1) > difference:
        n += 1
    return n


def equivalence(difference: Difference, margin: float) -> float:
    """Return the p-value of two one-sided tests that a difference lies within a margin on either side of 0.

    A p-value above 0.05 of a test for a difference is no evidence that there is none; one below 0.05 here is.

    Source:
        Schuirmann, "A comparison of the two one-sided tests procedure and the power approach", J. Pharmacokinetics
        and Biopharmaceutics 15, 1987.

    Args:
        difference: A difference.
        margin: The largest difference that does not matter, above 0, as 0.02 for two points.

    Returns:
        In [0, 1]; NaN if the difference is refused.

    Examples:
        >>> one = intervals.Interval(0.0, -0.02, 0.02, 0.95, "expanded", "speaker", 24)
        >>> found = Difference(one, 1.0, "exact permutation", error=0.01, freedom=23)
        >>> round(equivalence(found, 0.02), 3), round(equivalence(found, 0.01), 3)
        (0.029, 0.164)
    """
    nearest = margin - abs(difference.interval.value)
    return float(stats.t.sf(nearest / difference.error, difference.freedom))


def ruled_out(difference: Difference, *, alpha: float = ALPHA) -> float:
    """Return the smallest margin within which two one-sided tests place a difference, see `equivalence`.

    Examples:
        >>> one = intervals.Interval(0.005, -0.015, 0.025, 0.95, "expanded", "speaker", 24)
        >>> found = Difference(one, 0.6, "exact permutation", error=0.01, freedom=23)
        >>> round(equivalence(found, ruled_out(found)), 3)
        0.05
    """
    return float(abs(difference.interval.value) + stats.t.ppf(1 - alpha, difference.freedom) * difference.error)


def paired_errors(
    systems: Sequence[pd.DataFrame],
    metric: str = "uar",
    *,
    unit: str = "speaker",
    n_resamples: int = 2_000,
    seed: int = 0,
) -> np.ndarray:
    """Return the standard errors of the differences of all pairs of systems on the same clips.

    Args:
        systems: Predictions of n systems, each trained once, for the same clips.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        unit: The column to resample.
        n_resamples: Number of resamples, the same for all pairs.
        seed: Of the random numbers.

    Returns:
        Shape (n (n - 1) / 2,), as `itertools.combinations` orders the pairs; over clusters, with G - 1.

    Raises:
        SerError: If a system has other clips, or several seeds.

    Examples:
        >>> a = pd.DataFrame({"clip": list("abcd"), "speaker": list("uvwx"), "truth": "sad", "prediction": "sad"})
        >>> paired_errors([a, a, a]).tolist()
        [0.0, 0.0, 0.0]
    """
    names = sorted({name for table in systems for name in metrics.class_names(table)})
    tables = [intervals.counts(table, unit, names) for table in systems]
    for table, of in zip(systems, tables, strict=True):
        if len(of) > 1 or of.shape != tables[0].shape or set(table["clip"]) != set(systems[0]["clip"]):
            raise SerError(
                f"{len(of)} seeds of {of.sum()} answers; expected 1 of {tables[0].sum()}, for the same clips"
            )
    function, g = metrics.metric(metric, names), tables[0].shape[1]
    draws = bootstrap.resampled(tables, function, n_resamples, np.random.default_rng(seed), same_seeds=True)
    pairs = itertools.combinations(draws, 2)
    return np.array([bootstrap.spread(a - b, g).error for a, b in pairs])


def scores_of_some(
    predictions: pd.DataFrame, metric: str = "macro_f1", *, n_speakers: int = 4, unit: str = "speaker"
) -> pd.Series:
    """Return the scores that a test on a few of the speakers would have printed, the mean over seeds.

    Args:
        predictions: Predictions of a system for all speakers.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        n_speakers: How many speakers are tested.
        unit: What a speaker is.

    Returns:
        One score a set of ``n_speakers`` speakers, for all sets, indexed by the speakers of the set in order.

    Examples:
        >>> table = pd.DataFrame({"clip": list("abc"), "speaker": list("uvw"), "truth": "sad", "prediction": "sad"})
        >>> scores_of_some(table.assign(prediction=["happy", "sad", "sad"]), "wa", n_speakers=2).tolist()
        [0.5, 0.5, 1.0]
    """
    classes = metrics.class_names(predictions)
    sets = list(itertools.combinations(range(predictions[unit].nunique()), n_speakers))
    tables = intervals.counts(predictions, unit, classes)[:, np.array(sets)].sum(axis=2)
    names = sorted(predictions[unit].unique())
    index = pd.MultiIndex.from_tuples([[names[at] for at in some] for some in sets])
    return pd.Series(metrics.metric(metric, classes)(tables).mean(axis=0), index=index)


def of_some(
    a: pd.DataFrame, b: pd.DataFrame, metric: str = "weighted_f1", *, n_speakers: int = 4, unit: str = "speaker"
) -> np.ndarray:
    """Return the differences that a test on a few of the speakers would have printed, with one seed of each system.

    Args:
        a: Predictions of a system for all speakers.
        b: Predictions of another for the same clips; or of the same, which is then held against itself with another
            seed.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        n_speakers: How many speakers are tested.
        unit: What a speaker is.

    Returns:
        First minus second, shape (sets, pairs of seeds): all sets of ``n_speakers`` speakers, and each seed of ``a``
        with each of ``b``; with each other one of its own if the two are the same.

    Raises:
        SerError: As `ser_core.evaluation.comparisons.difference`.

    Examples:
        >>> a = pd.DataFrame({"clip": list("abc"), "speaker": list("uvw"), "truth": "sad", "prediction": "sad"})
        >>> of_some(a, a.assign(prediction=["happy", "sad", "sad"]), "wa", n_speakers=2).ravel().tolist()
        [0.5, 0.5, 0.0]
    """
    both = pairing.paired(a, b, metric, unit=unit)
    sets = np.array(list(itertools.combinations(range(len(both.clusters)), n_speakers)))
    first, second = (both.function(table[:, sets].sum(axis=2)) for table in both.tables)  # seeds, sets
    seeds = itertools.product(range(len(first)), range(len(second)))
    if a is b:
        seeds = itertools.combinations(range(len(first)), 2)
    return np.stack([first[i] - second[j] for i, j in seeds], axis=1)
