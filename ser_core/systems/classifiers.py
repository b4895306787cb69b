"""Classical systems by name: scikit-learn pipelines, the grids they are tuned on, and feature normalisation."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ser_core.errors import SerError

NORMALISATIONS = {
    "none": "features as extracted",
    "train": "z-score with the training clips' mean and deviation",
    "speaker": "z-score of each speaker with all of that speaker's clips, unlabelled test clips too (transductive)",
    "corpus": "z-score of each corpus with all of its clips, unlabelled test clips too (transductive)",
    "coral": "z-score of each corpus, then the training clips' covariance made that of the test clips (transductive)",
    "tfidf": "of words: tf-idf of one and two of them, with the training clips' vocabulary and document frequencies",
}
# Grouped normalisations: the Clips column that defines the group.
_GROUPED_BY = {"speaker": "speaker", "corpus": "corpus", "coral": "corpus"}
# The classifiers that take sparse tables as large as a vocabulary, and whose grids were looked at with them.
OF_WORDS = ("logreg", "svm-linear")
# The length of each clip's tf-idf vector. The grids of C are for standardised features, whose vectors have about the
# root of their number; at length 1 all values of the grid of 'logreg' would be too small.
_TFIDF_LENGTH = 1000**0.5


@dataclass(frozen=True)
class Model:
    """A classifier that can be made from a seed.

    Attributes:
        make: Function from seed to an unfitted scikit-learn classifier.
        grid: Hyperparameter name to the values tried, the most regularised first; empty if there is nothing to tune.
        deterministic: True if the seed does not change the fitted model.
        note: One line for tables.
    """

    make: Callable[[int], object]
    grid: Mapping[str, tuple] = field(default_factory=dict)
    deterministic: bool = True
    note: str = ""


def _mean_product_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner product per feature, so that one C means the same for 88 and for 6,373 features."""
    return a @ b.T / a.shape[1]


def _linear_svm(seed: int):
    from sklearn.svm import SVC

    # On features as extracted the solver would not end in hours; a capped fit is marked in the Run as not converged.
    return SVC(kernel=_mean_product_kernel, C=1.0, class_weight="balanced", max_iter=100_000)


def _rbf_svm(seed: int):
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.svm import SVC

    # A callable kernel is evaluated by BLAS at once, with gamma = 1 / n_features.
    return SVC(kernel=rbf_kernel, C=10.0, class_weight="balanced")


def _logistic_regression(seed: int):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)


def _one_layer(seed: int):
    from ser_core.systems.layers import OneLayer

    return OneLayer()


def _nearest_neighbours(seed: int):
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=5)


def _forest(seed: int):
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=100, class_weight="balanced", random_state=seed)


def _boosting(seed: int):
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=100,
        learning_rate=0.1,
        num_leaves=15,
        colsample_bytree=0.1,
        class_weight="balanced",
        random_state=seed,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        verbose=-1,
    )


def _perceptron(seed: int):
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((100,), alpha=1.0, max_iter=100, random_state=seed)


def _naive_bayes(seed: int):
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB()


def _tree(seed: int):
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(class_weight="balanced", random_state=seed)


def _audeering(seed: int):
    from sklearn.svm import SVC

    return SVC(gamma="auto")


def _nus(name: str) -> Callable[[int], object]:
    """Return the named classifier with its library's defaults: the paper states no others."""

    def make(seed: int):
        if name == "xgb":
            from xgboost import XGBClassifier

            return XGBClassifier(random_state=seed, n_jobs=1)
        if name == "lgb":
            from lightgbm import LGBMClassifier

            return LGBMClassifier(random_state=seed, deterministic=True, force_row_wise=True, n_jobs=1, verbose=-1)
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.naive_bayes import GaussianNB
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.neural_network import MLPClassifier
        from sklearn.tree import DecisionTreeClassifier

        return {
            "knn": lambda: KNeighborsClassifier(),
            "mlp": lambda: MLPClassifier(random_state=seed),
            "logreg": lambda: LogisticRegression(max_iter=1000),
            "forest": lambda: RandomForestClassifier(random_state=seed),
            "bayes": lambda: GaussianNB(),
            "tree": lambda: DecisionTreeClassifier(random_state=seed),
        }[name]()

    return make


def _khan(name: str) -> Callable[[int], object]:
    """Return the named classifier as the Urdu-Sindhi scripts of Khan (2026) document it."""

    def make(seed: int):
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.neural_network import MLPClassifier
        from sklearn.svm import SVC

        return {
            "svm": lambda: SVC(kernel="rbf", C=10.0, gamma="scale", class_weight="balanced"),
            "forest": lambda: RandomForestClassifier(n_estimators=500, class_weight="balanced", random_state=seed),
            "mlp": lambda: MLPClassifier((256, 128), max_iter=400, early_stopping=True, random_state=seed),
        }[name]()

    return make


MODELS: dict[str, Model] = {
    "svm-linear": Model(_linear_svm, {"C": (0.1, 1.0, 10.0, 100.0)}, note="linear SVM, balanced"),
    "svm-rbf": Model(_rbf_svm, {"C": (1.0, 10.0, 100.0)}, note="RBF SVM, gamma 1/features, balanced"),
    "logreg": Model(_logistic_regression, {"C": (1e-4, 1e-3, 1e-2, 1e-1)}, note="L2 logistic regression, balanced"),
    # The edges of C are far out, so that the best is hardly beyond them. Of settings that do equally well on dev the
    # first is kept: the smallest C, and with it the last layer.
    "logreg-layer": Model(
        _one_layer,
        {"C": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1), "layer": (-1, -2, -3, -4, -5, -6, -7)},
        note="as logreg, on the one layer that dev chooses",
    ),
    "logreg-last-layer": Model(
        _one_layer, {"C": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)}, note="as logreg, on the last layer alone"
    ),
    "knn": Model(_nearest_neighbours, {"n_neighbors": (31, 15, 5)}, note="k nearest neighbours"),
    "forest": Model(_forest, {"min_samples_leaf": (5, 1)}, deterministic=False, note="100 trees, balanced"),
    "boosting": Model(_boosting, {"num_leaves": (4, 15)}, deterministic=False, note="LightGBM, 100 rounds, balanced"),
    "mlp": Model(_perceptron, {"alpha": (10.0, 1.0, 0.01)}, deterministic=False, note="one hidden layer of 100"),
    "bayes": Model(_naive_bayes, {"var_smoothing": (1.0, 1e-2, 1e-9)}, note="Gaussian naive Bayes"),
    "tree": Model(_tree, {"min_samples_leaf": (20, 5, 1)}, deterministic=False, note="decision tree, balanced"),
    "audeering-svm": Model(_audeering, note="SVC(gamma='auto'), as the EmoDB notebook of audEERING has it"),
    **{
        f"nus-{name}": Model(_nus(name), deterministic=name in {"knn", "logreg", "bayes"}, note="library defaults")
        for name in ("knn", "mlp", "xgb", "lgb", "logreg", "forest", "bayes", "tree")
    },
    **{
        f"khan-{name}": Model(_khan(name), deterministic=name == "svm", note="as Khan (2026) documents it")
        for name in ("svm", "forest", "mlp")
    },
}


TITLES = {
    "svm-linear": "linear SVM",
    "svm-rbf": "RBF SVM",
    "logreg": "logistic regression",
    "logreg-layer": "logistic regression, chosen layer",
    "logreg-last-layer": "logistic regression, last layer",
    "mlp": "perceptron",
    "boosting": "boosting",
    "forest": "random forest",
    "knn": "nearest neighbours",
    "bayes": "naive Bayes",
    "tree": "decision tree",
}
"""What figures and tables call the classifiers of our own experiments; not part of a system's code."""


def model(name: str) -> Model:
    """Return a model by name.

    Raises:
        SerError: If there is no such model.

    Examples:
        >>> model("svm-linear").deterministic
        True
    """
    if name not in MODELS:
        raise SerError(f"unknown model '{name}'; expected one of {sorted(MODELS)}")
    return MODELS[name]


def normalise(features: pd.DataFrame, clips: pd.DataFrame, normalisation: str) -> pd.DataFrame:
    """Apply the part of a normalisation that does not ask which clips are trained on: z-scores per speaker or corpus.

    Args:
        features: Shape (n_clips, n_features), indexed by clip.
        clips: Clips table of these clips, of which the column speaker or corpus is used.
        normalisation: A key of `NORMALISATIONS`; all but ``speaker``, ``corpus`` and ``coral`` return the features as
            they are.

    Returns:
        A table of the same shape.

    Raises:
        SerError: If the name is unknown, or speakers are missing for ``speaker``.

    Examples:
        >>> x = pd.DataFrame({"f": [1.0, 3.0, 10.0, 30.0]}, index=list("abcd"))
        >>> clips = pd.DataFrame({"speaker": ["s", "s", "t", "t"], "corpus": "toy"}, index=list("abcd"))
        >>> normalise(x, clips, "speaker")["f"].tolist()
        [-1.0, 1.0, -1.0, 1.0]
    """
    if normalisation not in NORMALISATIONS:
        raise SerError(f"unknown normalisation '{normalisation}'; expected one of {sorted(NORMALISATIONS)}")
    if normalisation not in _GROUPED_BY:
        return features
    column = _GROUPED_BY[normalisation]
    names = clips[column].reindex(features.index)
    if names.isna().any():
        raise SerError(
            f"normalisation '{normalisation}' needs a {column} for every clip; {names.isna().sum()} have none"
        )
    groups = features.groupby(names.to_numpy())
    deviation = groups.transform("std", ddof=0)
    return (features - groups.transform("mean")) / deviation.where(deviation > 0, 1.0)


def pipeline(name: str, normalisation: str, *, seed: int = 0, **parameters):
    """Return the unfitted scikit-learn pipeline of a system.

    Args:
        name: A key of `MODELS`.
        normalisation: A key of `NORMALISATIONS`; ``train`` adds a scaler, ``tfidf`` a vectoriser of texts, each
            fitted with the classifier. What ``coral`` adds needs the test clips, see
            `ser_core.experiments.fitting.classical.Coral`.
        seed: Seed of the classifier.
        **parameters: Hyperparameters of the classifier to set.

    Returns:
        A ``sklearn.pipeline.Pipeline`` for ``X: (n_clips, n_features)``, or with ``tfidf`` for texts, ``(n_clips,)``;
        and integer ``y``.

    Examples:
        >>> pipeline("svm-linear", "train", C=0.1).named_steps["classifier"].C
        0.1
    """
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = model(name).make(seed).set_params(**parameters)
    if normalisation == "tfidf":
        return Pipeline([*_tfidf(), ("classifier", classifier)])
    scaler = [("scaler", StandardScaler())] if normalisation == "train" else []
    return Pipeline([*scaler, ("classifier", classifier)])


def _tfidf() -> list[tuple[str, object]]:
    """Return the steps from texts to tf-idf; words of the lines before the last are other words than those of it."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.preprocessing import FunctionTransformer

    # scikit-learn's own pattern drops words of one letter, 'I' among them.
    grams = CountVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b").build_analyzer()

    def terms(text: str) -> list[str]:
        *before, own = text.split("\n")
        return [*grams(own), *(f"before: {gram}" for line in before for gram in grams(line))]

    vectorizer = TfidfVectorizer(analyzer=terms, sublinear_tf=True, min_df=2)
    return [("tfidf", vectorizer), ("length", FunctionTransformer(lambda x: x * _TFIDF_LENGTH))]


@functools.cache
def settings(name: str) -> tuple[dict, ...]:
    """Return the hyperparameter settings a model is tuned over, the most regularised first.

    Examples:
        >>> [setting["n_neighbors"] for setting in settings("knn")]
        [31, 15, 5]
    """
    from sklearn.model_selection import ParameterGrid

    return tuple(ParameterGrid({key: list(values) for key, values in model(name).grid.items()}))
