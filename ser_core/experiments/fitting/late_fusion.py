"""Late fusion: how the class probabilities of several systems become one answer, with what the dev part says."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.experiments.fold import Fold
from ser_core.experiments.specs import LateFusion
from ser_core.systems.registry import RULES

LEARNING = ("weighted", "stacked")
"""The rules that learn on the dev part."""
WEIGHTS = np.linspace(0, 1, 21)
_FLOOR = 1e-6


def combine(
    rule: str, dev: Sequence[np.ndarray], truth: np.ndarray, test: Sequence[np.ndarray]
) -> tuple[np.ndarray, dict]:
    """Return the fused probabilities of a test part.

    Args:
        rule: A key of `RULES`.
        dev: Each system's probabilities on the dev part, shape (n_dev, n_classes).
        truth: Class of each dev clip, shape (n_dev,).
        test: Each system's probabilities on the test part, shape (n_test, n_classes).

    Returns:
        Probabilities of shape (n_test, n_classes), and what the dev part chose.

    Raises:
        SerError: If the rule is unknown, there are no systems, their probabilities are of different clips or classes,
            ``weighted`` gets other than two systems, or a rule that learns has no dev clip, or one class of them.

    Examples:
        >>> a, b = np.array([[0.9, 0.1]]), np.array([[0.3, 0.7]])
        >>> combine("mean", [a, b], np.array([0]), [a, b])[0].round(1).tolist()
        [[0.6, 0.4]]
        >>> combine("weighted", [a, b], np.array([0]), [a, b])[1]
        {'weight': 0.5}
    """
    if rule not in RULES:
        raise SerError(f"unknown fusion '{rule}'; expected one of {sorted(RULES)}")
    for role, part in (("dev", dev), ("test", test)):
        if len({scores.shape for scores in part}) != 1:
            found = [scores.shape for scores in part] or "nothing"
            raise SerError(f"fusion '{rule}' of {found} on {role}; expected one shape, the same clips and classes")
    return COMBINE[rule](dev, truth, test)


def _mean(dev: Sequence[np.ndarray], truth: np.ndarray, test: Sequence[np.ndarray]) -> tuple[np.ndarray, dict]:
    return np.mean(test, 0), {}


def _product(dev: Sequence[np.ndarray], truth: np.ndarray, test: Sequence[np.ndarray]) -> tuple[np.ndarray, dict]:
    scores = np.exp(np.mean(np.log(np.maximum(test, _FLOOR)), 0))
    return scores / scores.sum(1, keepdims=True), {}


def _weighted(dev: Sequence[np.ndarray], truth: np.ndarray, test: Sequence[np.ndarray]) -> tuple[np.ndarray, dict]:
    _check_learns("weighted", truth)
    if len(dev) != 2:
        raise SerError(f"fusion 'weighted' weighs two systems, not {len(dev)}; use 'mean' or 'stacked'")
    found = [_uar(truth, weight * dev[0] + (1 - weight) * dev[1]) for weight in WEIGHTS]
    # The weight nearest to a half among the best, so that a tie does not drop a system.
    best = min(np.flatnonzero(np.isclose(found, max(found))), key=lambda i: abs(WEIGHTS[i] - 0.5))
    weight = float(round(WEIGHTS[best], 2))
    return weight * test[0] + (1 - weight) * test[1], {"weight": weight}


def _stacked(dev: Sequence[np.ndarray], truth: np.ndarray, test: Sequence[np.ndarray]) -> tuple[np.ndarray, dict]:
    from sklearn.linear_model import LogisticRegression

    _check_learns("stacked", truth)
    if len(np.unique(truth)) < 2:
        raise SerError(
            "fusion 'stacked' fits a classifier on the dev part, which has one class; use 'weighted' or 'mean'"
        )
    logs = [np.log(np.maximum(np.hstack(part), _FLOOR)) for part in (dev, test)]
    stack = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000).fit(logs[0], truth)
    scores = np.zeros((len(logs[1]), test[0].shape[1]))
    scores[:, stack.classes_] = stack.predict_proba(logs[1])
    return scores, {}


COMBINE = {"mean": _mean, "product": _product, "weighted": _weighted, "stacked": _stacked}
"""The function of each rule of `RULES`, with the arguments and results of `combine`."""


def _check_learns(rule: str, truth: np.ndarray) -> None:
    if not len(truth):
        raise SerError(f"fusion '{rule}' learns on the dev part, which has no clip; use 'mean' or 'product'")


def _uar(truth: np.ndarray, scores: np.ndarray) -> float:
    return float(metrics.uar(metrics.confusion(truth, scores.argmax(1), range(scores.shape[1]))))


Scores = tuple[pd.DataFrame | None, pd.DataFrame]
"""A member's probabilities of the dev part, by a system that has not seen it (None if there are none), and of the test
part: indexed by clip, a column ``p_<class>`` of each class."""


def fit_fold(system: LateFusion, fold: Fold, members: Mapping[str, Scores]) -> tuple[pd.DataFrame, dict]:
    """Fuse the members of a fusion on one fold.

    Args:
        system: The fusion.
        fold: The fold.
        members: The probabilities of each member, in their order.

    Returns:
        The predictions of the test and dev clips, with the column ``part``; and the facts: clips of each part, what
        the dev part chose, and the UAR on it, which flatters what was chosen there.

    Raises:
        SerError: If a member has other clips or classes than the fold, or gives no probabilities, or the rule learns
            and a member has none of the dev part.
    """
    columns = [metrics.PROBABILITY + name for name in fold.classes]
    scores = {"dev": [], "test": []}
    for member, (dev, test) in members.items():
        if dev is None and system.rule in LEARNING:
            raise SerError(
                f"{system.folder}: fusion '{system.rule}' learns on dev predictions, which '{member}' has none of; "
                "use 'mean' or 'product'"
            )
        for role, table in (("dev", dev), ("test", test)):
            if table is None:
                continue
            which = list(getattr(fold, role))
            if set(table.index) != set(which):
                raise SerError(
                    f"{system.folder}: '{member}' has {len(table)} {role} clips in fold {fold.number}, the fusion "
                    f"{len(which)}, or others; make both with the same protocol, folds and split seed"
                )
            if sorted(table.columns) != columns:
                raise SerError(
                    f"{system.folder}: '{member}' gives the probabilities {sorted(table.columns)}, the fold has the "
                    f"classes {fold.classes}; name members that give probabilities of these"
                )
            scores[role].append(table.loc[which, columns].to_numpy("float64"))
    truth, has_dev = fold.targets(fold.dev), len(scores["dev"]) == len(members)
    dev = scores["dev"] if has_dev else scores["test"]
    fused, chosen = combine(system.rule, dev, truth, scores["test"])
    made = {"test": fused}
    if has_dev:
        made = {"dev": combine(system.rule, dev, truth, dev)[0], **made}
    tables = [fold.predictions(getattr(fold, role), p.argmax(1), p).assign(part=role) for role, p in made.items()]
    facts = fold.sizes | {"chosen": chosen, "dev_uar": _uar(truth, made["dev"]) if has_dev else None}
    return pd.concat(tables, ignore_index=True), facts
