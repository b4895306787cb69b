"""Cells: one system on one corpus under one protocol, with its clips, its folds and the table of its predictions."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser_core.data import corpora, labels, splits
from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.systems.settings import Recipe


@dataclass(frozen=True)
class Cell:
    """One system on one corpus under one protocol: everything that decides its predictions.

    Attributes:
        corpus: Corpus to train and test on.
        protocol: Split protocol.
        features: Feature set.
        model: Classifier.
        normalisation: See `ser_core.systems.classifiers.NORMALISATIONS`.
        labels: Label harmonisation.
        folds: Number of folds or ``loo``.
        seeds: Seeds, one full set of predictions each.
        splits: ``fixed`` or ``per-seed``.
        tune: Whether hyperparameters are chosen on the dev part.
        train_clips: Size that every training part is cut to, or None.
        test_features: Feature set of the test part, with the same columns, where it is another; or None.
    """

    corpus: str
    protocol: str
    features: str
    model: str
    normalisation: str
    labels: str
    folds: int | str
    seeds: tuple[int, ...]
    splits: str
    tune: bool
    train_clips: int | None
    test_features: str | None = None

    @property
    def system(self) -> str:
        """Name of the Run's folder."""
        parts = [self.corpus, self.protocol, self.features, self.model, self.normalisation]
        return ".".join(parts + (["tuned"] * self.tune) + ([f"on-{self.test_features}"] * bool(self.test_features)))


@dataclass(frozen=True)
class TrainingCell:
    """One network, trained on one corpus under one protocol: everything that decides its predictions.

    Attributes:
        corpus: Corpus to train and test on.
        protocol: Split protocol.
        name: Name of the network within its experiment.
        recipe: How it is trained.
        labels: Label harmonisation.
        folds: Number of folds or ``loo``.
        seeds: Seeds of the training, one full set of predictions each.
        split_seed: Seed of the division, the same for all of them.
        train_clips: Size that every training part is cut to, or None.
    """

    corpus: str
    protocol: str
    name: str
    recipe: Recipe
    labels: str
    folds: int | str
    seeds: tuple[int, ...]
    split_seed: int
    train_clips: int | None

    @property
    def system(self) -> str:
        """Name of the Run's folder."""
        split = f".split{self.split_seed}" if self.split_seed else ""
        return f"{self.corpus}.{self.protocol}.{self.name}{split}"

    @property
    def tune(self) -> bool:
        """Whether the dev part decides when to stop."""
        return self.recipe.patience is not None


@dataclass(frozen=True)
class FusionCell:
    """Systems of one corpus and protocol whose probabilities are put together.

    Attributes:
        corpus: The corpus.
        protocol: Split protocol of all members.
        name: Name of the fusion within its experiment.
        members: Names of Runs, ``<experiment>/<system>``, with a dev table if the rule learns; and systems on stored
            features, ``<features>/<model>/<normalisation>``.
        rule: A key of `ser_core.experiments.fitting.late_fusion.RULES`.
        average: Whether a Run's probabilities are first averaged over its seeds.
        labels: Label harmonisation.
        folds: Number of folds or ``loo``.
        seeds: Seeds, one full set of predictions each.
        splits: ``fixed`` or ``per-seed``, as all members have it.
    """

    corpus: str
    protocol: str
    name: str
    members: tuple[str, ...]
    rule: str
    average: bool
    labels: str
    folds: int | str
    seeds: tuple[int, ...]
    splits: str = "fixed"

    # The dev part weighs the members, and their Runs are of whole training parts.
    train_clips = None
    tune = True

    @property
    def system(self) -> str:
        """Name of the Run's folder."""
        return f"{self.corpus}.{self.protocol}.{self.name}"


AnyCell = Cell | TrainingCell | FusionCell


def cell(fields: dict) -> AnyCell:
    """Return the cell that a ``run.json`` holds.

    Args:
        fields: What `dataclasses.asdict` made of a cell.

    Raises:
        SerError: If it is not that.
    """
    try:
        made = fields | {"seeds": tuple(fields["seeds"])}
        if "recipe" in made:
            made = TrainingCell(**made | {"recipe": Recipe(**made["recipe"])})
        elif "members" in made:
            made = FusionCell(**made | {"members": tuple(made["members"])})
        else:
            made = Cell(**made)
        hash(made)  # of a list it has none, and a cell holds no lists
    except (KeyError, TypeError) as error:
        raise SerError(f"its 'cell' is not the settings of a system: {type(error).__name__}: {error}") from error
    return made


@functools.lru_cache(maxsize=8)
def clips_of(corpus: str, harmonisation: str) -> pd.DataFrame:
    """Return the committed Clips table of a corpus or union with the words of a harmonisation."""
    return labels.harmonise(corpora.table(corpus), harmonisation)


@functools.lru_cache(maxsize=64)
def make_folds(
    corpus: str, harmonisation: str, protocol: str, n_folds: int | str, seed: int, train_clips: int | None, tune: bool
) -> pd.DataFrame:
    """Return checked Folds; an untuned system trains on the dev part too, unless a published split has taken it.

    Args:
        corpus: One of `ser_core.data.corpora.NAMES`, or a union of them.
        harmonisation: One of `ser_core.data.labels.HARMONISATIONS`.
        protocol: One of `ser_core.data.splits.PROTOCOLS`.
        n_folds: See `ser_core.data.splits.make`.
        seed: Seed of the division.
        train_clips: See `ser_core.data.splits.make`.
        tune: Whether the system chooses hyperparameters on the dev part.
    """
    clips = clips_of(corpus, harmonisation)
    dev = tune or splits.PROTOCOLS[protocol].published is not None
    folds = splits.make(clips, protocol, n_folds=n_folds, seed=seed, train_clips=train_clips, dev=dev)
    splits.check(folds, clips)
    return folds


def division(cell: AnyCell, seed: int) -> pd.DataFrame:
    """Return the Folds of one seed of a cell.

    Args:
        cell: The system.
        seed: One of its seeds.
    """
    if isinstance(cell, TrainingCell):
        split_seed = cell.split_seed
    else:
        split_seed = seed if cell.splits == "per-seed" else 0
    return make_folds(cell.corpus, cell.labels, cell.protocol, cell.folds, split_seed, cell.train_clips, cell.tune)


def parts(cell: AnyCell, seed: int, fold: int) -> dict[str, list[str]]:
    """Return the clips of each part of a fold of a cell.

    Args:
        cell: The system.
        seed: One of its seeds.
        fold: A fold of its Folds.

    Returns:
        Clips by ``train``, ``dev`` (if there is one) and ``test``.
    """
    folds = division(cell, seed)
    rows = folds[folds["fold"] == fold]
    return {role: table["clip"].tolist() for role, table in rows.groupby("role", observed=True)}


def classes(cell: AnyCell, part: dict[str, list[str]]) -> list[str]:
    """Return the classes of a fold's training part, sorted.

    Args:
        cell: The system.
        part: From `parts`.

    Raises:
        SerError: If the test part holds a class that the training part does not.
    """
    words = clips_of(cell.corpus, cell.labels)["emotion"]
    names = sorted(words[part["train"]].unique())
    if absent := sorted(set(words[part["test"]]) - set(names)):
        raise SerError(f"{cell.system}: a fold tests the classes {absent}, which its training part does not have")
    return names


def feature_sets(cell: AnyCell) -> list[str]:
    """Return the stored feature sets that a system reads, of a fusion those of its members that are no Runs.

    Args:
        cell: The system.
    """
    if isinstance(cell, Cell):
        return list(filter(None, (cell.features, cell.test_features)))
    return [member.split("/")[0] for member in getattr(cell, "members", ()) if member.count("/") == 2]


def predictions(
    cell: AnyCell,
    seed: int,
    fold: int,
    which: Sequence[str],
    answers: Sequence[str],
    probabilities: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the table of what a system says of some clips.

    Args:
        cell: The system.
        seed: One of its seeds.
        fold: A fold of its Folds.
        which: The clips.
        answers: The class it names for each.
        probabilities: Shape (n_clips, n_classes), in [0, 1]; None if the system gives none.
        names: The classes in their order.

    Returns:
        The columns `ser_core.evaluation.predictions.COLUMNS`, then ``p_<class>`` of each class in float32.
    """
    who = clips_of(cell.corpus, cell.labels).loc[which]
    table = {
        "clip": list(which),
        "speaker": who["speaker"].to_numpy(),
        "fold": fold,
        "seed": seed,
        "truth": who["emotion"].to_numpy(),
        "prediction": list(answers),
    }
    if probabilities is not None:
        table |= {metrics.PROBABILITY + name: probabilities[:, i].astype("float32") for i, name in enumerate(names)}
    return pd.DataFrame(table)
