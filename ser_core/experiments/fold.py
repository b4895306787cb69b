"""A fold as a value: who is trained on, who chooses and who is tested, with their labels; and how it is made."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser_core.data import corpora, labels, splits
from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.experiments.specs import System


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold of a division of a corpus's clips.

    Attributes:
        clips: Clips table of the corpus; ``emotion`` holds the words that are learnt.
        number: Number of the fold.
        seed: Seed of the system that is fitted.
        train: Clips that are trained on.
        dev: Clips that choose hyperparameters, weights or when to stop; empty if nothing is chosen.
        test: Clips that are predicted.

    Raises:
        SerError: If the test part holds a class that the training part does not.
    """

    clips: pd.DataFrame
    number: int
    seed: int
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self):
        """Refuse a class that cannot be learnt."""
        if absent := sorted(set(self.clips["emotion"][list(self.test)]) - set(self.classes)):
            raise SerError(f"fold {self.number} tests the classes {absent}, which its training part does not have")

    @property
    def classes(self) -> list[str]:
        """The classes of the training part, sorted."""
        return sorted(self.clips["emotion"][list(self.train)].unique())

    def targets(self, which: Sequence[str]) -> np.ndarray:
        """Return the number of each clip's class in `classes`, int64 of shape (n_clips,)."""
        number = {name: i for i, name in enumerate(self.classes)}
        return self.clips["emotion"][list(which)].map(number).to_numpy("int64")

    @property
    def sizes(self) -> dict[str, int]:
        """Number of clips of each part, as a Run records them."""
        return {"n_train": len(self.train), "n_dev": len(self.dev), "n_test": len(self.test)}

    def predictions(
        self, which: Sequence[str], answers: Sequence[int], probabilities: np.ndarray | None = None
    ) -> pd.DataFrame:
        """Return the table of what a system says of some clips.

        Args:
            which: The clips.
            answers: The number of the class it names for each.
            probabilities: Shape (n_clips, n_classes), in [0, 1]; None if the system gives none.

        Returns:
            The columns `ser_core.evaluation.predictions.COLUMNS`, then ``p_<class>`` of each class in float32.
        """
        names, who = self.classes, self.clips.loc[list(which)]
        table = {
            "clip": list(which),
            "speaker": who["speaker"].to_numpy(),
            "fold": self.number,
            "seed": self.seed,
            "truth": who["emotion"].to_numpy(),
            "prediction": [names[i] for i in answers],
        }
        if probabilities is not None:
            table |= {metrics.PROBABILITY + name: probabilities[:, i].astype("float32") for i, name in enumerate(names)}
        return pd.DataFrame(table)


# The folds of a system are fitted one after another by the same process, which reads the corpus once for all of them.
@functools.lru_cache(maxsize=8)
def clips_of(corpus: str, harmonisation: str) -> pd.DataFrame:
    """Return the Clips table of a corpus or union with the words of a harmonisation.

    Args:
        corpus: Name of a corpus, or of a union of several.
        harmonisation: One of `ser_core.data.labels.HARMONISATIONS`.
    """
    return labels.harmonise(corpora.table(corpus), harmonisation)


# Experiments share most of their divisions; one takes less than a megabyte.
@functools.lru_cache(maxsize=512)
def divide(
    corpus: str, harmonisation: str, protocol: str, n_folds: int | str, seed: int, train_clips: int | None, tune: bool
) -> pd.DataFrame:
    """Return Folds; an untuned system trains on the dev part too, unless a published split has taken it.

    Args:
        corpus: Name of a corpus, or of a union of several.
        harmonisation: One of `ser_core.data.labels.HARMONISATIONS`.
        protocol: One of `ser_core.data.splits.PROTOCOLS`.
        n_folds: See `ser_core.data.splits.make`; or ``"2 of 6"`` for the first two of six folds, where a whole
            division costs too much to explore with.
        seed: Seed of the division.
        train_clips: See `ser_core.data.splits.make`.
        tune: Whether the system chooses on the dev part.

    Raises:
        SerError: If there are not as many folds.
    """
    clips = clips_of(corpus, harmonisation)
    some = re.fullmatch(r"([1-9]\d*) of ([1-9]\d*)", n_folds) if isinstance(n_folds, str) else None
    if some:
        n_folds = int(some[2])
    dev = tune or splits.PROTOCOLS[protocol].published is not None
    folds = splits.make(clips, protocol, n_folds=n_folds, seed=seed, train_clips=train_clips, dev=dev)
    if some:
        if int(some[1]) >= folds.attrs["n_folds"]:
            raise SerError(f"folds: '{some[0]}' leaves none out of {folds.attrs['n_folds']}; give a number of folds")
        folds = folds[folds["fold"] < int(some[1])].reset_index(drop=True)
    return folds


def division(system: System, seed: int) -> pd.DataFrame:
    """Return the Folds that a system has with one of its seeds."""
    where = (system.corpus, system.labels, system.protocol, system.folds)
    return divide(*where, system.division_seed(seed), system.train_clips, system.tune)


def make(system: System, seed: int, number: int) -> Fold:
    """Return a fold of a system.

    Args:
        system: The system.
        seed: One of its seeds.
        number: A fold of its division.

    Raises:
        SerError: If the test part holds a class that the training part does not.
    """
    folds = division(system, seed)
    rows = folds[folds["fold"] == number]
    parts = {role: tuple(rows["clip"][rows["role"] == role]) for role in splits.ROLES}
    try:
        return Fold(clips_of(system.corpus, system.labels), number, seed, **parts)
    except SerError as error:
        raise SerError(f"{system.folder}: {error}") from error


def steps(system: System) -> list[tuple[int, int]]:
    """Return every (seed, fold) of a system."""
    return [(seed, fold) for seed in system.seeds for fold in sorted(division(system, seed)["fold"].unique().tolist())]
