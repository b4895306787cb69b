"""How one fold of a cell is fitted and predicted; with `classical`, all code that decides predictions."""

import copy
import functools
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.experiments.cells import Cell, classes, clips_of, parts, predictions
from ser_core.systems import classifiers, features


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


class Coral:
    """The step of a pipeline that gives features of training clips the covariance of the test clips.

    CORAL: with C the covariance plus the identity, rows, z-scored per corpus before, are multiplied by C(train)^-1/2,
    then by C(test)^1/2. The training covariance is that of the clips the step is fitted with. Dev clips are transformed
    as training clips are; test clips are not, and pass the step by. Of n clips with p features it decomposes the
    smaller of the n x n and the p x p matrix, so that features may outnumber clips: 6,373 features of 3,000 clips take
    about 10 s a decomposition and 1 GiB, 512 take a tenth of a second.

    Source:
        Sun, Feng and Saenko, "Return of frustratingly easy domain adaptation", AAAI 2016, algorithm 1.

    Args:
        test: Features of the test clips, shape (n_test, n_features); no label is asked for.

    Examples:
        >>> train, test = np.array([[-3.0], [0.0], [3.0]]), np.array([[4.0], [6.0], [8.0]])
        >>> Coral(test).fit(train).transform(train).ravel().round(3).tolist()  # sqrt((4 + 1) / (9 + 1)) times
        [-2.121, 0.0, 2.121]
    """

    def __init__(self, test: np.ndarray):
        """Take the covariance of the test clips."""
        self.recolours = _components(test)

    def fit(self, x: np.ndarray, y: np.ndarray | None = None) -> "Coral":
        """Take the covariance of training clips.

        Args:
            x: Shape (n_clips, n_features).
            y: Not used.

        Returns:
            Itself.
        """
        self.whitens = _components(x)
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Return features of training or dev clips as the classifier is to learn from them, of the same shape."""
        for (variances, directions), power in ((self.whitens, -0.5), (self.recolours, 0.5)):
            # The identity is left as it is, also in directions in which nothing varies.
            x = x + (x @ directions) * ((variances + 1) ** power - 1) @ directions.T
        return x


def _components(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the variances of features along their principal components, and these, shape (n_features, k)."""
    from scipy import linalg

    x = x - x.mean(axis=0, dtype="float64")
    n, p = x.shape
    values, vectors = linalg.eigh(x.T @ x if p <= n else x @ x.T)
    kept = values > values[-1] * 1e-12
    values, vectors = values[kept], vectors[:, kept]
    return values / max(n - 1, 1), vectors if p <= n else x.T @ vectors / np.sqrt(values)


@functools.lru_cache(maxsize=2)
def _features(corpus: str, harmonisation: str, extractor: str, normalisation: str) -> pd.DataFrame:
    clips = clips_of(corpus, harmonisation)
    table = features.load(corpus, extractor)
    if missing := clips.index.difference(table.index).tolist():
        raise SerError(
            f"{corpus}: {len(missing)} clips have no '{extractor}' features, the first is '{missing[0]}'; "
            f"make them with: ser features {corpus} {extractor}"
        )
    return classifiers.normalise(table.loc[clips.index], clips, normalisation)


def inputs(cell: Cell, which: list[str]) -> np.ndarray:
    """Return what a system is given of some clips: float32 of shape (n_clips, n_features), or texts, (n_clips,).

    Args:
        cell: The system.
        which: Clips of its corpus.
    """
    table = _features(cell.corpus, cell.labels, cell.features, cell.normalisation).loc[which]
    return table["text"].to_numpy("object") if cell.features in features.WORDS else table.to_numpy("float32")


def _test_inputs(cell: Cell, part: dict[str, list[str]]) -> np.ndarray:
    """Return what a system is given of the test part."""
    return inputs(replace(cell, features=cell.test_features or cell.features), part["test"])


def fit(cell: Cell, seed: int, fold: int) -> Fitted:
    """Train on one fold's train part, and on its dev part once that has chosen.

    Labels are read of these parts alone. Features of the test part are read where the normalisation is transductive.

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
    coral = Coral(_test_inputs(cell, part)) if cell.normalisation == "coral" else None

    def fitted(which: list[str], **setting) -> Pipeline:
        system = classifiers.pipeline(cell.model, cell.normalisation, seed=seed, **setting)
        if coral:
            system.steps.insert(0, ("coral", copy.copy(coral)))
        return system.fit(inputs(cell, which), words[which].map(code).to_numpy("int64"))

    def final(which: list[str], **setting) -> Pipeline:
        return fitted(which, **setting)[1:] if coral else fitted(which, **setting)

    if not cell.tune:
        return Fitted(final(part["train"]))
    truth = words[part["dev"]].map(code).to_numpy("int64")
    systems, scores = [], []
    for setting in classifiers.settings(cell.model):
        systems.append(fitted(part["train"], **setting))
        matrix = metrics.confusion(truth, systems[-1].predict(inputs(cell, part["dev"])), range(len(names)))
        scores.append(float(metrics.uar(matrix)))
    best = int(np.argmax(scores))
    chosen = classifiers.settings(cell.model)[best]
    return Fitted(final(part["train"] + part["dev"], **chosen), systems[best], chosen, scores[best])


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
    x = _test_inputs(cell, part)
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
