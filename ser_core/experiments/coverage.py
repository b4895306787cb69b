"""How often a "95 %" interval holds the truth, and how wide it is, for simulated speakers of a known population."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special, stats

from ser_core import files, paths
from ser_core.data import corpora, labels
from ser_core.errors import RefusalError
from ser_core.evaluation import bootstrap, intervals

# What is resampled, and how the interval is taken: by clips as most papers do, and by speakers in both ways.
SCORERS = (("clip", "percentile"), *(("speaker", method) for method in bootstrap.METHODS))
# Standard deviations of `coverage`. Speaker-independent eGeMAPS and a linear SVM have intervals by speakers that are
# about 1.6 times as wide as those by clips on RAVDESS, and 2.3 times on EmoDB; "moderate" and "strong" give such.
EFFECTS = {
    "none": {"speaker_sd": 0.0, "class_sd": 0.0},
    "moderate": {"speaker_sd": 0.3, "class_sd": 0.6},
    "strong": {"speaker_sd": 0.5, "class_sd": 1.0},
}
# Mean recalls on the logit scale run over this range, so that some classes are harder, as in every corpus.
_EASE = (-0.5, 1.5)


def _ease(n_classes: int) -> np.ndarray:
    return np.linspace(*_EASE, n_classes)


def true_uar(n_classes: int, speaker_sd: float, class_sd: float) -> float:
    """Return the UAR of the simulated system over all speakers of the population, by Gauss-Hermite quadrature.

    Args:
        n_classes: Number of classes.
        speaker_sd: See `coverage`.
        class_sd: See `coverage`.

    Returns:
        UAR in [0, 1].

    Examples:
        >>> round(true_uar(1, 0.0, 0.0), 4) == round(float(special.expit(-0.5)), 4)
        True
    """
    points, weights = np.polynomial.hermite_e.hermegauss(100)
    logits = _ease(n_classes)[:, None] + np.hypot(speaker_sd, class_sd) * points
    return float((special.expit(logits) @ weights / weights.sum()).mean())


def draw(
    design: np.ndarray, *, repetitions: int, speaker_sd: float, class_sd: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw the confusion counts of experiments, each with its own speakers of the population.

    Args:
        design: Clips of each class that each speaker of an experiment has, integers of shape (n_speakers, K).
        repetitions: Number of experiments.
        speaker_sd: See `coverage`.
        class_sd: See `coverage`.
        rng: Source of randomness.

    Returns:
        Integers of shape (repetitions, n_speakers, K, K); wrong answers are spread evenly over the other classes.
    """
    k = design.shape[1]
    shape = (repetitions, *design.shape)
    logits = _ease(k) + speaker_sd * rng.standard_normal(shape)[..., :1] + class_sd * rng.standard_normal(shape)
    right = rng.binomial(design, special.expit(logits))
    wrong = rng.multinomial(design - right, np.full(k - 1, 1 / (k - 1)))
    counts = np.zeros((*shape, k), dtype=np.int64)
    counts[..., np.arange(k), np.arange(k)] = right
    counts[..., ~np.eye(k, dtype=bool)] = wrong.reshape(*shape[:2], -1)
    return counts


def coverage(
    n_speakers: Sequence[int] = (4, 5, 10, 20, 40),
    *,
    clips_per_speaker: int = 60,
    n_classes: int = 4,
    speaker_sd: float = EFFECTS["strong"]["speaker_sd"],
    class_sd: float = EFFECTS["strong"]["class_sd"],
    repetitions: int = 2_000,
    n_resamples: int = 2_000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Count how often intervals by clips and by speakers hold the UAR of the population of speakers.

    The system recognises class k of speaker s with probability ``expit(ease_k + speaker_s + class_sk)``; the last
    two are normal, drawn anew for each speaker. The truth is the mean recall over all possible speakers, by
    quadrature. Each experiment is scored by `ser_core.evaluation.intervals.from_counts`, as every result is, but
    without its refusals, so that the table shows what they protect from.

    Args:
        n_speakers: Numbers of speakers to try.
        clips_per_speaker: Clips of a speaker, a multiple of ``n_classes``.
        n_classes: Number of classes.
        speaker_sd: Standard deviation, in logits, of how easy a speaker is for the system.
        class_sd: Standard deviation, in logits, of how easy one class of one speaker is beyond that.
        repetitions: Number of simulated experiments.
        n_resamples: Bootstrap resamples of each.
        level: Nominal coverage.
        seed: Of the random numbers. A row does not depend on which other numbers of speakers are tried.

    Returns:
        One row a number of speakers, ``unit`` and ``method``: ``coverage`` in [0, 1] with the ends of its own
        Wilson interval ``coverage_low`` and ``coverage_high``, ``mean_width`` of the intervals in UAR, ``truth``,
        ``speaker_sd``, ``class_sd`` and ``repetitions``.

    Examples:
        >>> table = coverage([5], repetitions=20, n_resamples=100)
        >>> table[["n_speakers", "unit", "method"]].to_numpy().tolist()
        [[5, 'clip', 'percentile'], [5, 'speaker', 'percentile'], [5, 'speaker', 'expanded']]
    """
    designs = {n: np.full((n, n_classes), clips_per_speaker // n_classes) for n in n_speakers}
    return _tried(
        designs, SCORERS, {"speaker_sd": speaker_sd, "class_sd": class_sd}, repetitions, n_resamples, level, seed
    )


def of_design(
    design: np.ndarray,
    *,
    speaker_sd: float = EFFECTS["strong"]["speaker_sd"],
    class_sd: float = EFFECTS["strong"]["class_sd"],
    repetitions: int = 2_000,
    n_resamples: int = 2_000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Count how often intervals hold the UAR of the population of speakers, for a corpus as it is made.

    As `coverage`, with speakers who need not have equally many clips, nor all classes.

    Args:
        design: Clips of each class that each speaker has, shape (n_speakers, K), as
            ``pd.crosstab(clips["speaker"], clips["emotion"]).to_numpy()``.
        speaker_sd: See `coverage`.
        class_sd: See `coverage`.
        repetitions: Number of simulated experiments.
        n_resamples: Bootstrap resamples of each.
        level: Nominal coverage.
        seed: Of the random numbers.

    Returns:
        As `coverage`, of intervals by speakers only.

    Raises:
        RefusalError: If a class would be absent from too many resamples, so that there are no intervals.

    Examples:
        >>> one_emotion_each = np.repeat(20 * np.eye(4, dtype=int), 8, axis=0)
        >>> of_design(one_emotion_each, repetitions=20, n_resamples=100)["n_speakers"].tolist()
        [32]
    """
    sds = {"speaker_sd": speaker_sd, "class_sd": class_sd}
    return _tried({len(design): np.asarray(design)}, SCORERS[-1:], sds, repetitions, n_resamples, level, seed)


def _tried(
    designs: Mapping[int, np.ndarray],
    scorers: Sequence[tuple[str, str]],
    sds: Mapping[str, float],
    repetitions: int,
    n_resamples: int,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """Return the rows of `coverage` for each design and way to take an interval."""
    rows = []
    options = {"n_resamples": n_resamples, "level": level, "min_clusters": 2, "min_effective": 0.0}
    for n, design in designs.items():
        k = design.shape[1]
        truth, classes = true_uar(k, **sds), [str(number) for number in range(k)]
        one_clip = np.eye(k**2, dtype=np.int64).reshape(-1, k, k)
        experiments = draw(design, repetitions=repetitions, rng=np.random.default_rng([seed, n]), **sds)
        for unit, method in scorers:
            ends = []
            for number, counts in enumerate(experiments):
                table = counts if unit == "speaker" else np.repeat(one_clip, counts.sum(axis=0).ravel(), axis=0)
                result = intervals.from_counts(
                    table[None], classes=classes, unit=unit, method=method, seed=seed + number, **options
                )
                if result.refusal:
                    raise RefusalError(f"{n} {unit}s of this design have no interval: {result.refusal}")
                ends.append((result.low, result.high))
            low, high = np.array(ends).T
            held = stats.binomtest(int(((low <= truth) & (truth <= high)).sum()), repetitions)
            wilson = held.proportion_ci(0.95, method="wilson")
            row = {"n_speakers": n, "unit": unit, "method": method, "coverage": held.statistic}
            row |= {"coverage_low": wilson.low, "coverage_high": wilson.high}
            row |= {"mean_width": float((high - low).mean()), "truth": truth, **sds}
            rows.append(row | {"repetitions": repetitions})
    return pd.DataFrame(rows)


def precision(
    corpus: str = "urdu",
    n_speakers: Sequence[int] = (10, 20, 29, 40, 60, 80, 120, 160, 240),
    *,
    repetitions: int = 1_000,
    n_resamples: int = 1_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how wide intervals are on a corpus as it is, and where its speakers had all emotions.

    Args:
        corpus: A corpus with the classes of ``common4``.
        n_speakers: Numbers of speakers who have as many clips as one of the corpus has on average, rounded up to
            equally many of each class.
        repetitions: Number of simulated experiments a row.
        n_resamples: Bootstrap resamples of each.
        seed: Of the random numbers.

    Returns:
        Rows as of `of_design` under the moderate and strong one of `EFFECTS`, with the columns ``design``, which is
        the name of the corpus or ``all classes``, ``clips_per_speaker`` on average and ``effect``.

    Raises:
        SerError: If there is no such corpus.
    """
    clips = labels.harmonise(corpora.table(corpus), "common4")
    own = pd.crosstab(clips["speaker"], clips["emotion"]).to_numpy()
    each = -(-own.sum() // own.size)
    designs = [(corpus, own), *(("all classes", np.full((n, own.shape[1]), each)) for n in n_speakers)]
    tables = []
    for effect in ("moderate", "strong"):
        for name, design in designs:
            found = of_design(design, repetitions=repetitions, n_resamples=n_resamples, seed=seed, **EFFECTS[effect])
            size = design.sum() / len(design)
            tables.append(found.assign(design=name, clips_per_speaker=size, effect=effect))
    return pd.concat(tables, ignore_index=True)


def path(name: str = "coverage") -> Path:
    """Return where a committed table is: ``coverage`` or ``precision``."""
    return paths.results() / "simulation" / f"{name}.parquet"


def write(*, repetitions: int = 2_000) -> Path:
    """Write `coverage` under each of `EFFECTS`, with a column ``effect``, to `path`; the same bytes every time.

    Args:
        repetitions: Number of simulated experiments a row; two thousand take some five minutes.

    Returns:
        The path.
    """
    tables = [coverage(repetitions=repetitions, **sds).assign(effect=effect) for effect, sds in EFFECTS.items()]
    files.write_parquet(pd.concat(tables, ignore_index=True), path())
    return path()


def write_precision() -> Path:
    """Write `precision` to its `path`; it takes some minutes.

    Returns:
        The path.
    """
    files.write_parquet(precision(), path("precision"))
    return path("precision")
