"""How often a "95 %" interval holds the truth, by simulation of speakers whose population is known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special, stats

from ser_core import intervals, store

# What is resampled, and how the interval is taken: by clips as most papers do, and by speakers in both ways.
SCORERS = (("clip", "percentile"), ("speaker", "percentile"), ("speaker", "expanded"))
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
    n_speakers: int,
    *,
    repetitions: int,
    clips_per_speaker: int,
    n_classes: int,
    speaker_sd: float,
    class_sd: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the confusion counts of experiments, each with its own speakers of the population.

    Args:
        n_speakers: Speakers in each experiment.
        repetitions: Number of experiments.
        clips_per_speaker: Clips of a speaker, the same number of each class.
        n_classes: Number of classes.
        speaker_sd: See `coverage`.
        class_sd: See `coverage`.
        rng: Source of randomness.

    Returns:
        Integers of shape (repetitions, n_speakers, K, K); wrong answers are spread evenly over the other classes.
    """
    shape, k = (repetitions, n_speakers, n_classes), n_classes
    logits = _ease(k) + speaker_sd * rng.standard_normal(shape)[..., :1] + class_sd * rng.standard_normal(shape)
    right = rng.binomial(clips_per_speaker // k, special.expit(logits))
    wrong = rng.multinomial(clips_per_speaker // k - right, np.full(k - 1, 1 / (k - 1)))
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
    quadrature. Each experiment is scored by `ser_core.intervals.from_counts`, as every result is, but without
    its refusals, so that the table shows what they protect from.

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
    truth, rows = true_uar(n_classes, speaker_sd, class_sd), []
    classes = [str(k) for k in range(n_classes)]
    model = {"clips_per_speaker": clips_per_speaker, "n_classes": n_classes}
    model |= {"speaker_sd": speaker_sd, "class_sd": class_sd}
    options = {"n_resamples": n_resamples, "level": level, "min_clusters": 2, "min_effective": 0.0}
    one_clip = np.eye(n_classes**2, dtype=np.int64).reshape(-1, n_classes, n_classes)
    for n in n_speakers:
        experiments = draw(n, repetitions=repetitions, rng=np.random.default_rng([seed, n]), **model)
        for unit, method in SCORERS:
            ends = []
            for number, counts in enumerate(experiments):
                table = counts if unit == "speaker" else np.repeat(one_clip, counts.sum(axis=0).ravel(), axis=0)
                result = intervals.from_counts(
                    table[None], classes=classes, unit=unit, method=method, seed=seed + number, **options
                )
                ends.append((result.low, result.high))
            low, high = np.array(ends).T
            held = stats.binomtest(int(((low <= truth) & (truth <= high)).sum()), repetitions)
            wilson = held.proportion_ci(0.95, method="wilson")
            row = {"n_speakers": n, "unit": unit, "method": method, "coverage": held.statistic}
            row |= {"coverage_low": wilson.low, "coverage_high": wilson.high, "mean_width": float((high - low).mean())}
            row |= {"truth": truth, "speaker_sd": speaker_sd, "class_sd": class_sd}
            rows.append(row | {"repetitions": repetitions})
    return pd.DataFrame(rows)


def path() -> Path:
    """Return where the committed table is."""
    return store.results() / "simulation" / "coverage.parquet"


def write(*, repetitions: int = 2_000) -> Path:
    """Write `coverage` under each of `EFFECTS`, with a column ``effect``, to `path`; the same bytes every time.

    Args:
        repetitions: Number of simulated experiments a row; two thousand take some five minutes.

    Returns:
        The path.
    """
    tables = [coverage(repetitions=repetitions, **sds).assign(effect=effect) for effect, sds in EFFECTS.items()]
    store.write_parquet(pd.concat(tables, ignore_index=True), path())
    return path()
