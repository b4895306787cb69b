"""The speakers of a Run: how many a fold has, how often each is a dev speaker, how well a probe tells them apart."""

import numpy as np
import pandas as pd

from ser_core.data import corpora
from ser_core.experiments import runs, scoring


def per_fold(run: str) -> dict[str, float]:
    """Return how many dev and test speakers a fold has on average.

    Args:
        run: Name of the Run, which has its predictions for the dev parts.

    Returns:
        ``dev`` and ``test``.
    """
    tables = {"dev": runs.other(run, "dev"), "test": scoring.predictions_of(run)}
    first = {part: table[table["seed"] == table["seed"].min()] for part, table in tables.items()}
    return {part: float(table.groupby("fold")["speaker"].nunique().mean()) for part, table in first.items()}


def times_in_dev(run: str) -> pd.Series:
    """Return in how many folds each test speaker is a dev speaker, too: dev parts are drawn anew for every fold.

    Args:
        run: Name of the Run, which has its predictions for the dev parts.

    Returns:
        A number of folds by speaker.
    """
    dev = runs.other(run, "dev")
    times = dev[dev["seed"] == dev["seed"].min()].groupby("speaker")["fold"].nunique()
    return times.reindex(sorted(scoring.predictions_of(run)["speaker"].unique()), fill_value=0)


def told_apart(run: str, when: str) -> pd.DataFrame:
    """Return whether a linear probe on a network's embeddings names the speaker of each test clip.

    Args:
        run: Name of the Run of the network.
        when: ``before`` or ``after`` it was trained.

    Returns:
        Predictions of two classes, ``right`` and ``wrong``, of which every clip is the first, so that speakers can be
        resampled and ``wa`` is how often the probe is right.
    """
    table = runs.other(run, f"speakers-{when}")
    said = np.where(table["truth"] == table["prediction"], "right", "wrong")
    return table.assign(truth="right", prediction=said)


def guessing(run: str, *known: str) -> float:
    """Return how often the speaker of a test clip would be guessed among those of the fold who are alike.

    Args:
        run: Name of the Run.
        known: Columns of the Clips table that are known, such as ``gender``.

    Returns:
        The mean over speakers of one by the number of those in their fold who have the same values.
    """
    folds = scoring.predictions_of(run).groupby("clip")["fold"].first()
    people = corpora.table(runs.info(run)["cell"]["corpus"]).assign(fold=folds).drop_duplicates("speaker")
    return float((1 / people.groupby(["fold", *known])["speaker"].transform("size")).mean())
