"""The same score under several kinds of interval over speakers, to see whether the choice of kind matters."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import special, stats

from ser_core.evaluation import bootstrap, intervals, metrics


def kinds(
    predictions: pd.DataFrame, metric: str = "uar", *, n_resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return the ends of five kinds of interval over test speakers for one score.

    Source:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 11 (jackknife), 13 (percentile), 14 (BCa);
        Hesterberg, "What teachers should know about the bootstrap", American Statistician 69, 2015 (expanded).

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`, with speakers. With several seeds the score is their
            mean, and the seeds are not drawn.
        metric: See `ser_core.evaluation.intervals.interval`.
        n_resamples: Number of resamples, of all but the jackknife.
        level: Nominal coverage.
        seed: Of the resamples.

    Returns:
        Ends by name: ``expanded`` and ``percentile`` as `ser_core.evaluation.intervals`; ``jackknife t``: Student's t
        with the standard error of leaving one speaker out; ``logit t``: the same on the logit scale and back; ``BCa``:
        bias corrected and accelerated, by scipy.

    Examples:
        >>> table = pd.DataFrame({"clip": list("abcdefgh"), "speaker": list("stuvwxyz"), "truth": "sad"})
        >>> found = kinds(table.assign(prediction=["sad"] * 5 + ["happy"] * 3), "wa", n_resamples=500)
        >>> list(found)
        ['expanded', 'percentile', 'jackknife t', 'logit t', 'BCa']
        >>> [round(end, 2) for end in found["jackknife t"]]  # 5 / 8, give or take 2.36 standard errors of 0.18
        [0.19, 1.06]
    """
    names = metrics.class_names(metrics.validate(predictions))
    counts = intervals.counts(predictions, classes=names)
    g, function = counts.shape[1], metrics.metric(metric, names)

    def score(which: np.ndarray, axis: int = -1) -> np.ndarray:
        """Return the mean metric over seeds of sets of clusters, indices along the axis."""
        drawn = np.moveaxis(np.asarray(which), axis, -1)
        times = np.apply_along_axis(np.bincount, -1, drawn, minlength=g)
        totals = np.einsum("...g,sgij->...sij", times.astype(float), counts)
        return function(totals).mean(axis=-1)

    everyone = np.arange(g)
    value = float(score(everyone))
    values = score(np.random.default_rng(seed).integers(g, size=(n_resamples, g)))
    bca = stats.bootstrap(
        (everyone,),
        score,
        n_resamples=n_resamples,
        confidence_level=level,
        method="BCa",
        batch=1_000,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return {
        **{method: bootstrap.ends(values, level, method, g) for method in reversed(bootstrap.METHODS)},
        "jackknife t": _student(score, everyone, value, level),
        "logit t": tuple(
            special.expit(_student(lambda which: special.logit(score(which)), everyone, special.logit(value), level))
        ),
        "BCa": (float(bca.low), float(bca.high)),
    }


def _student(
    score: Callable[[np.ndarray], np.ndarray], everyone: np.ndarray, value: float, level: float
) -> tuple[float, float]:
    """Return the ends of the t interval with the jackknife's standard error."""
    g = len(everyone)
    without = score(np.stack([np.delete(everyone, each) for each in everyone]))
    error = np.sqrt((g - 1) / g * np.square(without - without.mean()).sum())
    half = stats.t.ppf((1 + level) / 2, g - 1) * error
    return float(value - half), float(value + half)
