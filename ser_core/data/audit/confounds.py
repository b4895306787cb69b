"""What tells the emotion without an emotion being heard: who speaks, what is said, how long and how loud it is."""

import numpy as np
import pandas as pd

from ser_core.errors import RefusalError
from ser_core.evaluation import floors, metrics

ATTRIBUTES = ("speaker", "gender", "sentence", "session")
_LEVELS = {
    "loudness": ("rms_db",),
    "silence": ("leading_silence_s", "trailing_silence_s"),
}


def confounding(clips: pd.DataFrame) -> pd.DataFrame:
    """Measure how much of the emotion the metadata tell.

    Mutual information is computed from counts; what independent variables with as many values would give on
    average, ``(R - 1)(C - 1) / (2 N ln 2)`` bits (Miller 1955), stands beside it and is taken off in ``share``.

    Args:
        clips: A Clips table.

    Returns:
        One row each of `ATTRIBUTES` that the corpus states for some clip: ``n_clips`` with a value, ``n_values``,
        ``bits`` of mutual information with the emotion, ``chance_bits``, and ``share``: of the emotion's
        entropy, what is explained beyond chance, in [0, 1].

    Examples:
        >>> clips = pd.DataFrame({"speaker": list("aabb"), "gender": list("fmfm"), "emotion": list("sshh")})
        >>> confounding(clips.assign(sentence=None, session=None))["bits"].round(3).to_dict()
        {'speaker': 1.0, 'gender': 0.0}
    """
    rows = {}
    for name in ATTRIBUTES:
        known = clips[clips[name].notna()]
        if known.empty:
            continue
        counts = pd.crosstab(known[name], known["emotion"]).to_numpy()
        n = counts.sum()
        entropy = _bits(counts.sum(axis=0) / n)
        # Differences of rounded entropies can fall short of 0 by 1e-16.
        bits = max(0.0, entropy + _bits(counts.sum(axis=1) / n) - _bits(counts.ravel() / n))
        chance = (counts.shape[0] - 1) * (counts.shape[1] - 1) / (2 * n * np.log(2))
        rows[name] = {
            "n_clips": int(n),
            "n_values": counts.shape[0],
            "bits": bits,
            "chance_bits": chance,
            "share": max(0.0, bits - chance) / entropy if entropy else 0.0,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("attribute")


def effective_speakers(clips: pd.DataFrame) -> pd.DataFrame:
    """Count the speakers of each emotion as if all had spoken equally much (inverse Simpson index).

    Args:
        clips: A Clips table; clips without a speaker are left out.

    Returns:
        Index emotion, sorted: ``n_clips``, ``n_speakers``, and ``effective`` in [1, n_speakers].

    Examples:
        >>> clips = pd.DataFrame({"speaker": list("aaab"), "emotion": ["sad", "sad", "happy", "happy"]})
        >>> effective_speakers(clips)["effective"].to_dict()
        {'happy': 2.0, 'sad': 1.0}
    """
    counts = pd.crosstab(clips["emotion"], clips["speaker"])
    return pd.DataFrame(
        {
            "n_clips": counts.sum(axis=1),
            "n_speakers": (counts > 0).sum(axis=1),
            "effective": counts.sum(axis=1) ** 2 / (counts**2).sum(axis=1),
        }
    )


def shortcuts(
    clips: pd.DataFrame,
    folds: pd.DataFrame,
    levels: pd.DataFrame | None = None,
    recordings: pd.DataFrame | None = None,
    voices: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Score what a model can reach by a single fact about a clip.

    Looked up in the train part: the commonest emotion of the clip's speaker, sentence, session or gender. Fitted on the
    train part: a decision tree with two leaves a class on the duration, the level, the silence at both ends, or what
    comes with the file: sampling rate, channels, format; and logistic regression on the voice.

    Args:
        clips: A Clips table.
        folds: Folds of it.
        levels: Index clip, columns as in `ser_core.data.audio.levels`; without it loudness and silence are left out.
        recordings: Index clip, columns rate and channels; without it sampling rate and channels are left out. They,
            and the format of the files, are left out where all clips have the same.
        voices: Index clip, a voice vector a row, of an encoder that was trained to tell speakers apart; or none.

    Returns:
        Index shortcut: ``uar`` of the pooled test predictions in [0, 1], ``chance`` (1 / number of classes in the
        test parts) and ``n_clips`` tested: those with a value, where a corpus states it for some only.
    """
    found = {}
    for by in ATTRIBUTES:
        try:
            found[by] = floors.lookup(clips, folds, by)
        except RefusalError:
            continue
    features = {"duration": clips[["duration_s"]]}
    if levels is not None:
        features |= {name: levels[list(columns)] for name, columns in _LEVELS.items()}
    features |= _bookkeeping(clips, recordings)
    for name, values in features.items():
        known = values.reindex(clips.index).dropna()
        if len(known):
            found[name] = _fitted(clips["emotion"], folds[folds["clip"].isin(known.index)], known)
    if voices is not None:
        found["voice"] = _fitted(clips["emotion"], folds, voices, _by_voice())
    rows = {}
    for name, table in found.items():
        classes = sorted(set(clips["emotion"]))
        counts = metrics.confusion(table["truth"], table["prediction"], classes)
        rows[name] = {
            "uar": float(metrics.uar(counts)),
            "chance": 1 / table["truth"].nunique(),
            "n_clips": len(table),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("shortcut")


def _bookkeeping(clips: pd.DataFrame, recordings: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    """Return what comes with the files rather than with the speech, as numbers, where it is not the same in all."""
    found = {"file format": clips["path"].str.lower().str.extract(r"\.(\w+)$")[0]} if "path" in clips else {}
    if recordings is not None and len(recordings):
        found |= {"sampling rate": recordings["rate"], "channels": recordings["channels"]}
    return {
        name: values.rank(method="dense").to_frame() for name, values in found.items() if values.dropna().nunique() > 1
    }


def _by_voice():
    """Return what learns emotions from voices, as the classifier 'logreg' of the experiments does."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))


def _fitted(emotions: pd.Series, folds: pd.DataFrame, values: pd.DataFrame, model=None) -> pd.DataFrame:
    """Return truth and prediction of a model, a small tree if none is given, on each fold's test part."""
    from sklearn.tree import DecisionTreeClassifier

    tested = []
    for _, fold in folds.groupby("fold"):
        train, test = (fold.loc[fold["role"] == role, "clip"] for role in ("train", "test"))
        fitted = model or DecisionTreeClassifier(
            max_leaf_nodes=2 * emotions.nunique(), min_samples_leaf=5, class_weight="balanced", random_state=0
        )
        fitted.fit(values.loc[train].to_numpy(), emotions[train].to_numpy(dtype=object))
        predicted = fitted.predict(values.loc[test].to_numpy())
        tested.append(pd.DataFrame({"truth": emotions[test].to_numpy(), "prediction": predicted}))
    return pd.concat(tested, ignore_index=True)


def _bits(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())
