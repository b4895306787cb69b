"""How a score grows with the number of speakers that are trained on: whether more of them would help."""

import dataclasses
import math

import numpy as np
import pandas as pd

from ser_core.errors import SerError
from ser_core.evaluation import comparisons, intervals
from ser_core.evaluation.comparisons import Difference
from ser_core.experiments import fold as folds
from ser_core.experiments.fitting import classical, tables
from ser_core.experiments.fold import Fold
from ser_core.experiments.specs import ClassicalSystem

_SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


@dataclasses.dataclass(frozen=True)
class Curve:
    """Scores of one system by how many speakers it was trained on.

    Attributes:
        scores: Index ``speakers`` (trained on, in each fold): ``interval``, the mean UAR over draws of the speakers.
        gain: Of the largest number over the half of it, paired; None if there is no half.
        half: That half.
        reasons: Size -> why it is left out.
    """

    scores: pd.DataFrame
    gain: Difference | None
    half: int | None
    reasons: dict[int, str]


def curve(system: ClassicalSystem, *, draws: int = 5, n_resamples: int = 2_000) -> Curve:
    """Fit a system on some of the speakers of each training part, and score it on the whole test part.

    Each draw is an order of the training speakers; of n speakers it takes the first n. So a larger training part holds
    the smaller ones, and sizes can be compared within a draw.

    Args:
        system: A system whose protocol keeps test speakers apart.
        draws: How many orders are drawn for each fold.
        n_resamples: Number of bootstrap resamples.

    Returns:
        The curve.

    Raises:
        SerError: If a training part has fewer than three speakers, or no size can be fitted.
    """
    system = dataclasses.replace(system, train_clips=None, tune=False)
    seed, (table, *_) = system.seeds[0], tables(system)
    whole = [folds.make(system, seed, number) for step, number in folds.steps(system) if step == seed]
    people = [sorted(one.clips.loc[list(one.train), "speaker"].unique()) for one in whole]
    most = min(map(len, people))
    if most < 3:
        raise SerError(f"a training part has {most} speakers; a learning curve needs 3")
    half = most // 2
    sizes = sorted({*(n for n in _SIZES if n < most), half, most} - {1})
    found: dict[int, pd.DataFrame] = {}
    reasons = {}
    for size in sizes:
        parts = []
        try:
            for one, names in zip(whole, people, strict=True):
                for draw in range(draws):
                    order = np.random.default_rng([draw, one.number]).permutation(names)
                    parts.append(_fitted(system, one, set(order[:size]), draw, table))
        except SerError as error:  # a class that none of these speakers has
            reasons[size] = str(error)
            continue
        found[size] = pd.concat(parts, ignore_index=True)
    if not found:
        raise SerError(f"no part of the speakers has all classes: {next(iter(reasons.values()))}")
    options = {"n_resamples": n_resamples}
    each = {size: intervals.interval(table, "uar", **options) for size, table in found.items()}
    scores = pd.DataFrame({"interval": each}).rename_axis("speakers")
    gain = comparisons.difference(found[most], found[half], **options) if {half, most} <= set(found) else None
    return Curve(scores, gain, half if gain else None, reasons)


def _fitted(system: ClassicalSystem, whole: Fold, names: set[str], draw: int, table: pd.DataFrame) -> pd.DataFrame:
    """Return predictions of a fold of whose training speakers only some are kept."""
    who = whole.clips["speaker"]
    part = Fold(whole.clips, whole.number, draw, tuple(c for c in whole.train if who[c] in names), (), whole.test)
    return classical.fit_fold(system, part, table)[0]


def speakers_for(interval: intervals.Interval, half_width: float) -> int | None:
    """Return how many speakers of the same kind make an interval as narrow as plus and minus a half-width.

    A standard error falls with the root of the number of speakers, so that half the width takes four times as many.

    Args:
        interval: Of the speakers there are.
        half_width: What is wanted, in the same unit.

    Returns:
        The number of speakers, at least those there are; None if the interval is refused.

    Examples:
        >>> one = intervals.Interval(0.5, 0.4, 0.6, 0.95, "expanded", "speaker", 10)
        >>> speakers_for(one, 0.05), speakers_for(one, 0.2)
        (40, 10)
    """
    if interval.refusal is not None:
        return None
    ratio = max(1.0, interval.half_width / half_width)
    return math.ceil(round(interval.n_clusters * ratio**2, 6))
