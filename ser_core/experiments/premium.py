"""The premium of leakage: what knowing the test speakers adds, by training size, features, sentences and corpus."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ser_core.evaluation import comparisons, metrics
from ser_core.evaluation.meta_analysis import FEWEST, RandomEffects, random_effects
from ser_core.experiments import runs, scoring

# Experiment, and its weaker and its stricter protocol, which differ in whether test speakers are trained on.
_KNOWN = {f"premium-{size}": ("clip", "speaker") for size in ("150", "300", "600", "match")}
_NEW = {f"premium-sentence-{size}": ("sentence", "speaker+sentence") for size in ("150", "300", "match")}
EXPERIMENTS = {"known": _KNOWN, "new": _NEW}
"""Whether the test sentences are trained on -> experiment -> its two protocols."""


SIZES = ("150", "300", "600", "match")
"""Training sizes that experiments name; ``match`` is as many clips as both divisions of a corpus allow."""


def premiums(
    sentences: Iterable[str] = ("known", "new"), sizes: Iterable[str] = SIZES, *, n_resamples: int = 2_000
) -> pd.DataFrame:
    """Return how much higher systems score that were trained on the test speakers as well.

    Each difference is of one classifier on equally many training clips, over the same test clips, and the mean of as
    many divisions as the Runs have seeds.

    Args:
        sentences: ``known``: the test sentences are trained on by both; ``new``: by neither.
        sizes: Some of `SIZES`.
        n_resamples: Number of bootstrap resamples.

    Returns:
        One row a corpus, feature set, training size and kind of sentences: ``corpus``, ``features``, ``train_clips``,
        ``size`` (the experiment's: ``150``, ..., ``match``), ``sentences``; ``known_speakers`` and ``new_speakers``,
        the two UARs in [0, 1]; ``difference``, a `ser_core.evaluation.comparisons.Difference`; ``value`` and
        ``error``, the difference and its standard error, also where its interval is refused, for `summary`;
        ``n_divisions``.

    Raises:
        SerError: If a Run is not there.
    """
    rows = []
    for kind in sentences:
        for experiment, (weak, strict) in EXPERIMENTS[kind].items():
            if (size := experiment.rpartition("-")[2]) not in sizes:
                continue
            table = runs.catalogue(experiment)
            pairs = table.pivot(index=["corpus", "features"], columns="protocol", values="system").dropna()
            clips = table.set_index("system")["train_clips"]
            for (corpus, features), systems in pairs.iterrows():
                first, second = (scoring.predictions_of(f"{experiment}/{systems[one]}") for one in (weak, strict))
                found = loose = comparisons.difference(first, second, n_resamples=n_resamples)
                if found.interval.refusal:
                    few = {"min_clusters": 2, "min_effective": 0.0}
                    loose = comparisons.difference(first, second, n_resamples=n_resamples, **few)
                row = {"corpus": corpus, "features": features, "train_clips": int(clips[systems[weak]])}
                row |= {"size": size, "sentences": kind}
                row |= {"known_speakers": metrics.scores(first)["uar"], "new_speakers": metrics.scores(second)["uar"]}
                row |= {"difference": found, "value": loose.interval.value, "error": loose.error}
                rows.append(row | {"n_divisions": first["seed"].nunique()})
    return pd.DataFrame(rows)


def with_interval(table: pd.DataFrame) -> list[str]:
    """Return the corpora whose premium has an interval with every feature set, in the order of the table.

    Args:
        table: From `premiums`, or rows of it.
    """
    has = table["difference"].map(lambda found: found.interval.refusal is None)
    return [corpus for corpus, every in has.groupby(table["corpus"], sort=False).all().items() if every]


def over_features(table: pd.DataFrame) -> RandomEffects:
    """Return a random-effects summary of one premium a corpus, the mean over its feature sets.

    For a reader who has a score, and no features. A corpus enters with the largest of its standard errors, since its
    feature sets are scored on the same speakers.

    Args:
        table: From `premiums`, of one training size and one kind of sentences.

    Raises:
        RefusalError: If there are fewer than three corpora.
    """
    pooled = table.groupby("corpus").agg(value=("value", "mean"), error=("error", "max"))
    return random_effects(pooled["value"], pooled["error"])


def summary(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return random-effects summaries over corpora of the premiums that agree in some columns.

    A corpus of few speakers enters with the standard error that its few speakers give. It is a poor one; what it says
    of the spread between corpora is worth more than what it says of itself.

    Args:
        table: From `premiums`, or rows of it.
        by: Columns that the summarised rows agree in, such as ``["features", "size"]``.

    Returns:
        One row a combination that three corpora or more have: the columns of ``by``, ``corpora`` (their number) and
        ``summary``, a `ser_core.evaluation.meta_analysis.RandomEffects`.
    """
    rows = []
    for key, part in table.groupby(by, sort=False):
        part = part[part["error"] > 0]
        if len(part) < FEWEST:
            continue
        found = random_effects(part["value"], part["error"])
        rows.append(dict(zip(by, key, strict=True)) | {"corpora": len(part), "summary": found})
    return pd.DataFrame(rows)


def per_doubling(table: pd.DataFrame) -> pd.DataFrame:
    """Return by how much the premium grows when twice as many clips are trained on, by corpus and features.

    Args:
        table: From `premiums`, of one kind of sentences.

    Returns:
        Columns corpus, features, ``slope`` (in UAR a doubling, by least squares), ``smallest`` and ``largest`` size; of
        corpora with three sizes or more.
    """
    rows = []
    for (corpus, features), part in table.groupby(["corpus", "features"], sort=False):
        if part["train_clips"].nunique() < 3:
            continue
        slope = np.polyfit(np.log2(part["train_clips"]), part["value"], 1)[0]
        row = {"corpus": corpus, "features": features, "slope": float(slope)}
        rows.append(row | {"smallest": part["train_clips"].min(), "largest": part["train_clips"].max()})
    return pd.DataFrame(rows)


def expected(score: float, premium: RandomEffects) -> tuple[float, float, float]:
    """Return what a score on known speakers lets expect on new ones, of a corpus that was not among those measured.

    Args:
        score: UAR under a random division, in [0, 1].
        premium: Of systems like the one that has it, from `summary`.

    Returns:
        The expected UAR, and the ends of its prediction interval.

    Examples:
        >>> made = RandomEffects(0.07, 0.05, 0.09, 0.01, 0.13, 0.02, 6, 0.95)
        >>> [round(x, 2) for x in expected(0.85, made)]
        [0.78, 0.72, 0.84]
    """
    return score - premium.mean, score - premium.next_high, score - premium.next_low
