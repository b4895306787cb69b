"""Transfers: which corpora a Run learnt on and which it was tested on, and what could explain such scores."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ser_core.data import corpora
from ser_core.data.clips import corpus_of
from ser_core.errors import SerError
from ser_core.evaluation import comparisons, metrics
from ser_core.experiments import runs, scoring

CORPUS = "corpus"
SPEAKER = "speaker"
_MOST = 9  # corpora whose orders are all tried


def matrix(experiment: str) -> pd.DataFrame:
    """Return every UAR of an experiment under the protocol ``corpus``, and its kin with labelled speakers.

    Args:
        experiment: Name of the experiment, whose corpora are unions.

    Returns:
        One row a Run and tested corpus: ``trained``, the other corpora joined by ``+``; ``tested``; ``run``, the name
        by which `ser_core.experiments.scoring.score` gives the interval; ``protocol``, ``features`` (of a network its
        name), ``normalisation`` (None of a network); ``uar`` and the other
        `ser_core.evaluation.metrics.METRICS`, in [0, 1], means over seeds.

    Raises:
        SerError: If there are no Runs, or one has another protocol.
    """
    rows = []
    for name in runs.catalogue(experiment)["run"]:
        run = runs.read(name)
        corpus, protocol = run.info["cell"]["corpus"], run.info["cell"]["protocol"]
        if protocol.partition("+")[0] != CORPUS:
            raise SerError(f"Run '{name}' has the protocol '{protocol}', not '{CORPUS}' or its kin")
        for tested, predictions in run.predictions.groupby(corpus_of(run.predictions["clip"]).to_numpy()):
            trained = "+".join(part for part in corpora.parts(corpus) if part != tested)
            rows.append(_transfer(trained, tested, f"{name}@{tested}", run.info["cell"], predictions))
    return pd.DataFrame(rows)


def within(experiment: str) -> pd.DataFrame:
    """Return every UAR of an experiment on new speakers of the corpus that was trained on: the diagonal of `matrix`.

    Args:
        experiment: Name of the experiment, each of whose Runs is of one corpus.

    Returns:
        One row a Run with the columns of `matrix`; ``trained`` and ``tested`` are its corpus.

    Raises:
        SerError: If there are no Runs, one is of a union, or one has another protocol than ``speaker``.
    """
    rows = []
    for name in runs.catalogue(experiment)["run"]:
        run = runs.read(name)
        corpus, protocol = run.info["cell"]["corpus"], run.info["cell"]["protocol"]
        if protocol != SPEAKER or len(corpora.parts(corpus)) > 1:
            raise SerError(f"Run '{name}' is of '{corpus}' under '{protocol}'; expected one corpus under '{SPEAKER}'")
        rows.append(_transfer(corpus, corpus, name, run.info["cell"], run.predictions))
    return pd.DataFrame(rows)


def _transfer(trained: str, tested: str, run: str, cell: dict, predictions: pd.DataFrame) -> dict[str, object]:
    scores = metrics.scores(predictions)
    return {
        "trained": trained,
        "tested": tested,
        "run": run,
        "protocol": cell["protocol"],
        "features": cell.get("features", cell.get("name")),
        "normalisation": cell.get("normalisation"),
        **{name: scores[name] for name in metrics.METRICS},
    }


def trainings(names: Iterable[str], tested: str) -> tuple[str, ...]:
    """Return those Runs whose draws of dev speakers differ in the fold that tests a corpus, for crossing with seeds.

    Where a corpus that is trained on has few speakers, two draws can be of the same dev speakers. Their Runs then are
    the same trainings, and count once.

    Args:
        names: Names of Runs on one union, each with another draw of dev speakers.
        tested: The corpus.

    Returns:
        The names, each with ``@<tested>``, see `ser_core.experiments.scoring.predictions_of`; of equals the first.

    Raises:
        SerError: If there is no such Run, or it has no dev table or no such part.
    """
    found: dict[frozenset[str], str] = {}
    for name in names:
        parts = corpora.parts(runs.info(name)["cell"]["corpus"])
        if tested not in parts:
            raise SerError(f"Run '{name}' tests no clip of '{tested}'; it tests {sorted(parts)}")
        dev = runs.other(name, "dev")
        found.setdefault(frozenset(dev.loc[dev["fold"] == parts.index(tested), "speaker"]), f"{name}@{tested}")
    return tuple(found.values())


def asymmetries(names: pd.DataFrame, metric: str = "uar", **options) -> pd.DataFrame:
    """Return for each pair of corpora what is lost on each when training is on the other, and how much that differs.

    Args:
        names: Names of Runs, training corpora in rows, the same tested corpora in columns; those on the diagonal know
            the corpus that is tested.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        **options: See `ser_core.evaluation.comparisons.difference`.

    Returns:
        One row a pair: ``first``, ``second``, what is lost on each, ``lost on second`` and ``lost on first``, and
        ``asymmetry``, the former minus the latter, see `ser_core.evaluation.comparisons.asymmetry`.

    Raises:
        SerError: If there is no such Run, or two that test a corpus do not cover the same clips.
    """
    rows = []
    for first, second in itertools.combinations(names.index, 2):
        ways = {"lost on second": (first, second), "lost on first": (second, first)}
        losses = {
            way: [scoring.predictions_of(names.loc[trained, tested]) for trained in (tested, other)]
            for way, (other, tested) in ways.items()
        }
        each = {way: comparisons.difference(*pair, metric, **options) for way, pair in losses.items()}
        asymmetry = comparisons.asymmetry(*losses.values(), metric, **options)
        rows.append({"first": first, "second": second, **each, "asymmetry": asymmetry})
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
