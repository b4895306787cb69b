"""Classifiers on stored features: how one fold is fitted and predicted."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ser_core.evaluation import metrics
from ser_core.experiments.fold import Fold
from ser_core.experiments.specs import ClassicalSystem
from ser_core.systems import classifiers


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


def values(table: pd.DataFrame, which: Sequence[str]) -> np.ndarray:
    """Return what a classifier is given of some clips.

    Args:
        table: Features, indexed by clip; of words the one column ``text``.
        which: The clips.

    Returns:
        float32 of shape (n_clips, n_features), or texts of shape (n_clips,).
    """
    table = table.loc[list(which)]
    return table["text"].to_numpy("object") if list(table) == ["text"] else table.to_numpy("float32")


def fit(system: ClassicalSystem, fold: Fold, table: pd.DataFrame, tested: pd.DataFrame | None = None) -> Fitted:
    """Train on one fold's train part, and on its dev part once that has chosen.

    Labels are read of these parts alone. Features of the test part are read where the normalisation is transductive.

    Args:
        system: The system.
        fold: The fold.
        table: Features of every clip, indexed by clip and normalised, see `ser_core.systems.classifiers.normalise`.
        tested: Those of the test clips, with the same columns, where they are others.

    Returns:
        What was fitted, and what the dev part chose.
    """
    tested = table if tested is None else tested
    coral = Coral(values(tested, fold.test)) if system.normalisation == "coral" else None

    def fitted(which: Sequence[str], **setting) -> Pipeline:
        pipeline = classifiers.pipeline(system.model, system.normalisation, seed=fold.seed, **setting)
        if coral:
            pipeline.steps.insert(0, ("coral", copy.copy(coral)))
        return pipeline.fit(values(table, which), fold.targets(which))

    def final(which: Sequence[str], **setting) -> Pipeline:
        return fitted(which, **setting)[1:] if coral else fitted(which, **setting)

    if not system.tune:
        return Fitted(final(fold.train))
    truth, dev = fold.targets(fold.dev), values(table, fold.dev)
    choosers, scores = [], []
    for setting in classifiers.settings(system.model):
        choosers.append(fitted(fold.train, **setting))
        matrix = metrics.confusion(truth, choosers[-1].predict(dev), range(len(fold.classes)))
        scores.append(float(metrics.uar(matrix)))
    best = int(np.argmax(scores))
    chosen = classifiers.settings(system.model)[best]
    return Fitted(final((*fold.train, *fold.dev), **chosen), choosers[best], chosen, scores[best])


def fit_fold(
    system: ClassicalSystem, fold: Fold, table: pd.DataFrame, tested: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, dict]:
    """Fit one fold and predict its test part.

    Args:
        system: The system.
        fold: The fold.
        table: See `fit`.
        tested: See `fit`.

    Returns:
        The predictions of the test clips, and the facts: clips of each part, chosen hyperparameters, dev UAR.
    """
    fitted = fit(system, fold, table, tested)
    x = values(table if tested is None else tested, fold.test)
    answers = fitted.final.predict(x)
    probabilities = fitted.final.predict_proba(x) if hasattr(fitted.final, "predict_proba") else None
    facts = fold.sizes | {"chosen": fitted.chosen, "dev_uar": fitted.dev_uar}
    return fold.predictions(fold.test, answers, probabilities), facts
