"""How clips are divided so that no speaker, sentence, session or corpus is on both sides, dev part included."""

import itertools
import warnings
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd

from ser_core.data import clips as clips_table
from ser_core.errors import RefusalError

# Greedy stratified grouping can miss a class that another shuffle gives to every part, so a few are tried.
_SHUFFLES = 20
# Cross-corpus dev part: 1 of 4 groups of the training speakers, the share that 5-fold cross-validation gives.
_DEV_GROUPS = 4
# Few-shot protocols: minimum number of held-out speakers of the tested corpus.
_LEAST_TESTED = 3

Parts = tuple[pd.Index, pd.Index, pd.Index]


def folds_of(
    clips: pd.DataFrame, grouping: tuple[str, ...], n_folds: int | Literal["loo"], seed: int, dev: bool
) -> tuple[list[Parts], tuple[str, ...]]:
    """Divide clips into folds of train, dev and test parts.

    Args:
        clips: A Clips table, sorted by clip.
        grouping: Columns of which train/dev and test may share no value: none, one or two of them.
        n_folds: Number of groups of each column's values (a column with fewer values: one group a value, as
            long as it is not the first), or ``"loo"``: one group a value. Two columns give one fold for each
            pair of groups.
        seed: Of every random choice.
        dev: Whether to set a dev part aside, about as large as the test part.

    Returns:
        The (train, dev, test) clip ids of each fold, and the columns of which train and dev share no value.

    Raises:
        RefusalError: If the clips cannot be divided so.
    """
    if not grouping:
        return list(_random(clips, int(n_folds), seed, dev)), ()
    groups = {}
    for column in grouping:
        _require(clips, column)
        n_values = clips[column].nunique()
        k = n_values if n_folds == "loo" or (column != grouping[0] and n_values < n_folds) else n_folds
        if k > n_values or n_values < 2:
            raise RefusalError(
                f"{_corpus(clips)} has {n_values} {column}s, too few for {max(k, 2)} {column}-disjoint folds; "
                + (f"ask for at most {n_values} (n_folds='loo')" if n_values > 1 else "use protocol 'clip'")
            )
        groups[column] = _groups(clips, column, k, np.random.RandomState([seed, 0]))
    dev_grouping = _dev_grouping(clips, groups) if dev else ()
    folds = []
    for fold, values in enumerate(itertools.product(*(range(g.max() + 1) for g in groups.values()))):
        inside = [groups[column] == value for column, value in zip(grouping, values, strict=True)]
        test = clips.index[np.logical_and.reduce(inside)]
        rest = clips[~np.logical_or.reduce(inside)]
        if not len(test):  # no speaker of this group says a sentence of that one
            continue
        k = max(max(groups[column].max() for column in dev_grouping), 2) if dev else 0
        train_dev = _set_dev_aside(rest, dev_grouping, k, np.random.RandomState([seed, fold + 1])) if dev else None
        train, dev_part = train_dev or (rest.index, rest.index[:0])
        folds.append((train, dev_part, test))
    return folds, dev_grouping


def across_corpora(clips: pd.DataFrame, shots: int, seed: int, dev: bool) -> tuple[dict[int, Parts], dict[str, str]]:
    """Divide a union of corpora so that each is tested on what was trained on the others.

    Args:
        clips: A Clips table of two corpora or more, sorted by clip.
        shots: Speakers of the tested corpus, drawn at random, that join the train part and are not tested. With the
            same seed the first of many are the same as a few.
        seed: Of every random choice.
        dev: Whether to set a dev part aside: speakers of the corpora trained on, with about a quarter of their clips.

    Returns:
        The (train, dev, test) clip ids of each fold, which is the place of the tested corpus in alphabetical order;
        and why a corpus is not tested, by its name.

    Raises:
        RefusalError: If there is one corpus only, some speaker is not named and dev or shots need it, or no corpus
            has enough speakers.
    """
    names = sorted(clips["corpus"].unique())
    if len(names) < 2:
        raise RefusalError(
            f"{names[0]} is one corpus, and none is left to train on; name several, such as 'emodb+ravdess', or use "
            f"protocol 'speaker'"
        )
    if dev or shots:
        for name in names:
            _require(clips[clips["corpus"] == name], "speaker")
    folds, refused = {}, {}
    for fold, name in enumerate(names):
        inside = clips["corpus"] == name
        source, target = clips[~inside], clips[inside]
        speakers = np.sort(target["speaker"].unique().astype("object")) if shots else []
        if shots and len(speakers) < shots + _LEAST_TESTED:
            refused[name] = (
                f"{name} is not tested: it has {len(speakers)} speakers, too few for {shots} to train on and at least "
                f"{_LEAST_TESTED} to test"
            )
            continue
        shown = target["speaker"].isin(np.random.RandomState([seed, 2**21 + fold]).permutation(speakers)[:shots])
        parts = (
            _set_dev_aside(source, ("speaker",), _DEV_GROUPS, np.random.RandomState([seed, fold + 1])) if dev else ()
        )
        train, dev_part = parts or (source.index, source.index[:0])
        folds[fold] = (train.append(target.index[shown]), dev_part, target.index[~shown])
    if not folds:
        raise RefusalError(f"{_corpus(clips)}: {'; '.join(refused.values())}; use protocol 'corpus'")
    return folds, refused


def _dev_grouping(clips: pd.DataFrame, groups: dict[str, pd.Series]) -> tuple[str, ...]:
    """Return the columns whose values suffice for train, dev and test; the first is always needed."""
    first, *others = groups
    left = {name: clips[name].nunique() - clips[name].groupby(groups[name]).nunique().max() for name in others}
    return (first, *(name for name in others if left[name] >= 2))


def _random(clips: pd.DataFrame, n_folds: int, seed: int, dev: bool) -> Iterator[Parts]:
    from sklearn.model_selection import StratifiedKFold

    def divide(table: pd.DataFrame, k: int, state: np.random.RandomState) -> Iterator[tuple[pd.Index, pd.Index]]:
        with warnings.catch_warnings():
            # A class with fewer clips than folds: `make` notes the test parts that lack it.
            warnings.filterwarnings("ignore", message="The least populated class")
            splitter = StratifiedKFold(k, shuffle=True, random_state=state)
            for rest, part in splitter.split(table, table["emotion"]):
                yield table.index[rest], table.index[part]

    commonest = clips["emotion"].value_counts().max()
    if n_folds > commonest:
        raise RefusalError(f"{_corpus(clips)} has at most {commonest} clips a class, too few for {n_folds} folds")
    for fold, (rest, test) in enumerate(divide(clips, n_folds, np.random.RandomState([seed, 0]))):
        if dev:
            state = np.random.RandomState([seed, fold + 1])
            train, dev_part = next(divide(clips.loc[rest], max(n_folds - 1, 2), state))
            yield train, dev_part, test
        else:
            yield rest, rest[:0], test


def _set_dev_aside(
    rest: pd.DataFrame, grouping: tuple[str, ...], k: int, state: np.random.RandomState
) -> tuple[pd.Index, pd.Index]:
    """Return train and dev clips of what the test part left; one of ``k`` groups of each column is dev's."""
    inside = []
    for column in grouping:
        left = rest[column].nunique()
        if left < 2:
            raise RefusalError(
                f"{_corpus(rest)}: the test part leaves {left} {column} for training, so no {column}-disjoint dev part "
                f"is possible; pass dev=False to train without one, or ask for more folds"
            )
        k_left = min(k, left)
        inside.append(_groups(rest, column, k_left, state) == state.randint(k_left))
    dev = np.logical_and.reduce(inside)
    return rest.index[~np.logical_or.reduce(inside)], rest.index[dev]


def _groups(clips: pd.DataFrame, column: str, k: int, state: np.random.RandomState) -> pd.Series:
    """Return for each clip the number, below ``k``, of the group that its value of ``column`` is in.

    Groups are stratified by emotion, and by gender where it is known, with scikit-learn's greedy
    StratifiedGroupKFold; of a few shuffles the first that leaves fewest (group, emotion) pairs empty is taken.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    values = clips[column]
    if k == values.nunique():
        return pd.Series(pd.factorize(values, sort=True)[0], index=clips.index)
    # The splitter refuses strata that all have fewer clips than there are groups.
    candidates = (clips["emotion"] + clips["gender"].fillna(""), clips["emotion"], pd.Series("", index=clips.index))
    strata = next(each for each in candidates if each.value_counts().max() >= k)
    best, fewest = None, None
    for _ in range(_SHUFFLES):
        groups = pd.Series(-1, index=clips.index)
        splitter = StratifiedGroupKFold(k, shuffle=True, random_state=state.randint(2**31))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            for number, (_, part) in enumerate(splitter.split(clips, strata, values)):
                groups.iloc[part] = number
        pairs = pd.DataFrame({"group": groups, "emotion": clips["emotion"]}).drop_duplicates()
        filled = pairs["group"].nunique()
        empty = filled * clips["emotion"].nunique() - len(pairs) + k - filled
        if fewest is None or empty < fewest:
            best, fewest = groups, empty
        if fewest == 0:
            break
    return best


def _require(clips: pd.DataFrame, column: str) -> None:
    missing = clips[column].isna()
    if missing.any():
        by_voice = ", or divide by voices: ser split --voices" if column == "speaker" else ""
        raise RefusalError(
            f"{_corpus(clips)} states no {column} for {missing.sum()} of {len(clips)} clips, first "
            f"'{clips.index[missing][0]}'; a {column}-disjoint split needs it for all: "
            f"fill the column, or use 'clip'{by_voice}"
        )


def _corpus(clips: pd.DataFrame) -> str:
    return clips_table.describe(clips).partition(":")[0]
