"""A fitted linear classifier that stands alone in a file of numbers: no pickle, no scikit-learn to read it."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ser_core import files
from ser_core.errors import SerError
from ser_core.systems import features

SUFFIX = ".safetensors"
LARGEST = 64 * 2**20
"""A file beyond this many bytes is no model of this kind, and is not read."""

_SHAPES = {"mean": "p", "scale": "p", "weights": "kp", "intercept": "k"}


@dataclass(frozen=True, eq=False)
class Linear:
    """A multinomial logistic regression on the z-scores of a feature set, with its calibration.

    Attributes:
        name: What it is called.
        features: Name of the feature set.
        classes: The K emotions, sorted.
        mean: What is taken off the features, float32 of shape (p,).
        scale: What they are then divided by, above 0, of the same shape.
        weights: float32, shape (K, p).
        intercept: float32, shape (K,).
        temperature: What scores are divided by before they become probabilities; above 0.
        threshold: The model answers where the likeliest class has at least this probability, and abstains elsewhere;
            infinite where it always abstains.
        facts: What made it and what it is worth, as JSON.
    """

    name: str
    features: str
    classes: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    temperature: float = 1.0
    threshold: float = 0.0
    facts: dict = field(default_factory=dict)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return the probability of each class.

        Args:
            x: Features as extracted, shape (n, p).

        Returns:
            float64 of shape (n, K); each row sums to 1.

        Examples:
            >>> one = Linear("toy", "egemaps", ("happy", "sad"), *np.float32([[0], [1]]), np.float32([[0], [1]]),
            ...     np.float32([0, 0]))
            >>> one.probabilities(np.array([[0.0], [2.0]])).round(2).tolist()
            [[0.5, 0.5], [0.12, 0.88]]
        """
        z = (np.asarray(x, "float64") - self.mean) / self.scale
        scores = (z @ self.weights.T.astype("float64") + self.intercept) / self.temperature
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def save(model: Linear, path: Path) -> None:
    """Write a model as safetensors, whole or not at all; the same model gives the same bytes.

    Args:
        model: The model.
        path: The file.

    Raises:
        SerError: If the file's name does not end in ``.safetensors``.
    """
    from safetensors.numpy import save_file

    check_name(Path(path))
    spec = features.get(model.features)
    facts = {
        "name": model.name,
        "features": spec.identity,
        "columns": files.digest(list(spec.columns)),
        "classes": list(model.classes),
        "temperature": model.temperature,
        "threshold": model.threshold if np.isfinite(model.threshold) else None,  # JSON has no infinity
        "facts": model.facts,
    }
    tensors = {name: np.ascontiguousarray(getattr(model, name), "float32") for name in _SHAPES}
    with files.replacing(Path(path)) as temporary:
        save_file(tensors, temporary, {"ser_core": json.dumps(facts, sort_keys=True, ensure_ascii=False)})


def load(path: Path) -> Linear:
    """Read a model.

    Args:
        path: A file that `save` wrote.

    Raises:
        SerError: If there is no such file, it is something else, is damaged, or its features are computed otherwise
            today.

    Examples:
        >>> load(Path("nowhere.safetensors"))
        Traceback (most recent call last):
        ...
        ser_core.errors.SerError: nowhere.safetensors: no such model
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise SerError(f"{path}: no such model")
    check_name(path)
    if path.stat().st_size > LARGEST:
        raise SerError(f"{path}: has {path.stat().st_size} bytes; a model of `ser model` has fewer than {LARGEST}")
    try:
        with safe_open(path, "numpy") as opened:
            facts = json.loads((opened.metadata() or {}).get("ser_core", "null"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise SerError(f"{path}: not a whole file of safetensors ({' '.join(str(error).split())})") from error
    try:
        return _model(facts, tensors)
    except SerError as error:
        raise SerError(f"{path}: {error}; make it again by `ser model`") from error
    except (KeyError, TypeError, ValueError) as error:
        raise SerError(f"{path}: no model of `ser model` ({type(error).__name__}: {error}); make one by it") from error


def _model(facts: dict, tensors: dict[str, np.ndarray]) -> Linear:
    """Return the model that a file holds, or raise an error that says what of it is wrong."""
    if not isinstance(facts, dict):
        raise SerError("it says of itself nothing that `ser model` writes")
    made = facts["features"]
    spec = features.get(str(made["extractor"]))
    if made != json.loads(json.dumps(spec.identity)) or facts["columns"] != files.digest(list(spec.columns)):
        raise SerError(f"it was made with other '{spec.name}' features than today's")
    classes = tuple(map(str, facts["classes"]))
    sizes = {"p": len(spec.columns), "k": len(classes)}
    if set(tensors) != set(_SHAPES):
        raise SerError(f"it holds {sorted(tensors)}, expected {sorted(_SHAPES)}")
    for name, letters in _SHAPES.items():
        expected = tuple(sizes[letter] for letter in letters)
        if tensors[name].shape != expected or tensors[name].dtype != np.float32:
            raise SerError(f"its '{name}' is {tensors[name].dtype} of shape {tensors[name].shape}, not {expected}")
        if not np.isfinite(tensors[name]).all():
            raise SerError(f"its '{name}' holds values that are not finite numbers")
    temperature = float(facts["temperature"])
    threshold = np.inf if facts["threshold"] is None else float(facts["threshold"])
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise SerError(f"its classes are {list(classes)}, expected two or more different ones")
    if not (tensors["scale"] > 0).all() or not 0 < temperature < np.inf or not 0 <= threshold <= np.inf:
        raise SerError("its scale, temperature or threshold is out of range")
    return Linear(
        str(facts["name"]),
        spec.name,
        classes,
        **tensors,
        temperature=temperature,
        threshold=threshold,
        facts=dict(facts["facts"]),
    )


def check_name(path: Path) -> None:
    """Refuse a file that is not named as a model is.

    Args:
        path: The file, which need not be there.

    Raises:
        SerError: If its name does not end in ``.safetensors``.

    Examples:
        >>> check_name(Path("mine.pkl"))
        Traceback (most recent call last):
        ...
        ser_core.errors.SerError: mine.pkl: a model is a file NAME.safetensors of `ser model`; nothing else is opened
    """
    if path.suffix != SUFFIX:
        raise SerError(f"{path}: a model is a file NAME{SUFFIX} of `ser model`; nothing else is opened")
