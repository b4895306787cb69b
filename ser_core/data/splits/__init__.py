"""Who is trained on and who is tested: named protocols -> Folds, their promises, and the check that they are kept."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ser_core import files
from ser_core.data.corpora.base import read_csv
from ser_core.data.splits import grouped
from ser_core.data.splits.checks import ROLES, absent, check, check_scoring, check_training, promised
from ser_core.data.splits.protocols import PROTOCOLS, describe, get
from ser_core.errors import RefusalError, SerError

SEEDS = 2**32
"""How many seeds there are: those that numpy's older generator, which draws folds, takes."""

__all__ = [
    "PROTOCOLS",
    "ROLES",
    "absent",
    "check",
    "check_scoring",
    "check_training",
    "describe",
    "make",
    "promised",
    "read",
]


def make(
    clips: pd.DataFrame,
    protocol: str,
    *,
    n_folds: int | Literal["loo"] = 5,
    seed: int = 0,
    train_clips: int | None = None,
    dev: bool = True,
) -> pd.DataFrame:
    """Divide clips into train, dev and test parts by a named protocol.

    In the k-fold protocols (`clip`, `speaker`, `sentence`, `speaker+sentence`, `session`) each clip is tested once,
    and dev, about as large as the test part, obeys the grouping of the test part: it shares with train no value of
    the columns of which test shares none with either. `speaker+sentence` makes one fold for each pair of a speaker
    group and a sentence group; clips with only one of the two are left out of that fold. Where fewer than three
    sentence groups exist (RAVDESS has two sentences) no third is left for dev, which is then disjoint by speaker
    only; ``attrs["dev_grouping"]`` says which it is. Groups are stratified by emotion and, where known, gender.

    `corpus` leaves one corpus of a union out at a time: fold k tests all clips of the k-th in alphabetical order. Where
    there are two, none is left for dev, so dev is speakers of the corpora trained on, with about a quarter of their
    clips. In `corpus+2`, `corpus+5` and `corpus+10` so many speakers of the tested corpus, drawn by the seed, are
    trained on and the others tested; a corpus with fewer than three others is trained on only, and has no fold.

    Args:
        clips: A Clips table.
        protocol: One of `PROTOCOLS`.
        n_folds: Number of folds, at least 2; in `speaker+sentence` of speaker groups, and at most of sentence groups.
            ``"loo"`` leaves one speaker (sentence, session) out at a time. Published splits are one fold and
            use neither ``n_folds`` nor ``seed``; `corpus` and its kind make a fold a corpus, whatever ``n_folds``.
        seed: Of every random choice, from 0 to `SEEDS` - 1.
        train_clips: Thin each train part to this many clips, stratified by emotion, so that protocols can be compared
            at equal training size.
        dev: False for no dev part; its clips are then trained on.

    Returns:
        Folds: columns clip, fold (from 0), role; sorted by fold, role (train, dev, test), clip.
        ``attrs`` has protocol, seed, n_folds (the number there are), dev_grouping, notes, which list each train
        and test part that lacks a class, and refused, which lists the folds of `corpus+2` and its kind left out.

    Raises:
        RefusalError: If the corpus cannot support the protocol; the message says why and what to do instead.
        SerError: If an argument is not allowed.

    Examples:
        >>> table = pd.DataFrame({"speaker": list("aabbccdd"), "emotion": ["sad", "happy"] * 4}, index=list("stuvwxyz"))
        >>> table = table.assign(corpus="toy", language="en", gender=None).rename_axis("clip")
        >>> folds = make(table, "speaker", n_folds=4)
        >>> folds[folds["fold"] == 0].groupby("role").size().to_dict()
        {'dev': 2, 'test': 2, 'train': 4}
        >>> check(folds, table)
    """
    rule = get(protocol)
    if n_folds != "loo" and (not isinstance(n_folds, int | np.integer) or n_folds < 2):
        raise SerError(f"n_folds={n_folds!r}: expected an integer of 2 or more, or 'loo'")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < SEEDS:
        raise SerError(f"seed={seed!r}: expected an integer from 0 to {SEEDS - 1}")
    clips, refused = clips.sort_index(), {}
    if rule.published:
        if not dev:
            raise SerError(f"dev=False: '{protocol}' is a published split and comes with the dev part it has")
        parts, dev_grouping, seed = {0: rule.published(clips)}, rule.dev_grouping, rule.seed
    elif rule.shots is not None:
        parts, refused = grouped.across_corpora(clips, rule.shots, seed, dev)
        dev_grouping = rule.dev_grouping
    else:
        if n_folds == "loo" and not rule.test_grouping:
            raise SerError(f"n_folds='loo' needs a protocol that groups, not '{protocol}'; give a number of folds")
        made, dev_grouping = grouped.folds_of(clips, rule.test_grouping, n_folds, seed, dev)
        parts = dict(enumerate(made))
    rows = []
    for fold, (train, dev_part, test) in parts.items():
        if train_clips is not None:
            train = _thin(clips.loc[train, "emotion"], train_clips, np.random.RandomState([seed, 2**20 + fold]), fold)
        for role, part in zip(ROLES, (train, dev_part, test), strict=True):
            rows.append(pd.DataFrame({"clip": part.sort_values(), "fold": fold, "role": role}))
    folds = pd.concat(rows, ignore_index=True).astype({"clip": "str", "role": "str", "fold": "int64"})
    folds.attrs = {
        "protocol": protocol,
        "seed": int(seed),
        "n_folds": len(parts),
        "dev_grouping": list(dev_grouping) if dev else None,
        "notes": [
            f"fold {fold}: no {', '.join(names)} in {role}"
            for role in ("train", "test")
            for fold, names in absent(folds, clips, role).items()
        ],
        "refused": list(refused.values()),
    }
    check(folds, clips)
    return folds


def read(path: Path, clips: pd.DataFrame) -> pd.DataFrame:
    """Read Folds of your own, for the audit and for scoring.

    Args:
        path: A CSV or parquet file with the columns clip and role (train, dev, test), and fold if there are several.
        clips: The Clips table they divide.

    Returns:
        Folds, as from `make`, with the protocol ``given``, which promises nothing.

    Raises:
        SerError: If the file cannot be read, a column is missing, or `check` finds a fault.
    """
    path = Path(path)
    if not path.is_file():
        raise SerError(f"{path}: no such file; expected a CSV or parquet with the columns clip, fold, role")
    table = files.read_parquet(path) if path.suffix.lower() == ".parquet" else read_csv(path, ("clip", "role"))
    if missing := [name for name in ("clip", "role") if name not in table]:
        raise SerError(f"{path}: lacks the columns {missing}; it has {list(table.columns)}")
    table = table.assign(fold=table["fold"] if "fold" in table else 0)[["clip", "fold", "role"]]
    if table.isna().any(axis=None):
        raise SerError(f"{path}: {table.isna().any(axis=1).sum()} rows have an empty clip, fold or role")
    numbers = pd.to_numeric(table["fold"], errors="coerce")
    if (broken := numbers.mod(1) != 0).any():
        raise SerError(f"{path}: fold {table.loc[broken, 'fold'].iloc[0]!r} is no whole number")
    if (numbers.abs() > 10**6).any():
        raise SerError(f"{path}: fold {table.loc[numbers.abs().idxmax(), 'fold']} is too large; number folds from 0")
    if odd := [value for value in table["role"] if not isinstance(value, str)]:
        raise SerError(f"{path}: the role {odd[0]!r} is no text; expected one of {list(ROLES)}")
    table = table.assign(fold=numbers.astype("int64"), clip=table["clip"].astype("str"))
    if (twice := table.duplicated()).any():
        row = table[twice].iloc[0]
        raise SerError(
            f"{path}: clip '{row['clip']}' stands twice in fold {row['fold']} as {row['role']}; leave one out"
        )
    order = table.assign(rank=table["role"].map({role: i for i, role in enumerate(ROLES)}))
    folds = order.sort_values(["fold", "rank", "clip"], ignore_index=True).drop(columns="rank")
    folds = folds.astype({"clip": "str", "role": "str"})
    folds.attrs = {"protocol": "given", "seed": 0, "n_folds": folds["fold"].nunique(), "dev_grouping": []}
    unused = clips.index.difference(folds["clip"])
    notes = (
        [f"{len(unused)} of {len(clips)} clips are in no part of {path.name}, first '{unused[0]}'"]
        if len(unused)
        else []
    )
    untested = clips.index.difference(folds.loc[folds["role"] == "test", "clip"]).difference(unused)
    if folds["fold"].nunique() > 1 and len(untested):
        notes.append(f"{len(untested)} of {len(clips)} clips are in no test part, first '{untested[0]}'")
    folds.attrs |= {"notes": notes, "refused": []}
    check(folds, clips)
    return folds


def _thin(emotions: pd.Series, n: int, state: np.random.RandomState, fold: int) -> pd.Index:
    """Return ``n`` of the clips, each emotion in its proportion."""
    if not 0 < n <= len(emotions):
        raise RefusalError(f"train_clips={n}: fold {fold} has {len(emotions)} train clips; ask for 1 to that many")
    emotions = emotions.iloc[state.permutation(len(emotions))]
    by_emotion = emotions.groupby(emotions)
    # The i-th of m clips of an emotion stands at (i + 1/2) / m: the first n places take each in proportion.
    place = (by_emotion.cumcount() + 0.5) / by_emotion.transform("size")
    return place.sort_values(kind="stable").index[:n]
