"""How one fold of a cell is fitted and predicted; with `classical`, all code that decides predictions."""

import functools
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ser_core import classical, features, metrics
from ser_core.cells import Cell, classes, clips_of, parts, predictions
from ser_core.errors import SerError


@dataclass(frozen=True)
class Fitted:
    """A system on stored features, as one fold has fitted it.

    Attributes:
        final: What predicts the test part; it has seen the train part, and the dev part once that has chosen.
        chooser: Of a tuned system that one of the train part alone which did best on the dev part.
        chosen: The hyperparameters that did.
        dev_uar: Their UAR on the dev part, in [0, 1].
    """

    final: Pipeline
    chooser: Pipeline | None = None
    chosen: dict = field(default_factory=dict)
    dev_uar: float | None = None


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


def inputs(cell: Cell, which: list[str]) -> np.ndarray:
    """Return what a system is given of some clips: float32 of shape (n_clips, n_features), or texts, (n_clips,).

    Args:
        cell: The system.
        which: Clips of its corpus.
    """
    table = _features(cell.corpus, cell.labels, cell.features, cell.normalisation).loc[which]
    return table["text"].to_numpy("object") if cell.features in features.WORDS else table.to_numpy("float32")


def fit(cell: Cell, seed: int, fold: int) -> Fitted:
    """Train on one fold's train part, and on its dev part once that has chosen.

    Args:
        cell: The system.
        seed: One of its seeds.
        fold: A fold of its Folds.

    Returns:
        What was fitted, and what the dev part chose.

    Raises:
        SerError: If the test part holds a class that the train part does not.
    """
    part = parts(cell, seed, fold)
    words, names = clips_of(cell.corpus, cell.labels)["emotion"], classes(cell, part)
    code = {name: i for i, name in enumerate(names)}

    def fitted(which: list[str], **setting) -> Pipeline:
        system = classical.pipeline(cell.model, cell.normalisation, seed=seed, **setting)
        return system.fit(inputs(cell, which), words[which].map(code).to_numpy("int64"))

    if not cell.tune:
        return Fitted(fitted(part["train"]))
    truth = words[part["dev"]].map(code).to_numpy("int64")
    systems, scores = [], []
    for setting in classical.settings(cell.model):
        systems.append(fitted(part["train"], **setting))
        matrix = metrics.confusion(truth, systems[-1].predict(inputs(cell, part["dev"])), range(len(names)))
        scores.append(float(metrics.uar(matrix)))
    best = int(np.argmax(scores))
    chosen = classical.settings(cell.model)[best]
    return Fitted(fitted(part["train"] + part["dev"], **chosen), systems[best], chosen, scores[best])


def fit_fold(cell: Cell, seed: int, fold: int) -> tuple[pd.DataFrame, dict]:
    """Fit one fold and predict its test part.

    Args:
        cell: The system.
        seed: One of its seeds.
        fold: A fold of its Folds.

    Returns:
        The predictions of the test clips, and the facts: clips of each part, chosen hyperparameters, dev UAR.

    Raises:
        SerError: If the test part holds a class that the train part does not.
    """
    part, system = parts(cell, seed, fold), fit(cell, seed, fold)
    names = classes(cell, part)
    x = inputs(replace(cell, features=cell.test_features or cell.features), part["test"])
    answers = [names[i] for i in system.final.predict(x)]
    probabilities = system.final.predict_proba(x) if hasattr(system.final, "predict_proba") else None
    facts = {
        "n_train": len(part["train"]),
        "n_dev": len(part.get("dev", ())),
        "n_test": len(part["test"]),
        "chosen": system.chosen,
        "dev_uar": system.dev_uar,
    }
    return predictions(cell, seed, fold, part["test"], answers, probabilities, names), facts
