"""Many comparisons at once: which of them can be told from chance when it had so many tries."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from ser_core.errors import SerError
from ser_core.evaluation import bootstrap, comparisons, metrics
from ser_core.evaluation.comparisons import Difference
from ser_core.evaluation.pairing import Paired, paired

ALPHA = 0.05
"""A comparison is clear at this family-wise level, see `clear`."""

Pair = tuple[pd.DataFrame, pd.DataFrame]


def differences(
    pairs: Sequence[Pair] | Mapping[Hashable, Pair],
    metric: str = "uar",
    *,
    unit: str = "speaker",
    as_trained: Sequence[bool] | None = None,
    **options,
) -> pd.DataFrame:
    """Return the paired differences of a family of comparisons, with p-values for all of them together.

    In the family are the comparisons that have an interval. What has none is ruled out as a finding beforehand, and
    would only make the others' p-values larger. If all of the family are of systems that were trained once, p-values
    are adjusted by `max_t`, else by `holm`: swaps say nothing of other seeds.

    Args:
        pairs: For each comparison the predictions of two systems, see `ser_core.evaluation.comparisons.difference`; or
            key -> the two, and the keys are then the index.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        unit: What is resampled, and swapped by.
        as_trained: For each comparison whether seeds are taken as they are, see
            `ser_core.evaluation.comparisons.difference`; by default in none.
        **options: See `ser_core.evaluation.comparisons.difference`.

    Returns:
        One row a comparison: ``difference``, ``value``, ``p``, ``p_adjusted`` (NaN outside the family), ``clear``
        (see `clear`) and ``correction``, ``max-T`` or ``Holm``.

    Raises:
        SerError: As `ser_core.evaluation.comparisons.difference`.

    Examples:
        >>> a = pd.DataFrame({"clip": list("abcdef"), "speaker": list("uvwxyz"), "truth": "sad", "prediction": "sad"})
        >>> differences([(a, a)])[["value", "p_adjusted", "clear", "correction"]].to_numpy().tolist()
        [[0.0, 1.0, False, 'max-T']]
    """
    index = pd.Index(list(pairs)) if isinstance(pairs, Mapping) else None
    pairs = pairs.values() if isinstance(pairs, Mapping) else pairs
    of_counts = {name: options.pop(name) for name in ("classes", "same_truth") if name in options}
    both = [paired(a, b, metric, unit=unit, **of_counts) for a, b in pairs]
    if as_trained is not None:
        both = [pair.as_trained() if held else pair for pair, held in zip(both, as_trained, strict=True)]
    found = [comparisons.of_paired(pair, **options) for pair in both]
    within = [number for number, one in enumerate(found) if one.interval.refusal is None]
    swaps = all(found[number].method != comparisons.STUDENT for number in within)
    if swaps:
        adjusted = np.full(len(found), np.nan)
        drawn = {"n_permutations": options.get("n_resamples", 10_000), "seed": options.get("seed", 0)}
        adjusted[within] = step_down([both[number] for number in within], **drawn)
    else:
        adjusted = holm_of(found)
    return _table(pd.Series(found, index, dtype=object), adjusted, "max-T" if swaps else "Holm")


def corrected(differences: pd.Series) -> pd.DataFrame:
    """Return a family of differences that are there already, with p-values adjusted by `holm_of`.

    Args:
        differences: The differences, with any index.

    Returns:
        As `differences`, with the same index.
    """
    return _table(differences, holm_of(list(differences)), "Holm")


def _table(found: pd.Series, adjusted: np.ndarray, correction: str) -> pd.DataFrame:
    columns = {
        "difference": found,
        "value": [one.interval.value for one in found],
        "p": [one.p_value for one in found],
        "p_adjusted": adjusted,
        "clear": [clear(one, p) for one, p in zip(found, adjusted, strict=True)],
        "correction": correction,
    }
    return pd.DataFrame(columns, index=found.index)


def clear(difference: Difference, p_adjusted: float) -> bool:
    """Return whether a difference stands: the one rule by which this book calls a comparison clear.

    Its adjusted p-value is below `ALPHA`, and its interval, which then must not be refused, has no end at or beyond 0,
    nor one within the error of the random numbers of 0 (`ser_core.evaluation.intervals.Interval.side`).

    Args:
        difference: A difference.
        p_adjusted: Its p-value within its family; NaN if it is in none.

    Examples:
        >>> interval = comparisons.Interval(0.031, 0.01, 0.052, 0.95, "expanded", "speaker", 24)
        >>> found = Difference(interval, 0.004, "exact permutation")
        >>> clear(found, 0.012), clear(found, 0.06)
        (True, False)
    """
    return bool(p_adjusted < ALPHA and difference.interval.side() != 0)


def max_t(
    pairs: Sequence[Pair],
    metric: str = "uar",
    *,
    unit: str = "speaker",
    classes: Sequence[str] | None = None,
    n_permutations: int = 10_000,
    seed: int = 0,
) -> np.ndarray:
    """Return p-values adjusted for their number by Westfall and Young's step-down method on the same swaps.

    A swap exchanges the answers of the two systems of every comparison for the same speakers. So what the comparisons
    share, such as one system that all others are held against, is shared by the swaps too, and costs nothing. The
    statistic is the absolute difference divided by the root mean square that it has over the swaps. Swaps do not
    change that divisor, so the test is as exact as without; and it lets a corpus of few speakers, whose differences
    vary most, not decide what is large on another. From the largest statistic down, each is held against the largest
    of those that are left.

    Comparisons that share no speaker, as of different corpora, are swapped independently. The largest of all is at
    least t unless all parts' largest are below t, so that their shares multiply, and a part whose swaps can be
    enumerated is exact whatever the others are.

    As every test by the flip of a sign, this one takes a speaker's differences for symmetric about zero if there is no
    difference, in all comparisons together.

    Source:
        Westfall and Young, "Resampling-Based Multiple Testing", 1993, algorithm 4.1;
        Winkler et al., "Permutation inference for the general linear model", NeuroImage 92, 2014 (flips of signs).

    Args:
        pairs: For each of m comparisons the predictions of two systems, see
            `ser_core.evaluation.comparisons.difference`. Seeds are averaged: the p-values are for the systems as
            trained.
        metric: One of `ser_core.evaluation.metrics.METRICS`, or ``recall:<class>`` or ``f1:<class>``.
        unit: The column to swap by.
        classes: The classes of the task; by default those of each pair.
        n_permutations: Number of random swaps of comparisons that share speakers; all 2^G are tried if they are no
            more than this.
        seed: Of the random numbers.

    Returns:
        Shape (m,), in (0, 1]. That of one comparison alone is its p-value.

    Raises:
        SerError: As `ser_core.evaluation.comparisons.difference`.

    Examples:
        >>> a = pd.DataFrame({"clip": list("abcdef"), "speaker": list("uvwxyz"), "truth": "sad", "prediction": "sad"})
        >>> b, c = a.assign(prediction="happy"), a.assign(prediction=["happy"] + ["sad"] * 5)
        >>> max_t([(a, b), (a, c)]).tolist()
        [0.03125, 1.0]
    """
    compared = [paired(a, b, metric, unit=unit, classes=classes) for a, b in pairs]
    return step_down(compared, n_permutations=n_permutations, seed=seed)


def step_down(compared: Sequence[Paired], *, n_permutations: int = 10_000, seed: int = 0) -> np.ndarray:
    """Return the p-values of `max_t` of comparisons that `ser_core.evaluation.pairing.paired` has counted.

    Args:
        compared: The m comparisons.
        n_permutations: See `max_t`.
        seed: See `max_t`.

    Returns:
        Shape (m,), in (0, 1].

    Examples:
        >>> step_down([]).tolist()
        []
    """
    observed, draws = np.empty(len(compared)), [None] * len(compared)
    blocks = _blocks([both.clusters for both in compared])
    exact = {}
    for block in blocks:
        union = sorted({cluster for number in block for cluster in compared[number].clusters})
        spread = [_spread(compared[number], union) for number in block]
        sizes, swapped, exact[block] = bootstrap.swapped(spread, n_permutations, np.random.default_rng([seed, 1]))
        # The observed one is among the swaps if they are all, and is counted among random ones.
        scale = np.sqrt((swapped**2).mean(axis=0) if exact[block] else np.vstack([swapped**2, sizes**2]).mean(axis=0))
        scale[scale == 0] = 1.0  # two systems that answer alike
        for number, size, column, divisor in zip(block, sizes, swapped.T, scale, strict=True):
            observed[number], draws[number] = (size - bootstrap.MARGIN) / divisor, column / divisor
    largest = {block: np.full(len(draws[block[0]]), -np.inf) for block in blocks}
    adjusted = np.empty(len(compared))
    for number in np.argsort(observed, kind="stable"):
        (block,) = (block for block in blocks if number in block)
        largest[block] = np.maximum(largest[block], draws[number])
        # A part of which nothing is left to hold against has no largest.
        below = [1 - bootstrap.share(of >= observed[number], exact[b]) for b, of in largest.items() if of[0] > -np.inf]
        adjusted[number] = 1 - np.prod(below)
    order = np.argsort(-observed, kind="stable")
    adjusted[order] = np.maximum.accumulate(adjusted[order])
    return adjusted


def _blocks(clusters: Sequence[Sequence[str]]) -> list[tuple[int, ...]]:
    """Return which comparisons have speakers in common, directly or through others, as tuples of their numbers."""
    blocks: list[tuple[set[int], set[str]]] = []
    for number, own in enumerate(clusters):
        touching = [block for block in blocks if block[1] & set(own)]
        blocks = [block for block in blocks if block not in touching]
        blocks.append(({number}.union(*(b[0] for b in touching)), set(own).union(*(b[1] for b in touching))))
    return [tuple(sorted(numbers)) for numbers, _ in blocks]


def _spread(both: Paired, union: Sequence[str]) -> tuple[np.ndarray, np.ndarray, metrics.Metric]:
    """Return the mean counts of a comparison over more clusters than it has, zero for the others."""
    k = len(both.classes)
    tables = np.zeros((2, len(union), k, k))
    tables[:, np.searchsorted(union, both.clusters)] = [table.mean(axis=0) for table in both.tables]
    return tables[0], tables[1], both.function


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


def holm_of(differences: Sequence[Difference]) -> np.ndarray:
    """Return p-values adjusted by `holm` among the differences that have an interval; NaN for the others.

    Examples:
        >>> holm_of([]).tolist()
        []
    """
    within = np.array([one.interval.refusal is None for one in differences], dtype=bool)
    adjusted = np.full(len(differences), np.nan)
    adjusted[within] = holm([one.p_value for one in differences if one.interval.refusal is None])
    return adjusted
