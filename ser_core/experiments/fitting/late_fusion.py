"""Late fusion: how the class probabilities of several systems become one answer, with what the dev part says."""

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser_core.errors import SerError
from ser_core.evaluation import metrics
from ser_core.experiments import runs
from ser_core.experiments.cells import Cell, FusionCell, classes, clips_of, parts, predictions
from ser_core.experiments.fitting import classical
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


@functools.lru_cache(maxsize=32)
def _classical(cell: Cell, seed: int, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the dev probabilities of the system that has not seen the dev part, and the test probabilities."""
    part, fitted = parts(cell, seed, fold), classical.fit(cell, seed, fold)
    if not hasattr(fitted.final, "predict_proba"):
        raise SerError(f"{cell.system}: '{cell.model}' gives no probabilities; name a member that does")
    columns = [runs.PROBABILITY + name for name in classes(cell, part)]
    return tuple(
        pd.DataFrame(system.predict_proba(classical.inputs(cell, part[role])), index=part[role], columns=columns)
        for role, system in (("dev", fitted.chooser), ("test", fitted.final))
    )


def _of_run(cell: FusionCell, member: str, seed: int, fold: int) -> tuple[pd.DataFrame | None, pd.DataFrame]:
    """Return dev (None if it keeps none) and test probabilities of a Run, of one seed or the mean over its seeds."""
    run = runs.read(member)
    dev = runs.other(member, "dev") if "dev" in run.info["tables"] else None
    if dev is None and cell.rule in LEARNING:
        raise SerError(
            f"{cell.system}: fusion '{cell.rule}' learns on dev predictions, which '{member}' has none of; "
            "use 'mean' or 'product'"
        )
    found = []
    for table in (dev, run.predictions):
        if table is None:
            found.append(None)
            continue
        rows = table[(table["fold"] == fold) & (cell.average | (table["seed"] == seed))]
        columns = [name for name in rows if name.startswith(runs.PROBABILITY)]
        found.append(rows.groupby("clip")[columns].mean())
    return tuple(found)


def fit_fold(cell: FusionCell, seed: int, fold: int) -> tuple[pd.DataFrame, dict]:
    """Fuse the members of a cell on one fold.

    Args:
        cell: The fusion.
        seed: One of its seeds.
        fold: A fold of its Folds.

    Returns:
        The predictions of the test and dev clips, with the column ``part``; and the facts: clips of each part, what
        the dev part chose, and the UAR on it, which flatters what was chosen there.

    Raises:
        SerError: If a member's Run is not there or was made on other folds, or a member gives no probabilities or
            those of other classes.
    """
    part, words = parts(cell, seed, fold), clips_of(cell.corpus, cell.labels)["emotion"]
    scores = {"dev": [], "test": []}
    columns = None
    for member in cell.members:
        if member.count("/") == 2:
            where = {name: getattr(cell, name) for name in ("corpus", "protocol", "labels", "folds", "train_clips")}
            names = dict(zip(("features", "model", "normalisation"), member.split("/"), strict=True))
            of = seed if cell.splits == "per-seed" else 0
            made = _classical(Cell(**where, **names, seeds=(of,), splits=cell.splits, tune=True), of, fold)
        else:
            made = _of_run(cell, member, seed, fold)
        for role, table in zip(("dev", "test"), made, strict=True):
            if table is None:
                continue
            if set(table.index) != set(part[role]):
                raise SerError(
                    f"{cell.system}: '{member}' has {len(table)} {role} clips in fold {fold}, the fusion "
                    f"{len(part[role])}, or others; make both with the same protocol, folds and split seed"
                )
            columns = sorted(table.columns) if columns is None else columns
            if not columns or columns != sorted(table.columns):
                raise SerError(
                    f"{cell.system}: '{member}' gives the probabilities {sorted(table.columns)}, the member before it "
                    f"{columns}; name members that give probabilities of the same classes"
                )
            scores[role].append(table.loc[part[role], columns].to_numpy("float64"))
    names = [name.removeprefix(runs.PROBABILITY) for name in columns]
    truth = words[part["dev"]].map({name: i for i, name in enumerate(names)}).to_numpy()
    has_dev = len(scores["dev"]) == len(cell.members)
    dev = scores["dev"] if has_dev else scores["test"]
    fused, chosen = combine(cell.rule, dev, truth, scores["test"])
    made = {"test": fused}
    if has_dev:
        made = {"dev": combine(cell.rule, dev, truth, dev)[0], **made}
    tables = []
    for role, found in made.items():
        answers = [names[i] for i in found.argmax(1)]
        tables.append(predictions(cell, seed, fold, part[role], answers, found, names).assign(part=role))
    facts = {"n_train": len(part["train"]), "n_dev": len(part["dev"]), "n_test": len(part["test"]), "chosen": chosen}
    return pd.concat(tables, ignore_index=True), facts | {"dev_uar": _uar(truth, made["dev"]) if has_dev else None}
