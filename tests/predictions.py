"""Predictions made up for the tests of the scorer."""

import numpy as np
import pandas as pd
from scipy import stats

CLASSES = ["angry", "happy", "neutral", "sad"]


def frame(truth, prediction, seed=0, **columns):
    table = pd.DataFrame({"clip": [f"toy/{i}" for i in range(len(truth))], "seed": seed})
    return table.assign(truth=truth, prediction=prediction, **columns)


def with_probabilities(seed=0, n=200):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(4), n)
    truth, prediction = rng.choice(CLASSES, n), np.array(CLASSES)[p.argmax(1)]
    return frame(truth, prediction, **{f"p_{name}": p[:, i] for i, name in enumerate(CLASSES)})


def system(skill=0.4, *, speakers=12, clips=480, seeds=1, seed=0, truth_seed=0):
    """Predictions that are right more often for some speakers, the same truth for every ``seed``."""
    truth = np.random.default_rng(truth_seed).choice(CLASSES, clips)
    rng = np.random.default_rng(1000 + seed)
    speaker = np.arange(clips) % speakers
    ease = rng.normal(0, 0.15, speakers)[speaker]
    tables = []
    for number in range(seeds):
        right = rng.random(clips) < skill + ease
        table = {"clip": [f"toy/{i}" for i in range(clips)], "speaker": [f"toy/s{i:02}" for i in speaker]}
        table |= {"seed": number, "truth": truth, "prediction": np.where(right, truth, rng.choice(CLASSES, clips))}
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def scipy_interval(table, statistic, **options):
    """The percentile bootstrap of scipy over the rows of a table of counts (G, K, K)."""
    result = stats.bootstrap(
        (np.arange(len(table)),),
        lambda drawn, axis: statistic(table[drawn].sum(axis=axis if axis >= 0 else drawn.ndim + axis)),
        n_resamples=10_000,
        batch=500,
        method="percentile",
        rng=np.random.default_rng(5),
        **options,
    )
    return result.confidence_interval
