"""What two systems on the same clips have in common: their counts by clusters, and by trainings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ser_core.errors import SerError
from ser_core.evaluation import bootstrap, intervals, metrics


@dataclass(frozen=True)
class Paired:
    """What is compared of two systems on the same clips.

    Attributes:
        tables: Counts of each system, shape (S, G, K, K); G and K are the same for both, the clusters too.
        clusters: Names of the G clusters, sorted.
        classes: Names of the K classes.
        metric: Its name.
        unit: What the clusters are.
        same_seeds: Whether the systems have the same seeds.
        same_truth: Whether they answer the same question.
        designs: How the trainings of each are crossed, see `ser_core.evaluation.intervals.design`.
    """

    tables: tuple[np.ndarray, np.ndarray]
    clusters: list[str]
    classes: list[str]
    metric: str
    unit: str
    same_seeds: bool
    same_truth: bool
    designs: tuple[Sequence[int] | None, Sequence[int] | None]

    @property
    def function(self) -> metrics.Metric:
        """The metric of counts, from (..., K, K) to (...)."""
        return metrics.metric(self.metric, self.classes)

    @property
    def by_training(self) -> list[np.ndarray]:
        """The metric of each training of each system, shape (S,)."""
        return [self.function(table.sum(axis=1)) for table in self.tables]

    @property
    def value(self) -> float:
        """The first system's metric minus the second's, each the mean over its trainings."""
        first, second = self.by_training
        return float(first.mean() - second.mean())

    @property
    def trainings(self) -> list[np.ndarray]:
        """The deviations of the trainings of the difference: paired where the systems have the same seeds."""
        first, second = self.by_training
        if self.same_seeds:
            return bootstrap.deviations(first - second, self.designs[0])
        both = zip((first, second), self.designs, strict=True)
        return [way for values, design in both for way in bootstrap.deviations(values, design)]

    def as_trained(self) -> "Paired":
        """Return the comparison for the trainings as they are: counts averaged over seeds, one training each."""
        return replace(self, tables=tuple(t.mean(axis=0, keepdims=True) for t in self.tables), designs=(None, None))

    def resampled(self, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
        """Return the resampled difference, shape (R,), see `ser_core.evaluation.bootstrap.resampled`."""
        first, second = bootstrap.resampled(
            self.tables, self.function, n_resamples, rng, same_seeds=self.same_seeds, designs=self.designs
        )
        return first - second


def paired(
    a: pd.DataFrame,
    b: pd.DataFrame,
    metric: str = "uar",
    *,
    unit: str = "speaker",
    classes: Sequence[str] | None = None,
    same_truth: bool = True,
) -> Paired:
    """Return what is compared of two systems.

    Args:
        a: Predictions of the first system, see `ser_core.evaluation.comparisons.difference`.
        b: Predictions of the second system, for the same clips.
        metric: See `ser_core.evaluation.comparisons.difference`.
        unit: The column whose values are the clusters.
        classes: The classes of the task; by default those of both.
        same_truth: False if the two are of different tasks, see `ser_core.evaluation.comparisons.difference`.

    Returns:
        The counts of both, and how they are paired.

    Raises:
        SerError: As `ser_core.evaluation.comparisons.difference`.

    Examples:
        >>> a = pd.DataFrame({"clip": list("abc"), "speaker": list("uvw"), "truth": "sad", "prediction": "sad"})
        >>> paired(a, a).clusters, paired(a, a).value
        (['u', 'v', 'w'], 0.0)
    """
    same_seeds = _check_paired(a, b, unit, same_truth)
    if same_truth:
        names = list(classes or sorted({*metrics.class_names(a), *metrics.class_names(b)}))
        tables = intervals.counts(a, unit, names), intervals.counts(b, unit, names)
    else:
        of_a, of_b = metrics.class_names(a), metrics.class_names(b)
        if len(of_a) != len(of_b):
            raise SerError(f"the tasks have different numbers of classes, {list(of_a)} and {list(of_b)}")
        tables = intervals.counts(a, unit, of_a), intervals.counts(b, unit, of_b)
        names = [" or ".join(pair) for pair in zip(of_a, of_b, strict=True)]
    designs = intervals.design(a), intervals.design(b)
    return Paired(tables, sorted(a[unit].unique()), names, metric, unit, same_seeds, same_truth, designs)


def of_parts(first: pd.DataFrame, second: pd.DataFrame, metric: str = "uar", *, unit: str = "speaker") -> Paired:
    """Return what is compared of two parts of a corpus, such as clips spoken loudly and softly by the same people.

    The clips are not the same, only the clusters, so that answers cannot be swapped;
    `ser_core.evaluation.comparisons.of_paired` resamples the clusters of both parts together, and its p-value is that
    of Student's t.

    Args:
        first: Predictions of a system, see `ser_core.evaluation.metrics.validate`.
        second: Predictions of the same seeds for other clips; their classes may be others, but not fewer or more.
        metric: One of `ser_core.evaluation.metrics.METRICS`.
        unit: The column of the clusters. A cluster with clips in one part only counts in that part.

    Raises:
        SerError: If the seeds or the numbers of classes differ, or as `ser_core.evaluation.intervals.counts`.

    Examples:
        >>> a = pd.DataFrame({"clip": list("abc"), "speaker": list("uvw"), "truth": "sad", "prediction": "sad"})
        >>> of_parts(a, a.assign(clip=list("xyz"), prediction=["sad", "sad", "happy"]).iloc[1:]).value
        0.5
    """
    parts = [metrics.validate(part) for part in (first, second)]
    seeds = [sorted(part["seed"].unique().tolist()) for part in parts]
    if seeds[0] != seeds[1]:
        raise SerError(f"the parts have the seeds {seeds[0]} and {seeds[1]}; compare parts of the same trainings")
    names = [metrics.class_names(part) for part in parts]
    if len(names[0]) != len(names[1]):
        # A class that a part lacks, and nothing was taken for, is a class of the task all the same.
        names = [tuple(sorted({*names[0], *names[1]}))] * 2 if set(names[0]) & set(names[1]) else names
    if len(names[0]) != len(names[1]):
        raise SerError(f"the parts have different numbers of classes, {list(names[0])} and {list(names[1])}")
    # Counted as one table with the classes of both, so that both parts have the same clusters.
    marked = []
    for number, part in enumerate(parts):
        if unit not in part:
            raise SerError(f"the predictions have no column '{unit}'; they have {list(part.columns)}")
        table = part[["clip", "seed", *([unit] if unit != "clip" else [])]]
        words = {column: f"{number}:" + part[column].astype("str") for column in ("truth", "prediction")}
        marked.append(table.assign(clip=f"{number}:" + table["clip"].astype("str"), **words))
    k = len(names[0])
    classes = [f"{number}:{name}" for number, of in enumerate(names) for name in of]
    both = pd.concat(marked, ignore_index=True)
    counts = intervals.counts(both, unit, classes)
    words = [name if name == other else f"{name} or {other}" for name, other in zip(*names, strict=True)]
    designs = intervals.design(first), intervals.design(second)
    tables = counts[..., :k, :k], counts[..., k:, k:]
    return Paired(tables, sorted(both[unit].unique()), words, metric, unit, True, False, designs)


def _check_paired(a: pd.DataFrame, b: pd.DataFrame, unit: str, same_truth: bool) -> bool:
    """Raise unless a and b pair clip by clip; return whether they have the same seeds."""
    a, b = metrics.validate(a), metrics.validate(b)
    same_seeds = set(a["seed"]) == set(b["seed"])
    facts = []
    for table in (a, b):
        if unit not in table:
            raise SerError(f"the predictions have no column '{unit}'; they have {list(table.columns)}")
        seeds, clips = table["seed"].nunique(), table["clip"].nunique()
        if not same_seeds and len(table) != seeds * clips:
            raise SerError(
                f"the systems have different seeds, {a['seed'].unique().tolist()} and {b['seed'].unique().tolist()}, "
                f"and not every seed covers the same clips; compare systems run with the same seeds"
            )
        keys = ["seed", "clip"] if same_seeds else ["clip"]
        facts.append(table.drop_duplicates(keys).set_index(keys)[["truth"] * same_truth + [unit] * (unit != "clip")])
    first, second = facts
    only_a, only_b = first.index.difference(second.index), second.index.difference(first.index)
    if len(only_a) or len(only_b):
        example = _key((only_a if len(only_a) else only_b)[0])
        raise SerError(
            f"the systems cover different clips: {len(first)} and {len(second)}, {len(only_a)} only in the first and "
            f"{len(only_b)} only in the second, such as {example}; a paired difference needs the same"
        )
    for column in first:
        other = second[column].reindex(first.index)
        differ = (first[column].astype("object") != other.astype("object")).to_numpy()
        if differ.any():
            clip, x, y = _key(first.index[differ][0]), first[column][differ].iloc[0], other[differ].iloc[0]
            raise SerError(f"the systems differ in {column} in {differ.sum()} rows, first {clip}: {x!r} != {y!r}")
    return same_seeds


def _key(key: object) -> str:
    return f"clip '{key[1]}' of seed {key[0]}" if isinstance(key, tuple) else f"clip '{key}'"
