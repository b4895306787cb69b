"""What our own Runs, features and clip tables say of published claims; the chapters show the same at length."""

import pandas as pd

from ser_core.book.literature.arithmetic import Values
from ser_core.data import corpora, splits
from ser_core.evaluation import floors, metrics
from ser_core.experiments import premium, runs, scoring
from ser_core.systems import features

_ENOUGH = ("ravdess", "emodb", "banglaser")
_NUS = ("bayes", "forest", "knn", "lgb", "logreg", "mlp", "tree", "xgb")
_WORDS = "words-controls/ravdess.speaker.cross-attention"


def from_runs(n_resamples: int = 10_000) -> Values:
    """Return every value that the ledger names and that comes from what we ran ourselves.

    Args:
        n_resamples: Resamples of the few intervals among them.

    Returns:
        Text with its interval where there is one, else points of UAR and shares as fractions, by key.

    Raises:
        SerError: If a Run is missing.
    """
    return _words(n_resamples) | _leaks() | _law() | _networks(n_resamples) | _sounds()


def _scores(run: str) -> dict:
    return metrics.scores(runs.read(run).predictions)


def _words(n_resamples: int) -> Values:
    """Return what a sentence adds to a fusion on RAVDESS, and what one sentence for all adds."""
    named = {"own": ("", "-audio"), "constant": ("-constant", "-audio"), "over_constant": ("", "-constant")}
    pairs = pd.DataFrame([{"first": _WORDS + a, "second": _WORDS + b} for a, b in named.values()])
    on_whisper = _WORDS.replace("words-controls", "whisper-words")
    on_whisper = scoring.differences({"": (on_whisper, f"{on_whisper}-constant")}, n_resamples=n_resamples)
    found = scoring.differences(pairs, n_resamples=n_resamples)["difference"]
    values = {f"words_{name}": difference.points() for name, difference in zip(named, found, strict=True)}
    values["words_whisper"] = on_whisper["difference"].iloc[0].points()
    values |= {f"words_{name}_points": 100 * found.iloc[at].interval.value for at, name in enumerate(named)}
    for name, variant in {"without": "-audio", "with": ""}.items():
        score = scoring.score(_WORDS + variant, "f1:neutral", n_resamples=n_resamples)
        values[f"words_neutral_{name}"] = score.text(percent=True)
    clips = corpora.table("ravdess")
    same = clips.groupby(["sentence", "emotion"]).size().unstack()
    shares = same.div(same.sum(axis=1), axis=0)
    return values | {
        "words_neutral_clips": int((clips["emotion"] == "neutral").sum()),
        "sentences": len(same),
        "sentences_differ": float((shares.iloc[0] - shares.iloc[1]).abs().max()),
    }


def _leaks() -> Values:
    """Return what known speakers add, in points of UAR, and what a look-up of names has on a published split."""
    ladder = "{}/{}.{}.{}.svm-linear.train"
    known_speakers = {
        (name, kind): _scores(ladder.format(experiment, name, "clip", kind))["uar"]
        - _scores(ladder.format(experiment, name, "speaker", kind))["uar"]
        for name in _ENOUGH
        for experiment, kind in (("ladder", "egemaps"), ("ladder", "compare"), ("byol-ladder", "byol-s"))
    }
    fixed = "published-splits/ravdess.khan2026-{}.{}.svm-linear.train"
    lost = {
        kind: _scores(fixed.format("random", kind))["weighted_f1"] - _scores(fixed.format("si", kind))["weighted_f1"]
        for kind in ("egemaps", "compare")
    }
    merged = "merged-nus/ravdess+savee+tess.{}.librosa94-clean.nus-{}.train"
    known = pd.Series({name: _scores(merged.format("clip", name))["uar"] for name in _NUS})
    new = pd.Series({name: _scores(merged.format("speaker", name))["uar"] for name in _NUS})
    raw = pd.Series({name: _scores(merged.replace("-clean", "").format("speaker", name))["uar"] for name in _NUS})
    urdu = corpora.table("urdu")
    lookup = floors.lookup(urdu, splits.make(urdu, "khan2026-urdu-random"), "speaker")
    return {
        "premium_least": 100 * min(known_speakers.values()),
        "premium_most": 100 * max(known_speakers.values()),
        "lost_egemaps": lost["egemaps"],
        "lost_compare": lost["compare"],
        "merged_least": 100 * (known - new).min(),
        "merged_most": 100 * (known - new).max(),
        "cleaning_least": 100 * (new - raw).min(),
        "cleaning_most": 100 * (new - raw).max(),
        "merged_knn_place": int(known.rank(ascending=False)["knn"]),
        "merged_first": {"lgb": "LightGBM", "xgb": "XGBoost"}.get(known.idxmax(), known.idxmax()),
        "urdu_lookup": metrics.scores(lookup)["wa"],
    }


def _law() -> Values:
    """Return the premium of known speakers by training size, in points of UAR, and its mean over corpora."""
    table = premium.premiums(["known"], ["150", "match"])
    table = table[table["corpus"].isin(premium.with_interval(table))]
    found = premium.over_features(table[table["size"] == "match"])
    by_size = 100 * table.groupby("size")["value"].agg(["min", "max"])
    return {
        "law_mean": 100 * found.mean,
        "law_low": 100 * found.low,
        "law_high": 100 * found.high,
        "law_corpora": found.n_corpora,
        "law_few_least": by_size.loc["150", "min"],
        "law_few_most": by_size.loc["150", "max"],
        "law_all_least": by_size.loc["match", "min"],
        "law_all_most": by_size.loc["match", "max"],
    }


def _networks(n_resamples: int) -> Values:
    """Return UAR on unseen speakers of RAVDESS, in percent, and accuracy on a woman of TESS who was not heard."""
    named = {
        "compare": "baselines-compare/ravdess.speaker.compare.svm-linear.train.tuned",
        "head": "byol-finetuning/ravdess.speaker.head",
        "last": "byol-finetuning/ravdess.speaker.last",
        "cnn": "spectrogram-networks/ravdess.speaker.cnn1d",
    }
    values = {
        f"uar_{name}": scoring.score(run, n_resamples=n_resamples).text(percent=True) for name, run in named.items()
    }
    unfrozen = pd.DataFrame([{"first": named["last"], "second": named["head"]}])
    values["unfreezing"] = scoring.differences(unfrozen, n_resamples=n_resamples)["difference"].iloc[0].points()
    tess = ("ladder/tess.{}.compare.svm-linear.train", "byol-ladder/tess.{}.byol-s.svm-linear.train")
    known = [_scores(run.format("clip"))["wa"] for run in tess]
    new = [
        metrics.scores(part)["wa"]
        for run in tess
        for _, part in runs.read(run.format("speaker")).predictions.groupby("speaker")
    ]
    taken = runs.read(named["compare"]).predictions.query("truth == 'neutral' and prediction != 'neutral'")
    wrong = taken["prediction"].value_counts(normalize=True)
    return values | {
        "tess_known_least": min(known),
        "tess_new_least": min(new),
        "tess_new_most": max(new),
        "neutral_taken_for": str(wrong.idxmax()),
        "neutral_taken_share": float(wrong.max()),
    }


def _sounds() -> Values:
    """Return zero crossings (as a share of samples) and spectral centroid (in Hz), mean over clips of RAVDESS."""
    means = features.load("ravdess", "librosa94")[["zcr", "spec_centroid"]]
    emotion = corpora.table("ravdess")["emotion"].reindex(means.index)
    by = means.groupby(emotion).mean()
    names = ("calm", "disgust", "surprised")
    return {f"zcr_{name}": float(by.loc[name, "zcr"]) for name in names} | {
        f"centroid_{name}": float(by.loc[name, "spec_centroid"]) for name in names
    }
