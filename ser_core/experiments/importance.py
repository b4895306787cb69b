"""What a system on eGeMAPS listens to: what is lost when a group of features is shuffled within each test speaker."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ser_core.evaluation import comparisons
from ser_core.evaluation.comparisons import Difference
from ser_core.experiments import fold as folds
from ser_core.experiments.fitting import classical, tables
from ser_core.experiments.specs import ClassicalSystem

GROUPS = {
    "pitch": ("F0semitone",),
    "loudness": ("loudness_", "equivalentSoundLevel"),
    "timing": (
        "loudnessPeaksPerSec",
        "VoicedSegmentsPerSec",
        "MeanVoiced",
        "StddevVoiced",
        "MeanUnvoiced",
        "StddevUnv",
    ),
    "voice quality": ("jitter", "shimmer", "HNR", "logRelF0"),
    "formants": ("F1", "F2", "F3"),
    "spectral balance": ("spectralFlux", "alphaRatio", "hammarberg", "slope"),
    "MFCC 1 to 4": ("mfcc",),
}
"""Name -> how the names of its features in eGeMAPS begin."""


def groups(columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of each of `GROUPS` that are there.

    Examples:
        >>> groups(["F0semitoneFrom27.5Hz_sma3nz_amean", "mfcc1_sma3_amean"])
        {'pitch': ['F0semitoneFrom27.5Hz_sma3nz_amean'], 'MFCC 1 to 4': ['mfcc1_sma3_amean']}
    """
    found = {name: [column for column in columns if column.startswith(begins)] for name, begins in GROUPS.items()}
    return {name: listed for name, listed in found.items() if listed}


def importance(
    system: ClassicalSystem, of: Mapping[str, Sequence[str]], *, repeats: int = 5, n_resamples: int = 2_000
) -> dict[str, Difference]:
    """Return what each group of features is worth to a system, by permutation.

    The system is fitted once a fold. Of each test speaker the clips exchange their values of a group, all features of
    it together, so that neither the voice nor what belongs together is torn apart. A group whose information other
    groups have, too, can be worth nothing.

    Source:
        Breiman, "Random forests", Machine Learning 45, 2001; by groups, as Gregorutti, Michel and Saint-Pierre, 2015.

    Args:
        system: A system on stored features.
        of: Group -> its columns.
        repeats: How often the values are exchanged.
        n_resamples: Number of bootstrap resamples.

    Returns:
        Group -> UAR with the features as they are minus UAR with them exchanged, paired over speakers.
    """
    seed, (table, *_) = system.seeds[0], tables(system)
    intact: list[pd.DataFrame] = []
    shuffled: dict[str, list[pd.DataFrame]] = {name: [] for name in of}
    for _, number in [step for step in folds.steps(system) if step[0] == seed]:
        fold = folds.make(system, seed, number)
        final = classical.fit(system, fold, table).final
        x, who = classical.values(table, fold.test), fold.clips.loc[list(fold.test), "speaker"].to_numpy()
        answers = fold.predictions(fold.test, final.predict(x))
        for repeat in range(repeats):
            intact.append(answers.assign(seed=repeat))
            order = _within(who, np.random.default_rng([repeat, number]))
            for name, columns in of.items():
                at, other = table.columns.get_indexer(list(columns)), x.copy()
                other[:, at] = x[order][:, at]
                shuffled[name].append(fold.predictions(fold.test, final.predict(other)).assign(seed=repeat))
    whole = pd.concat(intact, ignore_index=True)
    return {
        name: comparisons.difference(whole, pd.concat(parts, ignore_index=True), n_resamples=n_resamples)
        for name, parts in shuffled.items()
    }


def _within(who: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random order of rows in which each speaker's rows take each other's places."""
    order = np.arange(len(who))
    for one in np.unique(who.astype(str)):
        places = np.flatnonzero(who.astype(str) == one)
        order[places] = rng.permutation(places)
    return order
