"""Whether Folds keep the promise of their protocol, and whether they can be scored as is meant."""

import pandas as pd

from ser_core.data.splits import protocols
from ser_core.errors import RefusalError, SerError

ROLES = ("train", "dev", "test")


def check(folds: pd.DataFrame, clips: pd.DataFrame) -> None:
    """Make sure that Folds keep the promise of their protocol.

    Args:
        folds: Folds with ``attrs["protocol"]``; a dev part narrower than the protocol's rule says so in
            ``attrs["dev_grouping"]``.
        clips: The Clips table they were made from.

    Raises:
        SerError: If a column is missing, a role or clip is unknown, a clip has two roles in a fold or is tested
            twice, a k-fold protocol leaves a clip untested, a train or test part is empty, two parts share a
            speaker, sentence, session or corpus that the protocol keeps apart, or a fold trains on more or fewer
            speakers of the tested corpus than the protocol says. The message names fold, clip and value.
    """
    name = folds.attrs.get("protocol")
    rule = protocols.GIVEN if name == "given" else protocols.get(name)
    if missing := {"clip", "fold", "role"} - set(folds):
        raise SerError(f"folds lack the columns {sorted(missing)}; they have {list(folds.columns)}")
    if not len(folds):
        raise SerError("the folds are empty; expected a row for each clip and fold")
    _first(folds, ~folds["role"].isin(ROLES), f"has a role that is none of {list(ROLES)}")
    _first(folds, ~folds["clip"].isin(clips.index), "is not in the Clips table")
    _first(folds, folds.duplicated(["fold", "clip"]), "has more than one role")
    test = folds[folds["role"] == "test"]
    _first(test, test["clip"].duplicated(), "is tested in an earlier fold already")
    untested = clips.index.difference(test["clip"])
    if name != "given" and not rule.published and not rule.shots and len(untested):
        raise SerError(f"'{name}' tests every clip, but {len(untested)} are in no test part, first '{untested[0]}'")
    sizes = folds.groupby(["fold", "role"]).size().unstack(fill_value=0).reindex(columns=list(ROLES), fill_value=0)
    for role in ("train", "test"):
        if (sizes[role] == 0).any():
            raise SerError(f"fold {sizes.index[sizes[role] == 0][0]} has no {role} clip")
    dev_grouping = folds.attrs.get("dev_grouping") or rule.dev_grouping
    if not set(dev_grouping) <= set(rule.dev_grouping):
        raise SerError(f"'{name}' groups dev by {list(rule.dev_grouping)}, but the folds say {list(dev_grouping)}")
    dev_grouping = dev_grouping if sizes["dev"].any() else ()
    for columns, part, others in ((rule.test_grouping, "test", ["train", "dev"]), (dev_grouping, "dev", ["train"])):
        for column in columns:
            _check_apart(folds, clips[column], part, others)
    if rule.shots:
        _check_shots(folds, clips, rule.shots)


def check_scoring(folds: pd.DataFrame, clips: pd.DataFrame, *, per_fold: bool) -> None:
    """Make sure that Folds can be scored as is meant: class by class in each fold, or pooled.

    Args:
        folds: Folds.
        clips: The Clips table they were made from.
        per_fold: True for a UAR of each fold, which needs each class in each test part; False for one
            score of the pooled predictions, which needs each class in some test part.

    Raises:
        RefusalError: If a class is missing; the message names folds and classes.

    Examples:
        >>> table = pd.DataFrame({"emotion": ["sad", "happy"]}, index=["x", "y"])
        >>> folds = pd.DataFrame({"clip": ["x", "y"], "fold": [0, 1], "role": "test"})
        >>> check_scoring(folds, table, per_fold=False)
        >>> check_scoring(folds, table, per_fold=True)
        Traceback (most recent call last):
        ser_core.errors.RefusalError: no UAR per fold: fold 0 has no happy; fold 1 has no sad; pool the predictions
    """
    without = absent(folds if per_fold else folds.assign(fold=0), clips)
    if without and per_fold:
        shown = [f"fold {fold} has no {', '.join(names)}" for fold, names in list(without.items())[:3]]
        more = [f"and {len(without) - 3} more folds"] if len(without) > 3 else []
        raise RefusalError(f"no UAR per fold: {'; '.join(shown + more)}; pool the predictions")
    if without:
        raise RefusalError(
            f"no UAR: no test part has {', '.join(without[0])}; choose a protocol that tests all classes"
        )


def check_training(folds: pd.DataFrame, clips: pd.DataFrame) -> None:
    """Make sure that each fold trains on every class that it tests; a class that it only trains on is no fault.

    Args:
        folds: Folds.
        clips: The Clips table they were made from.

    Raises:
        RefusalError: If a fold tests a class that its train part lacks; the message names both.

    Examples:
        >>> table = pd.DataFrame({"emotion": ["sad", "happy", "sad"]}, index=["x", "y", "z"])
        >>> folds = pd.DataFrame({"clip": ["x", "y", "z"], "fold": 0, "role": ["train", "train", "test"]})
        >>> check_training(folds, table)
        >>> check_training(folds.assign(role=["test", "test", "train"]), table)
        Traceback (most recent call last):
        ser_core.errors.RefusalError: fold 0 tests the classes ['happy'], which its training part does not have
    """
    for fold, names in absent(folds, clips, "train").items():
        tested = folds.loc[(folds["fold"] == fold) & (folds["role"] == "test"), "clip"]
        if untrained := sorted(set(clips.loc[tested, "emotion"]) & set(names)):
            raise RefusalError(f"fold {fold} tests the classes {untrained}, which its training part does not have")


def absent(folds: pd.DataFrame, clips: pd.DataFrame, role: str = "test") -> dict[int, list[str]]:
    """Return which classes of the corpus a part lacks.

    Args:
        folds: Folds.
        clips: The Clips table they were made from.
        role: The part: train, dev or test.

    Returns:
        The classes for each fold that lacks some; folds without that part are left out.
    """
    part = folds[folds["role"] == role]
    there = part["clip"].map(clips["emotion"]).groupby(part["fold"]).unique()
    names = set(clips["emotion"])
    return {int(fold): sorted(left) for fold, of in there.items() if (left := names.difference(of))}


def promised(folds: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns that the protocol of Folds keeps apart between test and the rest; none if it is unknown."""
    rule = protocols.PROTOCOLS.get(folds.attrs.get("protocol"), protocols.GIVEN)
    return rule.test_grouping


def _first(folds: pd.DataFrame, bad: pd.Series, what: str) -> None:
    if bad.any():
        row = folds[bad].iloc[0]
        raise SerError(f"fold {row['fold']}: clip '{row['clip']}' ({row['role']}) {what} ({bad.sum()} such rows)")


def _check_apart(folds: pd.DataFrame, values: pd.Series, part: str, others: list[str]) -> None:
    column = values.name
    if missing := int(values.loc[folds["clip"].unique()].isna().sum()):
        raise SerError(f"{missing} clips of the folds have no {column}, so nothing keeps the {column}s apart")
    named = folds[["fold", "role"]].assign(value=folds["clip"].map(values)).drop_duplicates()
    shared = named[named["role"] == part].merge(named[named["role"].isin(others)], on=["fold", "value"])
    if len(shared):
        row = shared.iloc[0]
        raise SerError(
            f"fold {row['fold']}: {column} '{row['value']}' is in both {part} and {row['role_y']}, which "
            f"'{folds.attrs['protocol']}' keeps apart ({len(shared)} such cases)"
        )


def _check_shots(folds: pd.DataFrame, clips: pd.DataFrame, shots: int) -> None:
    """Raise unless each fold tests all speakers of one corpus but as many as are to be trained on."""
    for fold, rows in folds.groupby("fold"):
        part = {role: clips.loc[table["clip"]] for role, table in rows.groupby("role")}
        names = sorted(part["test"]["corpus"].unique())
        target = clips[clips["corpus"].isin(names)]
        tested = target["speaker"].isin(part["test"]["speaker"])
        kept = target.loc[~tested, "speaker"].nunique()
        if len(names) > 1 or kept != shots or tested.sum() != len(part["test"]):
            raise SerError(
                f"fold {fold}: {len(part['test'])} of {len(target)} clips of {', '.join(names)} are tested, without "
                f"{kept} speakers; '{folds.attrs['protocol']}' tests one corpus, all but {shots} speakers of it"
            )
        if "dev" in part and (inside := part["dev"]["corpus"].isin(names)).any():
            raise SerError(f"fold {fold}: dev clip '{part['dev'].index[inside][0]}' is of the corpus that is tested")
