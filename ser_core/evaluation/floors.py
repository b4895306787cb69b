"""The floors of a score: what is reached without listening, by class frequencies or by knowing who speaks."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ser_core.errors import RefusalError, SerError
from ser_core.evaluation import metrics

LOOKUPS = ("speaker", "sentence", "gender", "session", "corpus")
"""What may be looked up. ``corpus`` is for merged ones: where one of them alone has a class, its name gives it away."""


def _parts(clips: pd.DataFrame, folds: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame, pd.DataFrame]]:
    """Yield (fold, train clips, test clips); the dev part is in neither."""
    unknown = folds.loc[~folds["clip"].isin(clips.index), "clip"]
    if len(unknown):
        raise SerError(
            f"the folds have {len(unknown)} clips that are not in the Clips table, first '{unknown.iloc[0]}'"
        )
    for fold, rows in folds.groupby("fold", sort=True):
        parts = {role: clips.loc[rows.loc[rows["role"] == role, "clip"]] for role in ("train", "test")}
        for role, part in parts.items():
            if part.empty:
                raise SerError(f"fold {fold} has no {role} clip; a floor needs both train and test")
        yield int(fold), parts["train"], parts["test"]


def _ranked(emotions: pd.Series) -> pd.Index:
    """Return the emotions, commonest first, ties alphabetically."""
    return emotions.value_counts().sort_index().sort_values(ascending=False, kind="stable").index


def _looked_up(train: pd.DataFrame, test: pd.DataFrame, by: str, metric: str) -> np.ndarray:
    """Return for each test clip the train emotion that answers best to its value of ``by``, see `lookup`."""
    ranked = _ranked(train["emotion"])
    counts = train.groupby(by)["emotion"].value_counts().reset_index()
    counts["rank"] = ranked.get_indexer(counts["emotion"])
    whole = train["emotion"].value_counts() if metric == "uar" else pd.Series(1, index=ranked)
    counts["gain"] = counts["count"] / counts["emotion"].map(whole)
    best = counts.sort_values(["gain", "rank"], ascending=[False, True]).drop_duplicates(by)
    return test[by].map(best.set_index(by)["emotion"]).fillna(ranked[0]).to_numpy(dtype=object)


def _frame(test: pd.DataFrame, fold: int, prediction: object) -> pd.DataFrame:
    """Return predictions in the form of a Run."""
    table = pd.DataFrame({"clip": test.index, "speaker": test["speaker"].to_numpy()})
    table["fold"], table["seed"] = np.int32(fold), np.int32(0)
    table["truth"] = test["emotion"].to_numpy()
    table["prediction"] = pd.Series(prediction, index=table.index, dtype="str")
    return table


def majority(clips: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """Predict the commonest emotion of each fold's train part, ties alphabetically.

    Args:
        clips: A Clips table.
        folds: Folds of it; the train role is used, the dev role is not.

    Returns:
        Predictions: clip, speaker, fold, seed (0), truth, prediction; one row for each test clip.

    Raises:
        SerError: If a fold lacks train or test clips, or has clips that are not in the table.

    Examples:
        >>> clips = pd.DataFrame({"speaker": ["a", "a", "b"], "emotion": ["sad", "happy", "sad"]}, index=list("xyz"))
        >>> folds = pd.DataFrame({"clip": list("yzx"), "fold": 0, "role": ["train", "train", "test"]})
        >>> majority(clips, folds)["prediction"].tolist()
        ['happy']
    """
    return pd.concat(
        [_frame(test, fold, _ranked(train["emotion"])[0]) for fold, train, test in _parts(clips, folds)],
        ignore_index=True,
    )


def lookup(clips: pd.DataFrame, folds: pd.DataFrame, by: str, metric: str = "wa") -> pd.DataFrame:
    """Predict the commonest train emotion of the clip's speaker, sentence, gender, session or corpus.

    A system that hears only *who* speaks, or *what* is said, can score this much without hearing an emotion; on merged
    corpora, one that hears only *which recordings* these are.
    Ties go to the emotion that is commoner in the fold's train part, then alphabetically. A clip whose value is
    missing or not in the train part gets the fold's commonest emotion, as in `majority`.

    Args:
        clips: A Clips table.
        folds: Folds of it; the train role is used, the dev role is not.
        by: One of `LOOKUPS`.
        metric: What the answers are best for in the train part: ``wa``, the commonest emotion of the value; or
            ``uar``, the emotion of whose clips the value has the largest share. They differ where a class is rare: of
            two merged corpora as large as each other in every emotion but one, the name of that which alone has the
            one tells nothing by ``wa`` and all clips of that class by ``uar``.

    Returns:
        Predictions: clip, speaker, fold, seed (0), truth, prediction; one row for each test clip.

    Raises:
        RefusalError: If the corpus states no value of ``by`` for any clip.
        SerError: If ``by`` or the metric is unknown, a fold lacks train or test clips, or has clips that are not in
            the table.

    Examples:
        >>> table = {"speaker": ["a", "a", "b", "b"], "emotion": ["sad", "sad", "happy", "happy"]}
        >>> clips = pd.DataFrame(table, index=list("wxyz"))
        >>> folds = pd.DataFrame({"clip": list("wyxz"), "fold": 0, "role": ["train", "train", "test", "test"]})
        >>> lookup(clips, folds, "speaker")["prediction"].tolist()
        ['sad', 'happy']
    """
    _check(clips, by)
    if metric not in ("wa", "uar"):
        raise SerError(f"no look-up for the metric '{metric}'; there are those for 'wa' and 'uar'")
    parts = [_frame(test, fold, _looked_up(train, test, by, metric)) for fold, train, test in _parts(clips, folds)]
    return pd.concat(parts, ignore_index=True)


def resubstitution_lookup(clips: pd.DataFrame, by: str) -> pd.DataFrame:
    """Look up each clip in the whole corpus, itself included: how much of the label ``by`` tells in the corpus.

    Args:
        clips: A Clips table.
        by: One of `LOOKUPS`.

    Returns:
        Predictions with fold 0; in-sample, so an upper bound of `lookup` rather than a result.

    Raises:
        RefusalError: If the corpus states no value of ``by`` for any clip.
    """
    _check(clips, by)
    return _frame(clips, 0, _looked_up(clips, clips, by, "wa"))


def chance(clips: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the confusions expected of drawing each answer from the train part's class frequencies.

    Computed, not drawn: a test clip of fold f is called k with the share of k in the train part of f.

    Args:
        clips: A Clips table.
        folds: Folds of it; the train role is used, the dev role is not.

    Returns:
        Expected counts of shape (K, K), truth in rows and prediction in columns, classes sorted. Recalls, UAR and
        WA of it are the exact expected ones; an F1 of it is close to the expected F1.

    Raises:
        SerError: If a fold lacks train or test clips, or has clips that are not in the table.

    Examples:
        >>> clips = pd.DataFrame({"speaker": ["a", "a", "b"], "emotion": ["sad", "happy", "sad"]}, index=list("xyz"))
        >>> folds = pd.DataFrame({"clip": list("xyz"), "fold": 0, "role": ["train", "train", "test"]})
        >>> chance(clips, folds).loc["sad"].to_dict()
        {'happy': 0.5, 'sad': 0.5}
    """
    parts = list(_parts(clips, folds))
    names = sorted({name for _, train, test in parts for name in (*train["emotion"], *test["emotion"])})
    total = np.zeros((len(names), len(names)))
    for _, train, test in parts:
        share = train["emotion"].value_counts(normalize=True).reindex(names, fill_value=0.0)
        total += np.outer(test["emotion"].value_counts().reindex(names, fill_value=0), share)
    return pd.DataFrame(total, index=pd.Index(names, name="truth"), columns=pd.Index(names, name="prediction"))


def floors(clips: pd.DataFrame, folds: pd.DataFrame, metric: str = "wa") -> pd.DataFrame:
    """Score every floor under the folds: majority, chance, and each look-up.

    Args:
        clips: A Clips table.
        folds: Folds of it.
        metric: What the answers of the look-ups are best for, see `lookup`.

    Returns:
        One row a floor, indexed by ``floor`` (``majority``, ``chance``, ``speaker``, ...): ``uar``, ``wa``,
        ``macro_f1``, ``weighted_f1`` in [0, 1]; ``known``, the share of test clips whose value is in the train
        part (missing for the first two); ``reason``, why there is no score or why it is that of the majority,
        else empty.

    Raises:
        SerError: If a fold lacks train or test clips, or has clips that are not in the table.

    Examples:
        >>> table = {"speaker": ["a", "a", "b", "b"], "emotion": ["sad", "sad", "happy", "happy"]}
        >>> clips = pd.DataFrame(table, index=list("wxyz"))
        >>> folds = pd.DataFrame({"clip": list("wyxz"), "fold": 0, "role": ["train", "train", "test", "test"]})
        >>> result = floors(clips, folds)
        >>> result["uar"].to_dict()
        {'majority': 0.5, 'chance': 0.5, 'speaker': 1.0, 'sentence': nan, 'gender': nan, 'session': nan, 'corpus': nan}
        >>> result.loc["gender", "reason"]
        'the corpus states no gender'
    """
    parts = list(_parts(clips, folds))
    expected = chance(clips, folds)
    matrices = {"majority": (_confusion(majority(clips, folds), expected), None, "")}
    matrices["chance"] = (expected.to_numpy(), None, "")
    for by in LOOKUPS:
        if by not in clips or clips[by].isna().all():
            matrices[by] = (np.zeros_like(expected), None, f"the corpus states no {by}")
            continue
        if by == "corpus" and clips[by].nunique() == 1:
            matrices[by] = (np.zeros_like(expected), None, "all clips are of one corpus")
            continue
        known = np.concatenate([test[by].isin(train[by].dropna()) for _, train, test in parts]).mean()
        reason = "" if known else f"no test {by} is in the train part, so the majority answers"
        matrices[by] = (_confusion(lookup(clips, folds, by, metric), expected), known, reason)
    rows = {
        floor: {name: float(function(matrix)) for name, function in metrics.METRICS.items()}
        | {"known": np.nan if known is None else float(known), "reason": reason}
        for floor, (matrix, known, reason) in matrices.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("floor")


def _confusion(predictions: pd.DataFrame, like: pd.DataFrame) -> np.ndarray:
    return metrics.confusion(predictions["truth"], predictions["prediction"], list(like.index))


def _check(clips: pd.DataFrame, by: str) -> None:
    if by not in LOOKUPS:
        raise SerError(f"no look-up by '{by}'; there are {list(LOOKUPS)}")
    if by not in clips or clips[by].isna().all():
        raise RefusalError(f"no look-up by {by}: the corpus states no {by} for any clip")
