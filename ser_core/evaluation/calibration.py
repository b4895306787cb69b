"""What probabilities are worth: Brier score, reliability, calibration error; and how they change with the priors."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import optimize, special

from ser_core.errors import SerError
from ser_core.evaluation import metrics

# EM for class priors: tolerance and maximum number of iterations.
_CONVERGED = 1e-7
_MOST_ITERATIONS = 10_000
# Temperatures are tried from 1 / _WIDEST to _WIDEST. A probability below _LEAST counts as that: 0 has no logarithm.
_WIDEST, _LEAST = 20.0, 1e-12


def probabilities(predictions: pd.DataFrame) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the class probabilities and the order of their columns.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; with ``p_<class>`` columns.

    Returns:
        Probabilities of shape (n_rows, K), and the K classes in the order of `ser_core.evaluation.metrics.class_names`.

    Raises:
        SerError: If there are no ``p_<class>`` columns.

    Examples:
        >>> row = {"clip": ["a"], "truth": ["sad"], "prediction": ["sad"], "p_sad": [0.75], "p_happy": [0.25]}
        >>> probabilities(pd.DataFrame(row))
        (array([[0.25, 0.75]]), ('happy', 'sad'))
    """
    names = metrics.class_names(metrics.validate(predictions))
    columns = [metrics.PROBABILITY + name for name in names]
    if missing := [name for name in columns if name not in predictions]:
        raise SerError(f"calibration needs a probability for each class; the predictions lack {missing}")
    return predictions[columns].to_numpy(dtype=float), names


def brier(predictions: pd.DataFrame) -> float:
    """Return the Brier score in [0, 2]: squared distance of the probabilities from the truth, summed over classes.

    0 is perfect; with K classes, always saying 1 / K scores 1 - 1 / K. Every seed counts alike if all have
    predicted the same clips.

    Source:
        Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.

    Raises:
        SerError: If there are no ``p_<class>`` columns.

    Examples:
        >>> row = {"clip": ["a"], "truth": ["sad"], "prediction": ["sad"], "p_happy": [0.5], "p_sad": [0.5]}
        >>> brier(pd.DataFrame(row))
        0.5
    """
    values, names = probabilities(predictions)
    truth = predictions["truth"].to_numpy(dtype=object)[:, None] == np.array(names, dtype=object)
    return float(((values - truth) ** 2).sum(axis=1).mean())


def calibration(predictions: pd.DataFrame, *, n_bins: int = 10) -> pd.DataFrame:
    """Return the reliability table: within each bin of confidence, how often the prediction is right.

    The confidence of a clip is the probability its system gave to the class it predicted. Rows of all seeds are
    averaged; ``n`` is a count of rows, so take no interval from it.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; with ``p_<class>`` columns.
        n_bins: Number of bins of equal width over [0, 1]; a confidence on an edge is in the lower bin.

    Returns:
        One row a bin: ``low``, ``high``, ``n``, ``confidence`` and ``accuracy`` in [0, 1], missing in empty bins.

    Raises:
        SerError: If there are no ``p_<class>`` columns.

    Examples:
        >>> row = {"clip": ["a"], "truth": ["sad"], "prediction": ["sad"], "p_happy": [0.3], "p_sad": [0.7]}
        >>> calibration(pd.DataFrame(row), n_bins=2)
           low  high  n  confidence  accuracy
        0  0.0   0.5  0         NaN       NaN
        1  0.5   1.0  1         0.7       1.0
    """
    values, names = probabilities(predictions)
    column = pd.Index(names, dtype="object").get_indexer(pd.Index(predictions["prediction"], dtype="object"))
    confidence = values[np.arange(len(values)), column]
    right = (predictions["prediction"] == predictions["truth"]).to_numpy(dtype=float)
    edges = np.linspace(0, 1, n_bins + 1)
    bins = pd.DataFrame({"confidence": confidence, "accuracy": right}).groupby(np.searchsorted(edges[1:-1], confidence))
    every = range(n_bins)
    table = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n": bins.size().reindex(every, fill_value=0)})
    return table.join(bins.mean().reindex(every))


def ece(predictions: pd.DataFrame, *, n_bins: int = 10) -> float:
    """Return the expected calibration error in [0, 1]: ``|confidence - accuracy|`` over clips, then seeds.

    Source:
        Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; with ``p_<class>`` columns.
        n_bins: See `calibration`.

    Returns:
        The difference of confidence and accuracy, averaged over bins by their clips, then over seeds.

    Raises:
        SerError: If there are no ``p_<class>`` columns.

    Examples:
        >>> row = {"clip": ["a"], "truth": ["sad"], "prediction": ["sad"], "p_happy": [0.25], "p_sad": [0.75]}
        >>> ece(pd.DataFrame(row))
        0.25
    """
    errors = []
    for _, rows in metrics.validate(predictions).groupby("seed"):
        bins = calibration(rows, n_bins=n_bins)
        errors.append(((bins["confidence"] - bins["accuracy"]).abs() * bins["n"]).sum() / len(rows))
    return float(np.mean(errors))


def prior_shift(predictions: pd.DataFrame, priors: Mapping[str, float]) -> pd.DataFrame:
    """Adapt probabilities to the class frequencies of the clips they are of, estimated from these clips by EM.

    It is assumed that a class sounds alike in training and in test, and only how often it comes differs; and that the
    probabilities are calibrated for the priors that are given. Where they are not, as those of a strongly regularised
    system on another corpus, it can end with one class for every clip. Each seed and each fold is adapted by itself. No
    label is read, but all clips of a fold are read together: the result is transductive.

    Source:
        Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities",
        Neural Computation 14, 2002.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; with ``p_<class>`` columns.
        priors: The share of each class that the probabilities speak of, each above 0, with sum 1: in the training
            part, or the same for all where a classifier weighs its classes to balance.

    Returns:
        The predictions with other probabilities, and with the likeliest class as the prediction. The mean of the
        probabilities in a fold is the estimated frequency of each class.

    Raises:
        SerError: If there are no ``p_<class>`` columns, or the priors are not those of their classes.

    Examples:
        >>> row = {"clip": list("abc"), "truth": "sad", "prediction": ["sad", "sad", "happy"]}
        >>> table = pd.DataFrame(row | {"p_happy": [0.2, 0.3, 0.6], "p_sad": [0.8, 0.7, 0.4]})
        >>> prior_shift(table, {"happy": 0.5, "sad": 0.5})["prediction"].tolist()
        ['sad', 'sad', 'sad']
    """
    values, names = probabilities(predictions)
    given = np.array([priors.get(name, np.nan) for name in names], dtype=float)
    if set(priors) != set(names) or not (given > 0).all() or abs(given.sum() - 1) > 1e-6:
        raise SerError(f"the priors {dict(priors)} are not a share above 0 of each of {list(names)}, with sum 1")
    folds = predictions.get("fold", pd.Series(0, index=predictions.index))
    seeds = predictions.get("seed", pd.Series(0, index=predictions.index))
    values = values.copy()  # pandas' own are read-only
    for rows in predictions.groupby([seeds.to_numpy(), folds.to_numpy()]).indices.values():
        values[rows] = _expectation_maximisation(values[rows], given)
    answers = np.array(names, dtype="object")[values.argmax(axis=1)]
    columns = {metrics.PROBABILITY + name: values[:, i] for i, name in enumerate(names)}
    return predictions.assign(prediction=pd.Series(answers, index=predictions.index, dtype="str"), **columns)


def _expectation_maximisation(values: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the probabilities of clips, shape (n_clips, K), under the priors that make these clips likeliest."""
    estimate, adapted = given, values
    for _ in range(_MOST_ITERATIONS):
        adapted = values * (estimate / given)
        adapted /= adapted.sum(axis=1, keepdims=True)
        before, estimate = estimate, adapted.mean(axis=0)
        if np.abs(estimate - before).max() < _CONVERGED:
            break
    return adapted


def temperature(predictions: pd.DataFrame) -> float:
    """Return the temperature that makes probabilities fit the truth best: the least negative log likelihood.

    Source:
        Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; with ``p_<class>`` columns, of clips that the system
            was not trained on.

    Returns:
        Above 1 where the probabilities are too sure, below 1 where they are not sure enough; in [0.05, 20].

    Raises:
        SerError: If there are no ``p_<class>`` columns.

    Examples:
        >>> row = {"clip": list("abcd"), "truth": "sad", "prediction": "sad", "p_happy": 0.01, "p_sad": 0.99}
        >>> sure = pd.DataFrame(row).assign(truth=["sad", "sad", "sad", "happy"])  # right three times in four
        >>> tempered(sure, temperature(sure))["p_sad"].round(3).tolist()
        [0.75, 0.75, 0.75, 0.75]
    """
    values, names = probabilities(predictions)
    at = pd.Index(names, dtype="object").get_indexer(pd.Index(predictions["truth"], dtype="object"))
    scores = np.log(np.maximum(values, _LEAST))

    def loss(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        return float((special.logsumexp(scaled, axis=1) - scaled[np.arange(len(at)), at]).mean())

    bounds = (-np.log(_WIDEST), np.log(_WIDEST))
    return float(np.exp(optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))


def tempered(predictions: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """Return predictions with probabilities of another temperature; the answers stay.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; with ``p_<class>`` columns.
        temperature: Above 0; 1 changes nothing.

    Returns:
        The predictions.

    Raises:
        SerError: If there are no ``p_<class>`` columns.
    """
    values, names = probabilities(predictions)
    values = special.softmax(np.log(np.maximum(values, _LEAST)) / temperature, axis=1)
    return predictions.assign(**{metrics.PROBABILITY + name: values[:, i] for i, name in enumerate(names)})


def threshold(predictions: pd.DataFrame, accuracy: float) -> float:
    """Return the confidence from which on answers are right as often as is asked for.

    Source:
        Chow, "On optimum recognition error and reject tradeoff", IEEE Transactions on Information Theory 16, 1970.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; with ``p_<class>`` columns.
        accuracy: Share of right answers among those given, in [0, 1].

    Returns:
        The lowest confidence such that all predictions of at least this confidence have this accuracy together;
        infinite if there is none.

    Raises:
        SerError: If there are no ``p_<class>`` columns.

    Examples:
        >>> row = {"clip": list("abcd"), "truth": ["sad", "sad", "happy", "happy"], "prediction": "sad"}
        >>> table = pd.DataFrame(row | {"p_sad": [0.9, 0.8, 0.7, 0.6], "p_happy": [0.1, 0.2, 0.3, 0.4]})
        >>> threshold(table, 0.6), threshold(table, 1.0)
        (0.7, 0.8)
    """
    values, _ = probabilities(predictions)
    right = (predictions["prediction"] == predictions["truth"]).astype("float64")
    by = pd.DataFrame({"confidence": values.max(axis=1), "right": right.to_numpy()}).groupby("confidence")["right"]
    sums = by.agg(["sum", "size"])[::-1].cumsum()
    enough = sums.index[sums["sum"] / sums["size"] >= accuracy]
    return float(enough.min()) if len(enough) else float("inf")


def answered(predictions: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Return the predictions whose likeliest class has at least a probability.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; with ``p_<class>`` columns.
        threshold: From `threshold`.

    Returns:
        Rows of the table.

    Raises:
        SerError: If there are no ``p_<class>`` columns.
    """
    return predictions[probabilities(predictions)[0].max(axis=1) >= threshold]
