"""A classifier on one layer of a feature set that holds all layers of an encoder side by side."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from ser_core.errors import SerError
from ser_core.systems.features import whisper


def n_layers(n_columns: int) -> int:
    """Return how many layers stand side by side in a table of features.

    All layers of an encoder are equally wide, and no two encoders or poolings have equally many columns in all. So the
    number of columns tells the encoder, and with it the number of layers.

    Args:
        n_columns: Columns of the whole table.

    Raises:
        SerError: If no encoder has as many.

    Examples:
        >>> n_layers(7 * 512), n_layers(5 * 384)
        (7, 5)
    """
    # With mean and deviation a layer is twice as wide.
    known = {n * dim * kinds: n for n, dim in whisper.SHAPES.values() for kinds in (1, 2)}
    if n_columns not in known:
        raise SerError(
            f"{n_columns} columns are not all layers of an encoder, which are one of {sorted(known)}; name a feature "
            "set of all layers, such as 'whisper-base', or another classifier"
        )
    return known[n_columns]


class OneLayer(BaseEstimator):
    """Logistic regression on the columns of one layer; the scaling of columns is the step before it.

    Args:
        layer: Counted from 0, or from -1 backwards. A number beyond the encoder's layers means the nearest layer, so
            that one grid serves encoders of several sizes.
        C: Inverse strength of the penalty.

    Examples:
        >>> x, y = np.random.default_rng(0).normal(size=(20, 5 * 384)), np.arange(20) % 2
        >>> OneLayer(layer=-2).fit(x, y).columns_
        slice(1152, 1536, None)
    """

    def __init__(self, layer: int = -1, C: float = 0.01):
        """Take the settings."""
        self.layer = layer
        self.C = C

    def fit(self, X: np.ndarray, y: np.ndarray) -> "OneLayer":
        """Fit the layer's columns.

        Args:
            X: Shape (n_clips, n_columns), all layers side by side.
            y: Shape (n_clips,).

        Returns:
            Itself.

        Raises:
            SerError: As `n_layers`.
        """
        # The argument is X in capitals: scikit-learn takes any other name for metadata.
        n = n_layers(X.shape[1])
        layer = min(max(self.layer + n * (self.layer < 0), 0), n - 1)
        width = X.shape[1] // n
        self.columns_ = slice(layer * width, (layer + 1) * width)
        # As the classifier 'logreg'.
        self.classifier_ = LogisticRegression(C=self.C, class_weight="balanced", max_iter=1000)
        self.classifier_.fit(X[:, self.columns_], y)
        self.classes_ = self.classifier_.classes_
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the class of each clip, shape (n_clips,)."""
        return self.classifier_.predict(X[:, self.columns_])

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of each class, shape (n_clips, n_classes)."""
        return self.classifier_.predict_proba(X[:, self.columns_])
