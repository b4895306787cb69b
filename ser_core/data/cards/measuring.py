"""What the files of a corpus say, in plain types."""

from pathlib import Path

import pandas as pd

from ser_core.data.corpora import Reading


def measure(reading: Reading, duplicates: pd.DataFrame | None = None) -> dict:
    """Return what the files of a corpus say, in plain types that YAML can hold.

    Args:
        reading: A corpus as read (see `ser_core.data.corpora.read`).
        duplicates: Columns clip_a, clip_b, kind, similarity, as `ser_core.data.audit.near_duplicates` gives them.

    Returns:
        ``copy`` (which encoding was measured), ``clips``, ``hours``, ``durations`` (seconds: min, median, max),
        ``sample_rates`` and ``channels`` (value -> clips), ``speakers``, ``speakers_by_gender``, ``sentences``,
        ``sessions``, ``clips_by_split``, ``emotions`` (word -> clips), ``label_by_speaker`` (speaker -> word ->
        clips), ``one_emotion_speakers`` (how many have clips of one emotion only), ``duplicates`` and
        ``problems``. What the corpus does not have is left out.
    """
    clips, files = reading.clips, reading.files
    measured: dict = {"copy": _copy(reading), "clips": len(clips)}
    if clips["duration_s"].notna().any():
        seconds = clips["duration_s"].dropna()
        measured["hours"] = round(float(seconds.sum()) / 3600, 2)
        measured["durations"] = {key: round(float(getattr(seconds, key)()), 2) for key in ("min", "median", "max")}
    if len(files):
        measured["sample_rates"] = _counts(files["rate"])
        measured["channels"] = _counts(files["channels"])
    if clips["speaker"].notna().any():
        speakers = clips.dropna(subset="speaker").groupby("speaker")
        by_speaker = {_short(speaker): _counts(emotion) for speaker, emotion in speakers["emotion"]}
        measured["speakers"] = len(speakers)
        if clips["gender"].notna().any():
            measured["speakers_by_gender"] = _counts(speakers["gender"].first().dropna())
        measured["one_emotion_speakers"] = sum(len(words) == 1 for words in by_speaker.values())
    for column in ("sentence", "session"):
        if clips[column].notna().any():
            measured[f"{column}s"] = int(clips[column].nunique())
    if clips["split"].notna().any():
        measured["clips_by_split"] = _counts(clips["split"].dropna())
    measured["emotions"] = _counts(clips["emotion"])
    if duplicates is not None:
        measured["duplicates"] = [
            {"kind": row.kind, "clips": [row.clip_a, row.clip_b], "similarity": round(float(row.similarity), 2)}
            for row in duplicates.itertuples()
        ]
    problems = reading.problems
    measured["problems"] = [f"{row.path}: {row.problem}: {row.detail}" for row in problems.itertuples()]
    if clips["speaker"].notna().any():
        measured["label_by_speaker"] = by_speaker
    return measured


def _copy(reading: Reading) -> str:
    """Return the encoding of the recordings that were measured."""
    if not len(reading.files):
        return "the published tables; there are no recordings"
    kinds = sorted({Path(path).suffix.lstrip(".").upper() for path in reading.clips["path"]})
    rates = " and ".join(f"{rate / 1000:g} kHz" for rate in sorted(reading.files["rate"].unique()))
    return f"{' and '.join(kinds)}, {rates}"


def _counts(values: pd.Series) -> dict:
    counts = values.value_counts().sort_index()
    return {key if isinstance(key, str) else int(key): int(n) for key, n in counts.items()}


def _short(identifier: str) -> str:
    """Return a speaker's id without the corpus's name."""
    return identifier.split("/", 1)[1]
