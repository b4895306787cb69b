"""Predictions of anybody's recordings: single ones, folders, and long ones by windows."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ser_core import files
from ser_core.data import audio
from ser_core.errors import SerError
from ser_core.evaluation.metrics import PROBABILITY
from ser_core.systems import features, handcrafted, speech
from ser_core.systems.linear import Linear

WINDOW_S = 5.0
"""Windows of a long recording last about this long, in s; a recording of up to twice as much is one window."""

VOICED_S = 0.1
"""Where Praat finds less voice than this, in s, or Silero VAD less speech, nobody is heard to speak."""

ANSWERED, ABSTAINED, NO_SPEECH, FAILED = "answered", "abstained", "no speech", "failed"
"""What became of a window: an answer, too little confidence for one, nobody who speaks, or no sound to be had."""

UNUSABLE = (NO_SPEECH, FAILED)

_CHUNK = 32
_SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff", ".au", ".m4a", ".aac", ".wma", ".w64", ".caf")


def find(given: Iterable[Path | str]) -> list[Path]:
    """Return the files that are given or lie in given folders, each once, without hidden ones of folders.

    Args:
        given: Files and folders.

    Returns:
        Files in the order in which they are given, those of a folder by name; what is not there is among them.
    """
    found: dict[str, Path] = {}
    for path in map(Path, given):
        inside = files.walk(path) if path.is_dir() else [path]
        shown = sorted(one for one in inside if one == path or not _hidden(one.relative_to(path)))
        for one in shown or [path]:
            found.setdefault(os.path.abspath(one), one)
    return list(found.values())


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def predict(
    given: Iterable[Path | str],
    model: Linear,
    *,
    window_s: float = WINDOW_S,
    vad: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """Predict recordings.

    Args:
        given: Files, and folders, of which every file is tried.
        model: The model, see `ser_core.experiments.models.find`.
        window_s: A recording of more than twice this is cut into windows of equal length of at most this, in s.
        vad: Ask Silero VAD, too, in which windows somebody speaks; others get no answer. It is heard in the whole
            recording, before it is cut.
        progress: Show a progress bar on standard error.

    Returns:
        A row a window: ``path``; ``start`` and ``end`` in s; ``prediction``, the likeliest class, or empty where the
        model abstains; ``likeliest``, the same without abstaining; ``confidence``, the probability of that class; the
        probability ``p_<class>`` of each class; ``status`` (`ANSWERED`, `ABSTAINED`, `NO_SPEECH` or `FAILED`) and
        ``note``, which says why.

    Raises:
        SerError: If the weights of the feature set are not there.
        ModuleNotFoundError: If ``silero-vad`` is asked for and not installed.
    """
    from tqdm import tqdm

    _ready(model)
    if vad:
        speech.ready()
    rows: list[dict] = []
    waiting: list[tuple[dict, np.ndarray, int]] = []
    for path in tqdm(find(given), desc=f"predict by {model.name}", unit="file", disable=not progress):
        name = shown(path)
        try:
            samples, rate = read(path)
        except SerError as error:
            rows.append({"path": name, "status": FAILED, "note": str(error).removeprefix(f"{path}: ")})
            continue
        for row, piece in _rows(name, samples, rate, window_s, vad=vad):
            rows.append(row)
            if "status" not in row:
                waiting.append((row, piece, rate))
            if len(waiting) == _CHUNK:
                _answer(model, waiting)
                waiting.clear()
    _answer(model, waiting)
    return _table(rows, model)


def predict_samples(samples: np.ndarray, rate: int, model: Linear, *, window_s: float = WINDOW_S) -> pd.DataFrame:
    """Predict a recording that is no file.

    Args:
        samples: Mono, in [-1, 1].
        rate: Their rate in Hz.
        model: The model.
        window_s: See `predict`.

    Returns:
        As `predict`, with an empty path.

    Raises:
        SerError: As `predict`.
    """
    _ready(model)
    rows = _rows("", samples, rate, window_s)
    _answer(model, [(row, piece, rate) for row, piece in rows if "status" not in row])
    return _table([row for row, _ in rows], model)


def _ready(model: Linear) -> None:
    """Raise an error where what the features need is not there."""
    if ready := features.get(features.whole_of(model.features)).ready:
        ready()


def _rows(
    path: str, samples: np.ndarray, rate: int, window_s: float, *, vad: bool = False
) -> list[tuple[dict, np.ndarray]]:
    """Return a row and the samples of each window; one in which nobody speaks has its status already."""
    found, spoken = [], speech.segments(samples, rate) if vad and not silent(samples) else []
    for start, piece in windows(samples, rate, window_s):
        row = {"path": path, "start": start / rate, "end": (start + len(piece)) / rate}
        if note := without_speech(piece, rate):
            row |= {"status": NO_SPEECH, "note": note}
        elif vad and speech.share(spoken, row["start"], row["end"]) < VOICED_S:
            row |= {"status": NO_SPEECH, "note": "no speech found by Silero VAD"}
        found.append((row, piece))
    return found


def _table(rows: list[dict], model: Linear) -> pd.DataFrame:
    columns = [PROBABILITY + name for name in model.classes]
    order = ["path", "start", "end", "prediction", "likeliest", "confidence", *columns, "status", "note"]
    empty = dict.fromkeys(("prediction", "likeliest", "note"), "")
    numbers = dict.fromkeys(("start", "end", "confidence", *columns), "float64")
    return pd.DataFrame([empty | row for row in rows], columns=order).astype(numbers)


def shown(path: Path) -> str:
    """Return the name of a file as text, though it may hold bytes that are none.

    Args:
        path: The file.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read(path: Path) -> tuple[np.ndarray, int]:
    """Return a recording that somebody gives, as `ser_core.data.audio.read` does.

    Args:
        path: The file.

    Raises:
        SerError: As `ser_core.data.audio.read`; of what is no recording it says that it is none.
    """
    if path.is_dir():
        raise SerError("a folder without files")
    try:
        return audio.read(path)
    except SerError as error:
        if path.is_file() and path.suffix.lower() not in _SOUNDS and "cannot be decoded" in str(error):
            raise SerError("not a recording, as far as libsndfile knows; left out") from error
        raise


def windows(samples: np.ndarray, rate: int, window_s: float = WINDOW_S) -> list[tuple[int, np.ndarray]]:
    """Return the windows of a recording, each with the number of its first sample.

    Args:
        samples: Mono, shape (n_samples,).
        rate: Samples a second.
        window_s: See `predict`.

    Examples:
        >>> [(start, len(piece)) for start, piece in windows(np.zeros(110), 10)]
        [(0, 37), (37, 37), (74, 36)]
    """
    duration = len(samples) / rate
    n = 1 if duration <= 2 * window_s else int(np.ceil(duration / window_s))
    pieces = np.array_split(samples, n)
    return list(zip(np.cumsum([0, *map(len, pieces)]).tolist(), pieces, strict=False))


def silent(samples: np.ndarray) -> str:
    """Return that a recording is silent, empty if it is not.

    Args:
        samples: Mono, in [-1, 1].

    Examples:
        >>> silent(np.zeros(16_000))
        'silent, its peak is below -70 dB re full scale'
    """
    return f"silent, its peak is below {audio.FLOOR_DB:.0f} dB re full scale" if audio.is_silent(samples) else ""


def without_speech(samples: np.ndarray, rate: int) -> str:
    """Return why nobody is heard to speak, empty if somebody may be: any voiced sound passes, such as music.

    Args:
        samples: Mono, in [-1, 1].
        rate: Samples a second.

    Examples:
        >>> without_speech(np.zeros(16_000), 16_000)
        'silent, its peak is below -70 dB re full scale'
    """
    if note := silent(samples):
        return note
    times, pitch = handcrafted.pitch(samples, rate)
    voiced = float((pitch > 0).sum() * (times[1] - times[0])) if len(times) > 1 else 0.0
    return f"no speech found, {voiced:.2f} s of voice" if voiced < VOICED_S else ""


def _answer(model: Linear, waiting: list[tuple[dict, np.ndarray, int]]) -> None:
    """Complete the rows of windows in which somebody speaks."""
    from threadpoolctl import threadpool_limits

    if not waiting:
        return
    spec = features.get(features.whole_of(model.features))
    with threadpool_limits(limits=1), np.errstate(over="ignore"):  # as the features that it was trained on
        if spec.together:
            values = spec.function([(samples, rate) for _, samples, rate in waiting])
        else:
            values = np.array([list(spec.function(samples, rate).values()) for _, samples, rate in waiting])
        values = values.astype(spec.stored).astype("float32")
    where = {name: number for number, name in enumerate(spec.columns)}
    values = values[:, [where[name] for name in features.columns(model.features)]]
    finite = np.isfinite(values).all(axis=1)
    for (row, *_), here, probabilities in zip(
        waiting, finite, model.probabilities(np.where(finite[:, None], values, 0)), strict=True
    ):
        if not here:
            row |= {"status": FAILED, "note": f"its '{spec.name}' features are undefined; too short, perhaps"}
            continue
        best = int(probabilities.argmax())
        row |= {PROBABILITY + name: p for name, p in zip(model.classes, probabilities.tolist(), strict=True)}
        row |= {"likeliest": model.classes[best], "confidence": float(probabilities[best])}
        if probabilities[best] >= model.threshold:
            row |= {"prediction": model.classes[best], "status": ANSWERED}
        else:
            always = np.isinf(model.threshold)
            note = "the model always abstains" if always else f"confidence below {model.threshold:.2f}"
            row |= {"status": ABSTAINED, "note": note}


def problems(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each recording of which no window could be predicted: the first, with what is wrong.

    Args:
        table: From `predict`.
    """
    usable = ~table["status"].isin(UNUSABLE)
    return table[~usable.groupby(table["path"]).transform("any")].drop_duplicates("path")


def summary(table: pd.DataFrame, model: Linear) -> str:
    """Return what became of recordings, and how far the answers may be trusted, in one line.

    Args:
        table: From `predict`.
        model: The model.
    """
    counts, n = table["status"].value_counts(), table["path"].nunique()
    each = ", ".join(f"{counts[name]} {name}" for name in (ANSWERED, ABSTAINED, *UNUSABLE) if name in counts)
    return f"{model.name}: {n} file{'s' * (n > 1)}, {len(table)} window{'s' * (len(table) > 1)}: {each}; {trust(model)}"


def trust(model: Linear) -> str:
    """Return how far the answers of a model may be trusted, in a clause.

    Args:
        model: The model.
    """
    held_out, whose = model.facts["held_out"], "speakers"
    if model.facts["calibrated_on"] != model.facts["run"]:
        whose = "corpora"
    right = held_out["accuracy_answered"]
    if right is None or not np.isfinite(model.threshold):
        return (
            f"it always abstains: on {whose} that it had not heard {held_out['accuracy']:.0%} of clips were right, and "
            f"at no confidence {model.facts['accuracy_asked_for']:.0%}"
        )
    answered = f"{held_out['coverage']:.0%} of clips, {right:.0%} of these rightly"
    return f"on {whose} that it had not heard it answered {answered}"


def as_csv(table: pd.DataFrame) -> str:
    """Return predictions as CSV: probabilities with four decimals, times with three.

    Args:
        table: From `predict`.
    """
    return _rounded(table).to_csv(index=False, lineterminator="\n").rstrip("\n")


def as_json(table: pd.DataFrame, model: Linear) -> str:
    """Return predictions as JSON, with what the model is and what it is worth.

    Args:
        table: From `predict`.
        model: The model.
    """
    import json

    about = {
        "name": model.name,
        "features": model.features,
        "classes": list(model.classes),
        "temperature": model.temperature,
        "threshold": model.threshold if np.isfinite(model.threshold) else None,
        **model.facts,
    }
    rows = [
        {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()}
        for row in _rounded(table).to_dict("records")
    ]
    return json.dumps({"model": about, "predictions": rows}, indent=1, ensure_ascii=False)


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    decimals = {name: 4 for name in table if name.startswith(PROBABILITY) or name == "confidence"}
    return table.round(decimals | {"start": 3, "end": 3})
