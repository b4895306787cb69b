"""How often intervals hold a procedure's expected score where classifiers are trained on the simulated speakers.

Unlike `ser_core.experiments.coverage`, whose system is given, an experiment here draws speakers, divides them, trains
on some and tests on others: the people tested, the people trained on and the division are all random, as they are in a
study.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ser_core import files, paths
from ser_core.evaluation import bootstrap, procedure

CLASSES, CLIPS_PER_CLASS, FOLDS = 4, 12, 5
SMALL = 10  # with so few speakers one is left out at a time
HALVINGS = 30  # random ones, which err more than the balanced ones of `ser_core.experiments.halves`
HALF_DIVISIONS = 2
NETWORK_DIVISIONS = NETWORK_SEEDS = 3
_HIDDEN = 30
_RIDGE = 0.01


@dataclass(frozen=True)
class World:
    """A population of speakers in a space of features, in which the noise of a clip has standard deviation 1.

    Attributes:
        features: Number of features.
        distance: Root mean square distance of a class's mean from the mean of all.
        directions: Number of directions in which speakers differ whatever the class; all others say nothing of who
            speaks, which a classifier can learn from many speakers.
        speaker_sd: Standard deviation of speakers in each of these directions.
        class_sd: Standard deviation of one class of one speaker, in each direction, beyond that.
    """

    features: int
    distance: float
    directions: int
    speaker_sd: float
    class_sd: float


# In "moderate" and "strong" intervals by speakers are about 1.6 and 2.3 times as wide as by clips, as on RAVDESS and on
# EmoDB (see `ser_core.experiments.coverage.EFFECTS`). In "training" who is trained on matters most: classes are close,
# speakers differ in every direction, and more of them help little.
WORLDS = {
    "moderate": World(15, 2.0, 6, 1.5, 0.7),
    "strong": World(15, 4.5, 10, 2.5, 1.8),
    "training": World(20, 1.7, 20, 1.5, 0.3),
}


@dataclass(frozen=True)
class Population:
    """A `World` with its class means and directions drawn.

    Attributes:
        world: The world.
        means: Class means, shape (K, features).
        directions: Orthonormal, shape (directions, features).
    """

    world: World
    means: np.ndarray
    directions: np.ndarray

    def people(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return the clips of ``n`` new speakers, shape (n, K, clips, features + 1); the last feature is 1.

        Args:
            n: Number of speakers.
            rng: Source of randomness.
        """
        w = self.world
        speakers = w.speaker_sd * rng.standard_normal((n, w.directions)) @ self.directions
        own = w.class_sd * rng.standard_normal((n, CLASSES, w.features))
        x = np.ones((n, CLASSES, CLIPS_PER_CLASS, w.features + 1), dtype=np.float32)
        x[..., :-1] = (self.means + speakers[:, None] + own)[:, :, None]
        x[..., :-1] += rng.standard_normal(x[..., :-1].shape, dtype=np.float32)
        return x


def population(world: World, seed: int = 7) -> Population:
    """Return a population of a world; the same for each seed.

    Args:
        world: One of `WORLDS`, or another.
        seed: Of class means and directions.

    Examples:
        >>> population(WORLDS["moderate"]).means.shape
        (4, 15)
    """
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((CLASSES, world.features))
    means -= means.mean(axis=0)
    means *= world.distance / np.sqrt(np.square(means).sum(axis=1).mean())
    return Population(world, means, np.linalg.qr(rng.standard_normal((world.features,) * 2))[0][: world.directions])


def divisions(n: int, folds: int, times: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each of ``n`` speakers under several divisions, shape (times, n).

    Args:
        n: Number of speakers.
        folds: Number of folds, as even in size as can be; one a speaker if there are fewer speakers.
        times: Number of divisions.
        rng: Source of randomness.

    Examples:
        >>> np.bincount(divisions(12, 5, 1, np.random.default_rng(0))[0]).tolist()
        [3, 3, 2, 2, 2]
    """
    return rng.permuted(np.broadcast_to(np.arange(n) % folds, (times, n)), axis=1)


def cross_validated(x: np.ndarray, folds: np.ndarray, parts: np.ndarray | None = None) -> np.ndarray:
    """Return the recall of each speaker, averaged over classes, by classifiers that were not trained on that speaker.

    The classifier is least squares on class indicators with a small ridge; the class of the largest value wins. It
    needs of the training speakers only sums over each one's clips, so that thousands are fitted in a second.

    Args:
        x: Clips of n speakers, shape (n, K, clips, p); the last feature is 1 and is not shrunk.
        folds: Shape (T, n): the fold of each speaker under each of T divisions.
        parts: Shape (T, n), False or True: speakers are trained on only for those of the same part. None: all are.

    Returns:
        Shape (T, n), in [0, 1].
    """
    times, n = folds.shape
    k, p, fold = x.shape[1], x.shape[-1], np.arange(folds.max() + 1)
    flat = x.reshape(n, -1, p)
    squares = (flat.transpose(0, 2, 1) @ flat).reshape(n, p * p).astype(float)
    sums = x.sum(axis=2).transpose(0, 2, 1).reshape(n, p * k).astype(float)
    trained = folds[:, None] != fold[:, None]
    if parts is not None:
        trained = np.concatenate([trained & ~parts[:, None], trained & parts[:, None]], axis=1)
        folds = folds + len(fold) * parts
    trained = trained.reshape(-1, n).astype(float)
    a = (trained @ squares).reshape(-1, p, p)
    shrunk = np.arange(p - 1)
    a[:, shrunk, shrunk] += _RIDGE * a[:, shrunk, shrunk].mean(axis=1, keepdims=True)
    weights = np.linalg.solve(a, (trained @ sums).reshape(-1, p, k)).reshape(times, -1, p, k).astype(np.float32)
    # Each speaker's clips are multiplied at once by all weights that did not see them.
    own = weights[np.arange(times)[:, None], folds].transpose(1, 2, 3, 0).reshape(n, p, k * times)
    values = (flat @ own).reshape(n, k, -1, k, times)
    right = 0.0
    for c in range(k):
        others = [values[:, c, :, other] for other in range(k) if other != c]
        right = right + (values[:, c, :, c] >= np.maximum.reduce(others)).mean(axis=1)
    return right.T / k


def halves(
    systems: Sequence[np.ndarray], folds: int, rng: np.random.Generator, halvings: int = HALVINGS
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of whole cross-validations inside random halves, and their variances over test speakers.

    Args:
        systems: For each system the clips of the same n speakers, an even number, shape (n, K, clips, p).
        folds: Number of folds inside a half; one a speaker if it has fewer.
        rng: Source of randomness.
        halvings: Number of random halvings, R, the same for all systems.

    Returns:
        Scores of shape (systems, R, 2, D) and variances of shape (systems, R, 2), as
        `ser_core.evaluation.procedure.widening` takes them.
    """
    half = len(systems[0]) // 2
    times = HALF_DIVISIONS if folds < half else 1  # to leave one out is the only division of its kind
    second = rng.permuted(np.broadcast_to(np.arange(2 * half) >= half, (halvings, 2 * half)), axis=1)
    second = np.repeat(second, times, axis=0)
    made = np.empty(second.shape, dtype=int)
    for part in (second, ~second):
        made[part] = divisions(half, folds, len(part), rng).ravel()
    scores, variances = [], []
    for x in systems:
        found = cross_validated(x, made, second)
        right = np.stack([found[part].reshape(halvings, times, half) for part in (~second, second)], axis=1)
        scores.append(right.mean(axis=3))
        variances.append(right.mean(axis=2).var(axis=2, ddof=1) / half)
    return np.stack(scores), np.stack(variances)


def network(x: np.ndarray, seed: int) -> np.ndarray:
    """Return the activations of a network's hidden layer, whose weights are as the seed draws them and stay so.

    Args:
        x: Shape (n, K, clips, p); the last feature is 1.
        seed: Of the weights.

    Returns:
        Shape (n, K, clips, hidden + 1), the last of them 1.
    """
    weights = np.random.default_rng(seed).standard_normal((x.shape[-1], _HIDDEN)) / np.sqrt(x.shape[-1])
    hidden = np.maximum(x @ weights.astype(np.float32), 0)
    return np.concatenate([hidden, np.ones_like(hidden[..., :1])], axis=-1)


def experiment(who: Population, n: int, rng: np.random.Generator, *, n_divisions: int = 10) -> list[dict]:
    """Run one simulated experiment and return what each way to take an interval says of it.

    Two systems are compared that have equal expected scores but share nothing: each is given features of its own, drawn
    from the same population. A network, which is not fitted in halves, takes its factor from the two.

    Args:
        who: The population.
        n: Number of speakers.
        rng: Source of randomness.
        n_divisions: Number of divisions; one where a speaker is left out at a time.

    Returns:
        Rows ``what`` (``score``, ``difference`` or ``network``), ``method``, ``value``, ``low``, ``high``, ``factor``;
        and of the difference also ``p_value``: of the swap test under one division, and of Student's t with the widened
        standard error.
    """
    folds = n if n <= SMALL else FOLDS
    systems = [who.people(n, rng) for _ in range(2)]
    made = divisions(n, folds, 1 if folds == n else n_divisions, rng)
    first, second = (cross_validated(x, made) for x in systems)
    scores, variances = halves(systems, folds, rng)
    resamples = rng.multinomial(n, np.full(n, 1 / n), 1_000) / n
    own = [procedure.widening(scores[i], variances[i]) for i in range(2)]
    pooled = procedure.widening(np.concatenate(scores), np.concatenate(variances))

    def row(what: str, method: str, right: np.ndarray, factor: float | None, **others) -> dict:
        values = resamples @ right.mean(axis=(0, 1))
        each = right.mean(axis=2)
        if factor is None:
            low, high = bootstrap.ends(values, 0.95, bootstrap.METHOD, n)
        else:
            low, high = procedure.ends(values, each, factor, n)
        return {
            "what": what,
            "method": method,
            "value": each.mean(),
            "low": low,
            "high": high,
            "factor": factor,
            **others,
        }

    right = first[:, None]
    difference = right - second[:, None]
    swapped = swap_p(difference[0, 0], rng)
    error = procedure.standard_error(resamples @ difference.mean(axis=(0, 1)), difference.mean(axis=2), pooled)
    student = 2 * stats.t.sf(abs(difference.mean()) / (error * np.sqrt(n / (n - 1))), n - 1)
    d_scores = scores[0] - scores[1]
    both = variances.sum(axis=0)  # of two systems that share nothing
    d_factor = procedure.widening(d_scores, both)
    seeds = [network(systems[0], seed) for seed in rng.integers(2**31, size=NETWORK_SEEDS)]
    trained = np.stack([cross_validated(x, made[:NETWORK_DIVISIONS]) for x in seeds], axis=1)
    u = first[0].mean()
    by_clip = stats.norm.ppf(0.975) * np.sqrt(u * (1 - u) / first[0].size / (CLASSES * CLIPS_PER_CLASS))
    return [
        {"what": "score", "method": "clips, one division", "value": u, "low": u - by_clip, "high": u + by_clip},
        row("score", "one division", right[:1], None),
        row("score", "mean of divisions", right, None),
        row("score", "widened, own factor", right, own[0]),
        row("score", "widened, pooled factor", right, pooled),
        row("difference", "one division", difference[:1], None, p_value=swapped),
        row("difference", "mean of divisions", difference, None),
        row("difference", "widened, own factor", difference, d_factor),
        row("difference", "widened, pooled factor", difference, pooled, p_value=student),
        row("network", "one division", trained[:1], None),
        row("network", "mean of divisions", trained, None),
        row("network", "widened, pooled factor", trained, pooled),
    ]


def swap_p(difference: np.ndarray, rng: np.random.Generator, n_permutations: int = 2_000) -> float:
    """Return the two-sided p-value of the swap test where the score is a mean over speakers.

    Args:
        difference: Of the two systems' scores, each speaker's.
        rng: Source of randomness.
        n_permutations: Number of random swaps; all are tried if they are no more.
    """
    n = len(difference)
    if 2**n <= n_permutations:
        signs = 1 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = rng.choice([-1.0, 1.0], (n_permutations, n))
    extreme = (np.abs(signs @ difference) >= np.abs(difference.sum()) - 1e-9).sum()
    return float(extreme / len(signs) if 2**n <= n_permutations else (extreme + 1) / (len(signs) + 1))


def coverage(
    name: str, n_speakers: Sequence[int] = (8, 10, 16, 24, 34), *, repetitions: int = 1_000, seed: int = 0
) -> pd.DataFrame:
    """Count how often each way to take an interval holds the expected score of the procedure.

    The truth is the mean score of all experiments of a row, each with its own speakers and divisions: cross-validation
    is unbiased for a procedure that trains on as many people as its training parts have. That of a difference is 0.

    Args:
        name: A key of `WORLDS`.
        n_speakers: Numbers of speakers to try.
        repetitions: Number of simulated experiments.
        seed: Of the random numbers. A row does not depend on which other numbers of speakers are tried.

    Returns:
        One row a number of speakers, ``what`` and ``method``, see `experiment`: ``coverage`` in [0, 1] with the ends
        of its Wilson interval ``coverage_low`` and ``coverage_high``, ``mean_width``, ``truth``, ``sd`` of the scores,
        the mean ``factor``, ``size``: the share of p-values that are 0.05 or less, ``world`` and ``repetitions``.

    Examples:
        >>> coverage("moderate", [8], repetitions=2)["what"].unique().tolist()
        ['score', 'difference', 'network']
    """
    who, rows = population(WORLDS[name]), []
    for n in n_speakers:
        rng = np.random.default_rng([seed, list(WORLDS).index(name), n])
        found = pd.DataFrame([row for _ in range(repetitions) for row in experiment(who, n, rng)])
        for (what, method), own in found.groupby(["what", "method"], sort=False):
            mean = found.loc[(found["what"] == what) & (found["method"] == "mean of divisions"), "value"].mean()
            truth = 0.0 if what == "difference" else mean
            held = stats.binomtest(int(((own["low"] <= truth) & (truth <= own["high"])).sum()), repetitions)
            wilson = held.proportion_ci(0.95, method="wilson")
            row = {"world": name, "n_speakers": n, "what": what, "method": method, "coverage": held.statistic}
            row |= {"coverage_low": wilson.low, "coverage_high": wilson.high}
            row |= {"mean_width": (own["high"] - own["low"]).mean(), "truth": truth, "sd": own["value"].std()}
            row |= {"factor": own["factor"].mean(), "size": (own["p_value"].dropna() <= 0.05).mean()}
            rows.append(row | {"repetitions": repetitions})
    return pd.DataFrame(rows)


def path() -> Path:
    """Return where the committed table is."""
    return paths.results() / "simulation" / "trained.parquet"


def write(*, repetitions: int = 1_000) -> Path:
    """Write `coverage` of all `WORLDS` to `path`; the same bytes every time.

    Args:
        repetitions: Number of simulated experiments a row; a thousand take some ten minutes.

    Returns:
        The path.
    """
    tables = [coverage(name, repetitions=repetitions) for name in WORLDS]
    files.write_parquet(pd.concat(tables, ignore_index=True), path())
    return path()
