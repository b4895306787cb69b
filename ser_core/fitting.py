"""How one fold of a cell is fitted and predicted; with `classical`, all code that decides predictions."""

import functools

import numpy as np
import pandas as pd

from ser_core import classical, features, metrics, runs
from ser_core.errors import SerError
from ser_core.experiments import Cell, clips_of, make_folds


def folds_of(cell: Cell, seed: int) -> pd.DataFrame:
    """Return the Folds of one seed of a cell."""
    split_seed = seed if cell.splits == "per-seed" else 0
    return make_folds(cell.corpus, cell.labels, cell.protocol, cell.folds, split_seed, cell.train_clips, cell.tune)


@functools.lru_cache(maxsize=2)
def _features(corpus: str, harmonisation: str, extractor: str, normalisation: str) -> pd.DataFrame:
    clips = clips_of(corpus, harmonisation)
    table = features.load(corpus, extractor)
    if missing := clips.index.difference(table.index).tolist():
        raise SerError(
            f"{corpus}: {len(missing)} clips have no '{extractor}' features, the first is '{missing[0]}'; "
            f"make them with: ser features {corpus} {extractor}"
        )
    return classical.normalise(table.loc[clips.index], clips["speaker"], normalisation)


def fit_fold(cell: Cell, seed: int, fold: int) -> tuple[pd.DataFrame, dict]:
    """Train on one fold's train part (and dev part, once it has chosen) and predict its test part.

    Args:
        cell: The system.
        seed: One of its seeds.
        fold: A fold of its Folds.

    Returns:
        The predictions of the test clips, and the facts: clips of each part, chosen hyperparameters, dev UAR.

    Raises:
        SerError: If the test part holds a class that the train part does not.
    """
    clips = clips_of(cell.corpus, cell.labels)
    table = _features(cell.corpus, cell.labels, cell.features, cell.normalisation)
    folds = folds_of(cell, seed)
    part = {role: rows["clip"] for role, rows in folds[folds["fold"] == fold].groupby("role", observed=True)}
    train, test = part["train"], part["test"]
    names = sorted(clips.loc[train, "emotion"].unique())
    if absent := sorted(set(clips.loc[test, "emotion"]) - set(names)):
        raise SerError(f"{cell.system}: fold {fold} tests the classes {absent}, which its training part does not have")
    code = {name: i for i, name in enumerate(names)}

    def data(which: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        return table.loc[which].to_numpy("float32"), clips.loc[which, "emotion"].map(code).to_numpy("int64")

    chosen, dev_uar = {}, None
    fit_on = train
    if cell.tune:
        dev = part["dev"]
        (x_train, y_train), (x_dev, y_dev) = data(train), data(dev)
        scores = []
        for setting in classical.settings(cell.model):
            system = classical.pipeline(cell.model, cell.normalisation, seed=seed, **setting).fit(x_train, y_train)
            matrix = metrics.confusion(y_dev, system.predict(x_dev), range(len(names)))
            scores.append(float(metrics.uar(matrix)))
        best = int(np.argmax(scores))
        chosen, dev_uar = classical.settings(cell.model)[best], scores[best]
        fit_on = pd.concat([train, dev])
    x, y = data(fit_on)
    x_test, y_test = data(test)
    system = classical.pipeline(cell.model, cell.normalisation, seed=seed, **chosen).fit(x, y)
    predictions = pd.DataFrame(
        {
            "clip": test.to_numpy(),
            "speaker": clips.loc[test, "speaker"].to_numpy(),
            "fold": fold,
            "seed": seed,
            "truth": [names[i] for i in y_test],
            "prediction": [names[i] for i in system.predict(x_test)],
        }
    )
    if hasattr(system, "predict_proba"):
        probabilities = system.predict_proba(x_test).astype("float32")
        for i, name in enumerate(names):
            predictions[runs.PROBABILITY + name] = probabilities[:, i]
    facts = {
        "n_train": len(train),
        "n_dev": len(part.get("dev", ())),
        "n_test": len(test),
        "chosen": chosen,
        "dev_uar": dev_uar,
    }
    return predictions, facts
