"""Whole cross-validations inside halves of a corpus's speakers: what other people to train on would change."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_core import files, paths
from ser_core.data import splits
from ser_core.errors import SerError
from ser_core.evaluation import procedure
from ser_core.experiments.fold import clips_of
from ser_core.systems import classifiers, features, workers

# The systems whose halves are committed. Folds are as in the experiments 'baselines' and 'byol-probe'.
FOLDS = {"ravdess": 6, "emodb": "loo", "banglaser": 6}
FEATURES = ("egemaps", "byol-s")
HALVINGS = 120
_TRIED = 1_000
COLUMNS = ("halving", "half", "division", "speaker", "emotion", "clips", "right")


def halvings(n: int, times: int, seed: int = 0) -> np.ndarray:
    """Return halvings of speakers in which each two of them are together about equally often.

    Each is, of a thousand random ones, that which leaves the numbers of times that two speakers were together most
    equal. Forty such give the variance of a mean over 10 to 34 speakers with an error of about a tenth; forty random
    ones err by twice that. What training adds is not balanced.

    Source:
        McCarthy, "Pseudo-replication: half samples", Review of the International Statistical Institute 37, 1969, whose
        halvings are balanced exactly, for numbers of speakers for which an orthogonal array of that size is known.

    Args:
        n: Number of speakers.
        times: Number of halvings.
        seed: Of the random halvings.

    Returns:
        Integers 0 or 1 of shape (times, n): the half of each speaker; of an odd number half 1 has one more. The first
        rows do not depend on how many follow.

    Examples:
        >>> halvings(4, 3).sum(axis=1).tolist()
        [2, 2, 2]
    """
    rng, together, found = np.random.default_rng(seed), np.zeros((n, n)), []
    for _ in range(times):
        tried = rng.permuted(np.broadcast_to(np.arange(n) >= n // 2, (_TRIED, n)), axis=1).astype(int)
        signs = 2.0 * tried - 1
        best = np.einsum("ti,ij,tj->t", signs, together, signs, optimize=True).argmin()
        together += np.outer(signs[best], signs[best])
        found.append(tried[best])
    return np.stack(found)


def scored(
    corpus: str,
    extractor: str,
    model: str = "logreg",
    normalisation: str = "train",
    *,
    labels: str = "native",
    folds: int | str = 5,
    n_halvings: int = HALVINGS,
    n_divisions: int = 2,
    seed: int = 0,
    jobs: int = 1,
) -> pd.DataFrame:
    """Cross-validate a classical system inside halves of a corpus's speakers.

    Each half is a corpus of its own: its speakers are divided into as many folds as the whole is, and nobody of the
    other half is trained on. A class that a training part lacks is never answered.

    Args:
        corpus: The corpus.
        extractor: Feature set.
        model: A key of `ser_core.systems.classifiers.MODELS`, with its default setting.
        normalisation: A key of `ser_core.systems.classifiers.NORMALISATIONS` but ``coral`` and ``tfidf``.
        labels: Label harmonisation.
        folds: Number of folds or ``loo``; with more folds than a half has speakers, one is left out at a time.
        n_halvings: Number of halvings, see `halvings`.
        n_divisions: Divisions of each half; one where a speaker is left out at a time, for there is no other.
        seed: Of halvings, divisions and classifiers.
        jobs: Processes.

    Returns:
        The columns `COLUMNS`: for each halving, half (0 or 1), division, speaker and emotion the number of clips and
        how many of them were recognised.

    Raises:
        SerError: If a name is unknown or features are missing.
    """
    import joblib

    clips = clips_of(corpus, labels)
    table = classifiers.normalise(features.load(corpus, extractor).loc[clips.index], clips, normalisation)
    x = table.astype("float32")
    speakers = np.sort(clips["speaker"].unique().astype("object"))
    halved = halvings(len(speakers), n_halvings, seed)
    tasks = [(number, half, speakers[halved[number] == half]) for number in range(n_halvings) for half in (0, 1)]
    with workers.pool(jobs):
        done = joblib.Parallel()(
            joblib.delayed(_half)(
                x, clips[clips["speaker"].isin(who)], model, normalisation, folds, number, half, n_divisions, seed
            )
            for number, half, who in tasks
        )
    return pd.concat(done, ignore_index=True)


def _half(
    x: pd.DataFrame,
    own: pd.DataFrame,
    model: str,
    normalisation: str,
    folds: int | str,
    number: int,
    half: int,
    n_divisions: int,
    seed: int,
) -> pd.DataFrame:
    """Return the rows of one half of one halving."""
    n = own["speaker"].nunique()
    all_but_one = folds == "loo" or folds >= n
    tables = []
    for division in range(1 if all_but_one else n_divisions):
        made = splits.make(
            own, "speaker", n_folds="loo" if all_but_one else folds, seed=seed + 2 * division + half, dev=False
        )
        right = pd.Series(False, index=own.index)
        for _, rows in made.groupby("fold"):
            train, test = (rows.loc[rows["role"] == role, "clip"] for role in ("train", "test"))
            system = classifiers.pipeline(model, normalisation, seed=seed)
            system.fit(x.loc[train].to_numpy(), own.loc[train, "emotion"].to_numpy("object"))
            right[test] = system.predict(x.loc[test].to_numpy()) == own.loc[test, "emotion"].to_numpy("object")
        found = right.groupby([own["speaker"], own["emotion"]]).agg(clips="size", right="sum").reset_index()
        tables.append(found.assign(halving=number, half=half, division=division))
    whole = pd.concat(tables, ignore_index=True)[list(COLUMNS)]
    return whole.astype({name: "int16" for name in COLUMNS if name not in ("speaker", "emotion")})


def spread(table: pd.DataFrame, minus: pd.DataFrame | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return each half's UAR and its variance over test speakers, for `ser_core.evaluation.procedure.widening`.

    Args:
        table: From `scored`.
        minus: Of another system on the same halves, whose UAR is subtracted.

    Returns:
        Scores of shape (R, 2, D); and of shape (R, 2) the squared standard error of their mean over the D divisions,
        by the jackknife over the speakers of a half.

    Raises:
        SerError: If ``minus`` is not of the same clips.
    """
    scores, left_out = _uars(table)
    if minus is not None:
        same = [name for name in COLUMNS if name != "right"]
        if not table[same].equals(minus[same]):
            raise SerError("the two systems were not scored on the same halves; give both the same folds and seed")
        others = _uars(minus)
        scores, left_out = scores - others[0], left_out - others[1]
    n = np.isfinite(left_out).sum(axis=2)
    deviations = left_out - np.nanmean(left_out, axis=2, keepdims=True)
    return scores, (n - 1) / n * np.nansum(np.square(deviations), axis=2)


def _uars(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return UARs of shape (R, 2, D), and (R, 2, G) of their means without one speaker, NaN if not in the half."""
    index = [pd.factorize(table[name], sort=True)[0] for name in COLUMNS[:5]]
    clips = np.zeros([code.max() + 1 for code in index])
    right = clips.copy()
    np.add.at(clips, tuple(index), table["clips"].to_numpy())
    np.add.at(right, tuple(index), table["right"].to_numpy())
    total, hits = clips.sum(axis=3), right.sum(axis=3)

    def uar(hits: np.ndarray, total: np.ndarray) -> np.ndarray:
        recalls = np.divide(hits, total, out=np.full(total.shape, np.nan), where=total > 0)
        return np.nanmean(recalls, axis=-1)

    without = uar(hits[:, :, :, None] - right, total[:, :, :, None] - clips).mean(axis=2)
    return uar(hits, total), np.where(clips.sum(axis=(2, 4)) > 0, without, np.nan)


def path(system: str) -> Path:
    """Return where the committed table of a system is.

    Args:
        system: ``<corpus>.<features>.<model>.<normalisation>``, as ``ravdess.egemaps.logreg.train``.
    """
    return paths.results() / "halves" / f"{system}.parquet"


def widening(systems: Sequence[str], minus: Sequence[str] | None = None) -> float:
    """Return `ser_core.evaluation.procedure.widening` of committed halves, of one or more systems together.

    Args:
        systems: Names, see `path`. Several systems of a corpus give a factor that depends less on chance than one.
        minus: As many names, for the factor of a difference; each is subtracted from the system at its place.

    Returns:
        The factor, 1 or more.

    Raises:
        SerError: If a table is not there, or two that are subtracted are not of the same halves.
    """
    others = [None] * len(systems) if minus is None else [files.read_parquet(path(name)) for name in minus]
    found = [spread(files.read_parquet(path(a)), b) for a, b in zip(systems, others, strict=True)]
    return procedure.widening(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def factor(corpus: str) -> float:
    """Return the factor by which intervals on a corpus are widened: that of all its committed halves together.

    Args:
        corpus: A corpus.

    Returns:
        The factor of `widening`; 1 for a corpus that was not halved, because its speakers allow no interval.

    Examples:
        >>> factor("savee")
        1.0
    """
    if corpus not in FOLDS:
        return 1.0
    return widening(sorted(found.stem for found in path("x").parent.glob(f"{corpus}.*.parquet")))


def write(corpus: str, extractor: str, *, jobs: int = 1) -> Path:
    """Write the halves of logistic regression on one feature set to its `path`; the same bytes every time.

    Args:
        corpus: A key of `FOLDS`.
        extractor: Feature set.
        jobs: Processes.

    Returns:
        The path.
    """
    target = path(f"{corpus}.{extractor}.logreg.train")
    files.write_parquet(scored(corpus, extractor, folds=FOLDS[corpus], jobs=jobs), target)
    return target
