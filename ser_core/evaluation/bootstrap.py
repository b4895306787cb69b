"""How clusters are drawn again and how two systems are swapped: all random numbers of the scorer.

Everything works on tables of confusion counts of shape (S, G, K, K): seeds, clusters, truth, prediction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ser_core.errors import SerError
from ser_core.evaluation.metrics import Metric

# The default. For 5 to 10 speakers `ser_core.experiments.coverage` finds that 95 % intervals hold the truth 84 to 91 %
# of the time as plain percentiles, and 92 to 95 % expanded.
METHOD = "expanded"
# Differences that are equal in truth, but not in their last bit, are to be equal.
MARGIN = 1e-12
_CHUNK = 4_000_000  # numbers in each of the few arrays held at once: 32 MB


def check(method: str) -> None:
    """Raise a SerError unless the method is one of `METHODS`."""
    if method not in METHODS:
        raise SerError(f"no interval method '{method}'; there are {list(METHODS)}")


FEWEST = 10
"""The smallest number of draws: fewer have no tails to read an interval or a p-value from."""


def check_draws(n: int) -> None:
    """Raise unless a number of draws is a whole number of `FEWEST` or more.

    Args:
        n: Number of resamples or of random swaps.

    Raises:
        SerError: If it is not.

    Examples:
        >>> check_draws(0)
        Traceback (most recent call last):
        ...
        ser_core.errors.SerError: 0 draws: expected a whole number of resamples or swaps, 10 or more
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < FEWEST:
        raise SerError(f"{n!r} draws: expected a whole number of resamples or swaps, {FEWEST} or more")


def resampled(
    tables: Sequence[np.ndarray],
    function: Metric,
    n_resamples: int,
    rng: np.random.Generator,
    *,
    same_seeds: bool,
    designs: Sequence[Sequence[int]] | None = None,
) -> list[np.ndarray]:
    """Return a metric of one or more systems with other clusters, and with other trainings.

    A resample draws clusters and takes the mean over all trainings. To it is added the mean deviation of as many
    trainings, drawn from `deviations`.

    Args:
        tables: Counts of shape (S, G, K, K), one a system; G and K are the same for all, the clusters too.
        function: The metric, from (..., K, K) to (...).
        n_resamples: Number of resamples, R.
        rng: Source of randomness.
        same_seeds: Whether the systems have the same trainings, which are then drawn together.
        designs: How each system's S trainings are crossed, see `deviations`; by default S of one kind.

    Returns:
        For each system the metric in each resample, shape (R,); row r of all comes from the same clusters.

    Raises:
        SerError: If ``n_resamples`` is refused by `check_draws`.
    """
    check_draws(n_resamples)
    g, k = tables[0].shape[1], tables[0].shape[-1]
    flat = np.concatenate([table.transpose(1, 0, 2, 3).reshape(g, -1) for table in tables], axis=1)
    # Clusters with equal counts are interchangeable, so only how often each kind is drawn matters: fewer draws
    # when the clusters are clips, and the same result in whatever order the clusters come.
    kinds, sizes = np.unique(flat, axis=0, return_counts=True)
    kinds = kinds.astype(float)  # for BLAS; sums of integers stay exact, so threads and chunks change no digit
    chunk = max(1, _CHUNK // sum(kinds.shape))
    parts: list[list[np.ndarray]] = [[] for _ in tables]
    for start in range(0, n_resamples, chunk):
        n = min(chunk, n_resamples - start)
        totals = rng.multinomial(g, sizes / g, size=n).astype(float) @ kinds
        column = 0
        for part, table in zip(parts, tables, strict=True):
            s = len(table)
            values = function(totals[:, column : column + s * k * k].reshape(n, s, k, k))
            column += s * k * k
            part.append(values.mean(axis=1))
    draws, drawn = [np.concatenate(part) for part in parts], None
    for number, table in enumerate(tables):
        factors = deviations(function(table.sum(axis=1)), designs[number] if designs else None)
        if drawn is None or not same_seeds:
            drawn = [rng.integers(len(factor), size=(n_resamples, len(factor))) for factor in factors]
        for factor, rows in zip(factors, drawn, strict=True):
            draws[number] = draws[number] + factor[rows].mean(axis=1)
    return draws


def deviations(values: np.ndarray, design: Sequence[int] | None = None) -> list[np.ndarray]:
    """Return how far the trainings of a system lie from their mean, one array a way in which they differ.

    The mean of n draws from n deviations has the variance of a mean of n divided by n where n - 1 is right. So each
    is expanded by sqrt(n / (n - 1)). One training has no deviation: what another would give is not known.

    Source:
        Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007. There an interaction of crossed ways
        is counted three times. Here, where means over the other ways are drawn, it is counted once for each way.

    Args:
        values: The metric of each training, shape (S,).
        design: How many levels each way has, as (3, 3) for three draws of dev speakers crossed with three seeds, in
            the order of ``values``; their product is S. By default (S,).

    Returns:
        For each way that has n > 1 levels, the expanded deviations of its levels' means, shape (n,).

    Examples:
        >>> [way.round(2).tolist() for way in deviations(np.array([0.5, 0.6, 0.7]))]
        [[-0.12, 0.0, 0.12]]
        >>> [way.round(2).tolist() for way in deviations(np.array([0.5, 0.5, 0.7, 0.7]), (2, 2))]
        [[-0.14, 0.14], [0.0, 0.0]]
    """
    crossed = np.asarray(values).reshape(design if design is not None else -1)
    found = []
    for axis, n in enumerate(crossed.shape):
        if n > 1:
            means = crossed.mean(axis=tuple(other for other in range(crossed.ndim) if other != axis))
            found.append((means - crossed.mean()) * np.sqrt(n / (n - 1)))
    return found


@dataclass(frozen=True)
class Spread:
    """How far draws of a metric lie apart, and how many draws of clusters and trainings that rests on.

    Attributes:
        error: The standard error, with every part's variance divided by its number less 1.
        freedom: Its degrees of freedom by Satterthwaite.
        factor: ``error`` over the standard deviation of the draws.
    """

    error: float
    freedom: float
    factor: float


def spread(
    values: np.ndarray,
    n_clusters: int,
    trainings: Sequence[np.ndarray] = (),
    *,
    cluster_freedom: float | None = None,
) -> Spread:
    """Return the standard error of a metric from its draws.

    Source:
        Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2, 1946.

    Args:
        values: Shape (R,), as from `resampled`; NaN, where a resample has no value, is left out.
        n_clusters: Number of clusters that were resampled.
        trainings: The deviations that were drawn, as from `deviations`.
        cluster_freedom: Degrees of freedom of the clusters' part; by default ``n_clusters`` - 1.

    Examples:
        >>> found = spread(np.array([-1.0, 1.0]), 5)
        >>> round(found.error, 3), found.freedom
        (1.118, 4.0)
    """
    of_trainings = [float(np.mean(way**2)) / len(way) for way in trainings]
    drawn = float(np.nanvar(values))
    of_clusters = max(0.0, drawn - sum(of_trainings)) * n_clusters / (n_clusters - 1)
    variances = [of_clusters, *of_trainings]
    counts = [n_clusters - 1 if cluster_freedom is None else cluster_freedom, *(len(way) - 1 for way in trainings)]
    total = sum(variances)
    if not trainings or not total:
        return Spread(float(np.sqrt(total)), float(counts[0]), float(np.sqrt(n_clusters / (n_clusters - 1))))
    freedom = total**2 / sum(v**2 / n for v, n in zip(variances, counts, strict=True))
    return Spread(float(np.sqrt(total)), float(freedom), float(np.sqrt(total / drawn)))


def ends(
    values: np.ndarray, level: float, method: str, n_clusters: int, trainings: Sequence[np.ndarray] = ()
) -> tuple[float, float]:
    """Return the ends of the interval from a metric's values in the resamples.

    Args:
        values: Shape (R,); NaN, where a resample has no value, is left out.
        level: Nominal coverage, in (0, 1).
        method: ``percentile``: the (1 - level) / 2 quantiles from both sides. ``expanded``: the quantiles at which a
            normal distribution has the ends of the t interval, with the error and the degrees of freedom of `spread`.
        n_clusters: Number of clusters that were resampled.
        trainings: The deviations that were drawn, as from `deviations`.
    """
    tail = _tail(values, level, method, n_clusters, trainings)
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def slack(
    values: np.ndarray, level: float, method: str, n_clusters: int, trainings: Sequence[np.ndarray] = ()
) -> float:
    """Return how far the ends of `ends` may lie from where infinitely many resamples would put them.

    Two standard errors of the quantiles, as order statistics: the ends' distance to the quantiles so far outwards.

    Args:
        values: See `ends`.
        level: See `ends`.
        method: See `ends`.
        n_clusters: See `ends`.
        trainings: See `ends`.

    Returns:
        The larger of the two ends' slacks, in the unit of the metric.
    """
    tail = _tail(values, level, method, n_clusters, trainings)
    further = max(0.0, tail - 2 * np.sqrt(tail * (1 - tail) / len(values)))
    low, outer_low, high, outer_high = np.nanquantile(values, [tail, further, 1 - tail, 1 - further])
    return float(max(low - outer_low, outer_high - high))


def _plain(tail: float, values: np.ndarray, n_clusters: int, trainings: Sequence[np.ndarray]) -> float:
    return tail


def _expanded(tail: float, values: np.ndarray, n_clusters: int, trainings: Sequence[np.ndarray]) -> float:
    found = spread(values, n_clusters, trainings)
    return float(stats.norm.cdf(found.factor * stats.t.ppf(tail, found.freedom)))


METHODS = {"percentile": _plain, "expanded": _expanded}
"""Name of an interval -> the share of resamples beyond each of its ends, from the nominal share, see `ends`."""


def _tail(values: np.ndarray, level: float, method: str, n_clusters: int, trainings: Sequence[np.ndarray]) -> float:
    return METHODS[method]((1 - level) / 2, values, n_clusters, trainings)


def swap_test(
    a: np.ndarray, b: np.ndarray, function: Metric, n_permutations: int, rng: np.random.Generator
) -> tuple[float, bool]:
    """Test a difference by swapping the systems' answers within clusters, each by the flip of a coin.

    Args:
        a: Counts of the first system, shape (G, K, K).
        b: Counts of the second system, same clusters.
        function: The metric, from (..., K, K) to (...).
        n_permutations: Number of random swaps; all 2^G are tried if they are no more than this.
        rng: Source of randomness.

    Returns:
        The two-sided p-value, in (0, 1], and whether it is exact.

    Examples:
        >>> right, wrong = np.array([[[5, 0], [0, 0]]] * 4), np.array([[[0, 5], [0, 0]]] * 4)
        >>> swap_test(right, wrong, lambda c: c[..., 0, 0] / c.sum((-1, -2)), 10_000, np.random.default_rng(0))
        (0.125, True)
    """
    observed, draws, exact = swapped([(a, b, function)], n_permutations, rng)
    return share(draws[:, 0] >= observed[0] - MARGIN, exact), exact


def share(extreme: np.ndarray, exact: bool) -> float:
    """Return the p-value of swaps of which some are as extreme as the observed one, which counts among random ones.

    Examples:
        >>> share(np.array([True, False, False, True]), True), share(np.array([False] * 9), False)
        (0.5, 0.1)
    """
    return float(extreme.mean()) if exact else (int(extreme.sum()) + 1) / (len(extreme) + 1)


def swapped(
    compared: Sequence[tuple[np.ndarray, np.ndarray, Metric]], n_permutations: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the size of one or more differences when two systems swap their answers within clusters.

    Args:
        compared: For each of m comparisons the counts of its two systems, shape (G, K, K), with the same G clusters in
            all, and the metric. K may differ. A cluster of which a comparison has no clip has counts of zero there.
        n_permutations: Number of random swaps, P; all 2^G are tried if they are no more than this. A cluster that
            changes no comparison when swapped does not count.
        rng: Source of randomness.

    Returns:
        The observed absolute differences, shape (m,); those of each swap, shape (P, m), a swap being the same in all
        comparisons; and whether these are all swaps there are.

    Raises:
        SerError: If ``n_permutations`` is refused by `check_draws`.
    """
    check_draws(n_permutations)
    changes = [(b - a).reshape(len(a), -1).astype(float) for a, b, _ in compared]
    moving = np.any([(change != 0).any(axis=1) for change in changes], axis=0)
    changes = [change[moving] for change in changes]
    totals = [(a.sum(axis=0), b.sum(axis=0)) for a, b, _ in compared]
    observed = np.array(
        [abs(function(a) - function(b)) for (a, b), (_, _, function) in zip(totals, compared, strict=True)]
    )
    n_moving = int(moving.sum())
    exact = bool(n_moving <= np.log2(n_permutations))
    n = 2**n_moving if exact else n_permutations
    chunk = max(1, _CHUNK // (n_moving + sum(change.shape[1] for change in changes)))
    draws = np.empty((n, len(compared)))
    for start in range(0, n, chunk):
        rows = np.arange(start, min(start + chunk, n))
        if exact:
            swap = (rows[:, None] >> np.arange(n_moving)) & 1
        else:
            swap = rng.integers(2, size=(len(rows), n_moving))
        for column, (change, (a, b), (_, _, function)) in enumerate(zip(changes, totals, compared, strict=True)):
            moved = (swap.astype(float) @ change).reshape(-1, *a.shape)
            draws[rows, column] = np.abs(function(a + moved) - function(b - moved))
    return observed, draws, exact
