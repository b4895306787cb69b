"""From published tables of scores: bootstraps of three scores, gaps, rank correlations, and what standard errors say.

A Series of scores has one cell for each feature set and classifier, indexed as in ``"eGeMAPS + SVM"``.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ser_core.errors import SerError


@dataclass(frozen=True)
class SeedInterval:
    """The percentile interval of a mean from all resamples of its scores.

    Attributes:
        mean: Mean of the scores.
        low: Lower end.
        high: Upper end.
        n_resamples: How many resamples there are, all equally likely.
        lowest: Share of them that are the lowest score only; for the highest it is the same.
    """

    mean: float
    low: float
    high: float
    n_resamples: int
    lowest: float


def seed_bootstrap(scores: Sequence[float], level: float = 0.95) -> SeedInterval:
    """Return the percentile bootstrap interval of a mean of a few scores, exactly: from all n^n resamples.

    Three scores have 27 resamples. One of them is the lowest score three times, which is a share of 3.7 %, more than
    the 2.5 % that a 95 % interval leaves below: the interval then is from the lowest to the highest score, whatever
    they are. Four different scores are the first of which this is not so.

    Source:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13, on the percentile interval.

    Args:
        scores: One score a training, two to six of them.
        level: Nominal coverage, in (0, 1).

    Returns:
        The interval and what it comes from.

    Raises:
        SerError: If there are fewer than two scores, or too many to try all resamples.

    Examples:
        >>> result = seed_bootstrap([0.25, 0.5, 0.125])
        >>> result.low, result.high, result.n_resamples
        (0.125, 0.5, 27)
    """
    n = len(scores)
    if not 2 <= n <= 6:
        raise SerError(f"{n} scores; all resamples can be tried of two to six")
    resamples = np.array(list(itertools.product(sorted(scores), repeat=n)))
    means = resamples.mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    lowest = float((resamples == min(scores)).all(axis=1).mean())
    return SeedInterval(float(np.mean(scores)), float(low), float(high), n**n, lowest)


def _cells(scores: pd.Series) -> pd.DataFrame:
    """Return scores with one row a feature set and one column a classifier, both in order of appearance."""
    pairs = [str(name).rpartition(" + ")[::2] for name in scores.index]
    sets, classifiers = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    table = pd.Series(scores.to_numpy(), index=pd.MultiIndex.from_tuples(pairs)).unstack()
    return table.loc[sets, classifiers]


def _pair(within: pd.Series, transfer: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    if sorted(within.index) != sorted(transfer.index):
        different = sorted(set(within.index) ^ set(transfer.index))
        raise SerError(f"the scores are not of the same cells: {different} are in one of them only")
    first = _cells(within)
    return first, _cells(transfer).loc[first.index, first.columns]


def transfer_gaps(within: pd.Series, transfer: pd.Series, chance: float) -> pd.DataFrame:
    """Return how much lower each cell is after transfer, by the ceiling that was published and by fairer ones.

    Published was the best cell of the feature set within the target language, chosen by the score that is reported,
    whatever its classifier. The same cell within the language is chosen by nothing.

    Args:
        within: UAR within the target language, in [0, 1].
        transfer: UAR on the target language after training on another one, same cells.
        chance: UAR of a constant answer: 1 / number of classes.

    Returns:
        One row a cell, indexed by features and classifier: ``within`` and ``transfer`` UAR; ``gap_of_set``, from the
        best of the set, as published; ``gap``, from the same cell; ``above_chance``.

    Raises:
        SerError: If the two are not of the same cells.

    Examples:
        >>> within = pd.Series({"a + SVM": 0.5, "a + MLP": 0.4})
        >>> gaps = transfer_gaps(within, pd.Series({"a + SVM": 0.3, "a + MLP": 0.3}), chance=0.25)
        >>> gaps[["gap_of_set", "gap", "above_chance"]].round(3).to_numpy().tolist()
        [[0.2, 0.2, 0.05], [0.2, 0.1, 0.05]]
    """
    first, second = _pair(within, transfer)
    columns = {
        "within": first,
        "transfer": second,
        "gap_of_set": (-second).add(first.max(axis=1), axis=0),
        "gap": first - second,
        "above_chance": second - chance,
    }
    index = pd.MultiIndex.from_product([first.index, first.columns], names=["features", "classifier"])
    return pd.DataFrame({name: table.to_numpy().ravel() for name, table in columns.items()}, index=index)


def rank_correlations(within: pd.Series, transfer: pd.Series) -> pd.DataFrame:
    """Return whether feature sets that are good within a language are bad after transfer, as an inverted ranking is.

    With five sets there are 120 pairings, and only a coefficient of -0.9 or less has a one-sided p below 0.05. Sets
    are compared on the same clips, so that this tests the ranking of these scores, not of these sets on other clips.

    Source:
        Spearman, "The proof and measurement of association between two things", Am. J. Psychol. 15, 1904.

    Args:
        within: UAR within one language, in [0, 1].
        transfer: UAR after transfer, same cells.

    Returns:
        One row a classifier, then ``best of all`` classifiers of each set: ``rho``, Spearman's coefficient over the
        feature sets; ``p_inverted``, exact and one-sided: the share of all pairings with a coefficient no higher;
        ``p_value``, the share with one no nearer to 0.

    Raises:
        SerError: If the two are not of the same cells.

    Examples:
        >>> within = pd.Series({"a + SVM": 0.5, "b + SVM": 0.4, "c + SVM": 0.3})
        >>> table = rank_correlations(within, pd.Series({"a + SVM": 0.2, "b + SVM": 0.25, "c + SVM": 0.28}))
        >>> table.loc["SVM"].round(3).tolist()
        [-1.0, 0.167, 0.333]
    """
    first, second = _pair(within, transfer)
    pairs = {name: (first[name], second[name]) for name in first} | {
        "best of all": (first.max(axis=1), second.max(axis=1))
    }
    rows = {}
    for name, (x, y) in pairs.items():
        ranks = stats.rankdata(x), stats.rankdata(y)
        rho = float(np.corrcoef(*ranks)[0, 1])
        every = np.array([np.corrcoef(ranks[0], order)[0, 1] for order in itertools.permutations(ranks[1])])
        # The margin keeps coefficients that are equal in truth, but not in their last bit, equal.
        rows[name] = {"rho": rho, "p_inverted": float((every <= rho + 1e-9).mean())}
        rows[name]["p_value"] = float((np.abs(every) >= abs(rho) - 1e-9).mean())
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("classifier")


@dataclass(frozen=True)
class StandardErrors:
    """A difference of a cross-validated score from a fixed one.

    Attributes:
        difference: Score minus the other.
        error: Standard error of the mean of the folds, taken as independent.
        ratio: Difference in these.
        corrected: Standard error corrected for folds that share training clips.
        corrected_ratio: Difference in those.
        p_value: Two-sided, of the corrected ratio by Student's t.
    """

    difference: float
    error: float
    ratio: float
    corrected: float
    corrected_ratio: float
    p_value: float


def _errors(sd: np.ndarray | float, n_folds: int) -> np.ndarray | float:
    """Return the standard error of a mean of folds from the population deviation of their scores."""
    return sd / np.sqrt(n_folds - 1)


def in_standard_errors(score: float, other: float, sd: float, n_folds: int = 5) -> StandardErrors:
    """Say a difference of a cross-validated score from a figure of the literature in standard errors of the former.

    It is the least that can be said: the other figure has an error too, which is not published, and comes from other
    test clips; and folds share their training clips, for which the corrected error makes up.

    Source:
        Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003.

    Args:
        score: Mean score of the folds, in [0, 1].
        other: What it is compared with.
        sd: Population standard deviation of the fold scores, as ``numpy.std`` gives it; above 0.
        n_folds: Number of folds of equal size.

    Returns:
        The difference, plain and in standard errors.

    Raises:
        SerError: If the deviation is not above 0, or there are fewer than two folds.

    Examples:
        >>> round(in_standard_errors(0.52, 0.50, 0.04).ratio, 2)
        1.0
    """
    if not sd > 0 or n_folds < 2:
        raise SerError(f"sd {sd} of {n_folds} folds; expected a deviation above 0 of at least two folds")
    difference, error = score - other, _errors(sd, n_folds)
    # Nadeau and Bengio's variance: 1/k plus test over training clips, times the sample variance, k/(k - 1) of this one.
    corrected = sd * np.sqrt(n_folds / (n_folds - 1) * (1 / n_folds + 1 / (n_folds - 1)))
    p_value = 2 * stats.t.sf(abs(difference) / corrected, n_folds - 1)
    ratios = difference / error, difference / corrected
    return StandardErrors(*map(float, (difference, error, ratios[0], corrected, ratios[1], p_value)))


@dataclass(frozen=True)
class BestOfMany:
    """What the best of many systems gains by being chosen.

    Attributes:
        gain: Expected score of the best above the one score that all have in truth.
        share: Share of simulations in which the gain is at least the one asked for.
    """

    gain: float
    share: float


def best_of_many(
    sds: Sequence[float], least: float, *, n_folds: int = 5, n_simulations: int = 100_000, seed: int = 0
) -> BestOfMany:
    """Simulate the best of many cross-validated scores if all systems were equally good in truth.

    The scores are drawn independently, each with its own standard error. Cells that are scored on the same folds move
    together, and the best of them then gains less: the figure is an upper one.

    Args:
        sds: Population standard deviation of the fold scores of each system.
        least: A gain; how often is it reached?
        n_folds: Number of folds.
        n_simulations: Number of simulations.
        seed: Of the random numbers.

    Returns:
        Expected gain, and how often it is at least ``least``.

    Raises:
        SerError: If there is no system.

    Examples:
        >>> round(best_of_many([0.02], 0.0).share, 2)
        0.5
    """
    if not len(sds):
        raise SerError("no system is given; the best of none has no score")
    errors = _errors(np.asarray(sds, dtype=float), n_folds)
    best = (np.random.default_rng(seed).standard_normal((n_simulations, len(errors))) * errors).max(axis=1)
    return BestOfMany(float(best.mean()), float((best >= least).mean()))
