"""Fits one fold of any system: gathers what it takes and hands it to the fitter of its kind."""

import functools
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.experiments import fold as folds
from ser_core.experiments import runs
from ser_core.experiments.fitting import classical, late_fusion
from ser_core.experiments.specs import ClassicalSystem, LateFusion, NetworkSystem, System
from ser_core.systems import classifiers, features
from ser_core.systems.precision import settled


def fit_fold(system: System, seed: int, number: int, folder: Path | None = None) -> tuple[pd.DataFrame, dict]:
    """Fit one fold of any system and predict it.

    Args:
        system: The system.
        seed: One of its seeds.
        number: A fold of its division.
        folder: Where a network keeps its checkpoints; a temporary folder if None.

    Returns:
        The predictions, with the column ``part`` where a system predicts more than its test part, and the facts.

    Raises:
        SerError: If features, recordings, texts or a member's Run are not there, or the fold cannot be fitted.
    """
    fold = folds.make(system, seed, number)
    if isinstance(system, NetworkSystem):
        # Imported here, because it brings torch.
        from ser_core.experiments.fitting import network

        precision = settled(system.recipe.precision)
        here = replace(system, recipe=replace(system.recipe, precision=precision))
        table, facts = network.fit_fold(here, fold, network.material(here), folder=folder)
        return table, facts | {"precision": precision}
    if isinstance(system, LateFusion):
        return late_fusion.fit_fold(system, fold, {name: member(system, name, fold) for name in system.members})
    try:
        return classical.fit_fold(system, fold, *tables(system))
    except SerError:
        raise
    except ValueError as error:  # what a library cannot do with few clips, such as 31 nearest neighbours of 16
        raise SerError(f"{system.folder}, fold {number}: not fitted: {str(error).splitlines()[0]}") from error


def tables(system: ClassicalSystem) -> list[pd.DataFrame]:
    """Return a system's normalised features of every clip: one table, and a second if the test part has its own set.

    Args:
        system: The system.

    Raises:
        SerError: If features are missing.
    """
    return [_features(system.corpus, system.labels, name, system.normalisation) for name in system.feature_sets]


# A process fits several folds of a system, or several systems on the same features, one after another.
@functools.lru_cache(maxsize=2)
def _features(corpus: str, harmonisation: str, extractor: str, normalisation: str) -> pd.DataFrame:
    clips = folds.clips_of(corpus, harmonisation)
    table = features.load(corpus, extractor)
    if missing := clips.index.difference(table.index).tolist():
        raise SerError(
            f"{corpus}: {len(missing)} clips have no '{extractor}' features, the first is '{missing[0]}'; "
            f"make them with: ser features {corpus} {extractor}"
        )
    return classifiers.normalise(table.loc[clips.index], clips, normalisation)


def member(system: LateFusion, name: str, fold: folds.Fold) -> late_fusion.Scores:
    """Return what a member of a fusion says of the dev and the test part of a fold.

    Args:
        system: The fusion.
        name: The member: a Run, read, or a system on stored features, fitted.
        fold: The fold.

    Raises:
        SerError: If the Run is not there, features are missing, or the classifier gives no probabilities.
    """
    if (fitted := system.fitted(name, fold.seed)) is None:
        return _of_run(system, name, fold)
    return _fitted(fitted, fitted.seeds[0], fold.number)


# Fusions by several rules share their members, and fitting these takes most of the time.
@functools.lru_cache(maxsize=32)
def _fitted(system: ClassicalSystem, seed: int, number: int) -> late_fusion.Scores:
    """Return the dev probabilities of the system that has not seen the dev part, and the test probabilities."""
    fold, table = folds.make(system, seed, number), tables(system)[0]
    fitted = classical.fit(system, fold, table)
    if not hasattr(fitted.final, "predict_proba"):
        raise SerError(f"{system.folder}: '{system.model}' gives no probabilities; name a member that does")
    columns = [metrics.PROBABILITY + name for name in fold.classes]

    def scores(pipeline, which) -> pd.DataFrame:
        return pd.DataFrame(pipeline.predict_proba(classical.values(table, which)), index=list(which), columns=columns)

    return scores(fitted.chooser, fold.dev), scores(fitted.final, fold.test)


def _of_run(system: LateFusion, run: str, fold: folds.Fold) -> late_fusion.Scores:
    """Return dev and test probabilities of a Run, of one seed or the mean over its seeds."""
    found = runs.read(run)
    each = [runs.other(run, "dev") if "dev" in found.info["tables"] else None, found.predictions]
    return tuple(None if table is None else _probabilities(system, table, fold) for table in each)


def _probabilities(system: LateFusion, table: pd.DataFrame, fold: folds.Fold) -> pd.DataFrame:
    rows = table[(table["fold"] == fold.number) & (system.average | (table["seed"] == fold.seed))]
    columns = [name for name in rows if name.startswith(metrics.PROBABILITY)]
    means = rows.groupby("clip")[columns].mean()
    # A Run has a column of every class, also of one that this fold's training part lacks, to which it gives 0.
    known = {metrics.PROBABILITY + name for name in fold.classes}
    return means[[name for name in columns if name in known or means[name].any()]]
