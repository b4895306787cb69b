"""Transfers: which corpora a Run learnt on and which it was tested on, and what could explain such scores."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ser_core.data import corpora
from ser_core.data.clips import corpus_of
from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.experiments import runs

CORPUS = "corpus"
_MOST = 9  # corpora whose orders are all tried


def matrix(experiment: str) -> pd.DataFrame:
    """Return every UAR of an experiment under the protocol ``corpus``, and its kin with labelled speakers.

    Args:
        experiment: Name of the experiment, whose corpora are unions.

    Returns:
        One row a Run and tested corpus: ``trained``, the other corpora joined by ``+``; ``tested``; ``run``, the name
        by which `ser_core.experiments.scoring.score` gives the interval; ``protocol``, ``features`` (of a network its
        name), ``normalisation`` (None of a network); ``uar`` in [0, 1], the mean over seeds.

    Raises:
        SerError: If there are no Runs, or one has another protocol.
    """
    rows = []
    for system in runs.catalogue(experiment)["system"]:
        run = runs.read(f"{experiment}/{system}")
        cell = run.info["cell"]
        if cell["protocol"].partition("+")[0] != CORPUS:
            raise SerError(
                f"Run '{experiment}/{system}' has the protocol '{cell['protocol']}', not '{CORPUS}' or its kin"
            )
        for tested, predictions in run.predictions.groupby(corpus_of(run.predictions["clip"]).to_numpy()):
            rows.append(
                {
                    "trained": "+".join(part for part in corpora.parts(cell["corpus"]) if part != tested),
                    "tested": tested,
                    "run": f"{experiment}/{system}@{tested}",
                    "protocol": cell["protocol"],
                    "features": cell.get("features", cell.get("name")),
                    "normalisation": cell.get("normalisation"),
                    "uar": metrics.scores(predictions)["uar"],
                }
            )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Effects:
    """An additive model of a train x test matrix: mean + what the trained corpus adds + what the tested one adds.

    Attributes:
        trained: What each corpus adds as the one trained on; sum 0.
        tested: What each adds as the one tested; sum 0.
        rest: What the model leaves of each score, training corpora in rows; NaN on the diagonal.
        share_trained: Share of the variance of the scores that the trained corpora explain alone, in [0, 1].
        share_tested: The same of the tested corpora.
        share_both: The same of both; the rest is that of the pairs.
    """

    trained: pd.Series
    tested: pd.Series
    rest: pd.DataFrame
    share_trained: float
    share_tested: float
    share_both: float


def effects(scores: pd.DataFrame) -> Effects:
    """Split a train x test matrix into what the trained corpus, the tested corpus, and the pair of them do.

    Least squares on the cells off the diagonal. With n corpora there are n (n - 1) cells and 2 n - 1 parameters, so
    that even noise is explained in part: by (2 n - 2) / (n (n - 1) - 1) on average.

    Args:
        scores: Training corpora in rows, the same tested corpora in columns; the diagonal is not used.

    Returns:
        The effects, in the unit of the scores.

    Raises:
        SerError: If rows and columns differ, there are fewer than three, or a cell off the diagonal is missing.

    Examples:
        >>> names = ["a", "b", "c"]
        >>> table = pd.DataFrame([[0, 2, 3], [2, 0, 4], [3, 4, 0]], index=names, columns=names) / 10
        >>> found = effects(table)
        >>> found.tested.round(2).tolist(), round(found.share_both, 2)
        ([-0.1, 0.0, 0.1], 1.0)
    """
    names, y, (row, column) = _pairs(scores)
    if np.ptp(y) == 0:
        raise SerError(f"all scores are {y[0]}; there is nothing to explain")
    n = len(names)
    # Sum-to-zero coding: the last corpus has minus the sum of the others.
    code = np.vstack([np.eye(n - 1), -np.ones(n - 1)])
    ones = np.ones((len(y), 1))
    designs = {"trained": [ones, code[row]], "tested": [ones, code[column]], "both": [ones, code[row], code[column]]}
    shares, found = {}, {}
    for name, parts in designs.items():
        x = np.hstack(parts)
        found[name] = np.linalg.lstsq(x, y, rcond=None)[0]
        shares[name] = float(1 - ((y - x @ found[name]) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    each = code @ found["both"][1:n], code @ found["both"][n:]
    rest = np.full((n, n), np.nan)
    rest[row, column] = y - np.hstack(designs["both"]) @ found["both"]
    return Effects(
        pd.Series(each[0], index=names),
        pd.Series(each[1], index=names),
        pd.DataFrame(rest, index=names, columns=names),
        shares["trained"],
        shares["tested"],
        shares["both"],
    )


def _pairs(scores: pd.DataFrame) -> tuple[list[str], np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return the corpora of a matrix, the scores of all pairs of two, and their rows and columns."""
    names = list(scores.index)
    if names != list(scores.columns) or len(names) < 3:
        raise SerError(f"the rows are {names} and the columns {list(scores.columns)}; expected the same three or more")
    at = np.nonzero(~np.eye(len(names), dtype=bool))
    y = scores.to_numpy(dtype=float)[at]
    if not np.isfinite(y).all():
        raise SerError("a score off the diagonal is missing")
    return names, y, at


def _check_number(names: list[str]) -> None:
    if len(names) > _MOST:
        raise SerError(
            f"{len(names)} corpora have too many orders to try them all; the exact test takes {_MOST} at most"
        )


@dataclass(frozen=True)
class Likeness:
    """Whether pairs of corpora that are alike score otherwise than pairs that are not.

    Attributes:
        difference: Mean of the pairs that are alike minus mean of the others.
        p_value: Share of all ways to deal the kinds out to the corpora with a difference at least as large in size.
        smallest: The smallest p-value that so few corpora can give.
    """

    difference: float
    p_value: float
    smallest: float


def likeness(scores: pd.DataFrame, kinds: Mapping[str, str]) -> Likeness:
    """Test whether pairs of corpora of one kind, such as a language, score otherwise than pairs of two kinds.

    The test deals the same kinds out to the corpora in all possible ways (the exact Mantel test).

    Source:
        Mantel, "The detection of disease clustering and a generalized regression approach", Cancer Research 27, 1967.

    Args:
        scores: Training corpora in rows, the same tested corpora in columns, such as `Effects.rest`; the diagonal is
            not used.
        kinds: The kind of each corpus.

    Returns:
        The difference, in the unit of the scores, with its p-value.

    Raises:
        SerError: If rows and columns differ, a score is missing, a corpus has no kind, no pair or every pair is alike,
            or there are more than nine corpora.

    Examples:
        >>> names = list("abcd")
        >>> table = pd.DataFrame([[0, 5, 1, 1], [5, 0, 1, 1], [1, 1, 0, 5], [1, 1, 5, 0]], index=names, columns=names)
        >>> found = likeness(table, {"a": "x", "b": "x", "c": "y", "d": "y"})
        >>> found.difference, round(found.p_value, 3)
        (4.0, 0.333)
    """
    names, y, (row, column) = _pairs(scores)
    _check_number(names)
    if missing := sorted(set(names) - set(kinds)):
        raise SerError(f"no kind is given for {missing}; there are those of {sorted(kinds)}")

    def difference(dealt: tuple[str, ...]) -> float:
        of = np.array(dealt)
        alike = of[row] == of[column]
        if alike.all() or not alike.any():
            raise SerError(f"of the pairs of {names} {'all' if alike.all() else 'none'} are alike; nothing to compare")
        return float(y[alike].mean() - y[~alike].mean())

    observed = difference(tuple(kinds[name] for name in names))
    every = np.abs([difference(dealt) for dealt in set(itertools.permutations(kinds[name] for name in names))])
    # The margin keeps differences that are equal in truth, but not in their last bit, equal.
    p_value = float((every >= abs(observed) - 1e-12).mean())
    return Likeness(observed, p_value, float((every >= every.max() - 1e-12).mean()))


def rank_correlation(values: pd.Series, other: Mapping[str, float]) -> tuple[float, float]:
    """Return Spearman's correlation over corpora with its exact two-sided p-value over all permutations.

    Args:
        values: A number a corpus, such as `Effects.trained`.
        other: Another number of each, such as its clips.

    Returns:
        The coefficient, in [-1, 1], and the p-value.

    Raises:
        SerError: If a corpus has no other number, a number is missing, all are equal, or there are more than nine.

    Examples:
        >>> rho, p = rank_correlation(pd.Series([1, 2, 3, 4], index=list("abcd")), dict(zip("abcd", (5, 6, 7, 8))))
        >>> round(rho, 6), round(p, 4)
        (1.0, 0.0833)
    """
    _check_number(list(values.index))
    if missing := sorted(set(values.index) - set(other)):
        raise SerError(f"no number is given for {missing}; there are those of {sorted(other)}")
    pair = values.to_numpy(dtype=float), np.array([other[name] for name in values.index], dtype=float)
    if not np.isfinite(pair).all() or not np.ptp(pair, axis=1).all():
        raise SerError("numbers are missing, or all the same; they have no ranks to correlate")
    x, y = map(stats.rankdata, pair)
    test = stats.permutation_test(
        (x,), lambda shuffled: np.corrcoef(shuffled, y)[0, 1], permutation_type="pairings", n_resamples=np.inf
    )
    return float(test.statistic), float(test.pvalue)
