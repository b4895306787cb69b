"""Decoding: what Whisper says of some recordings, and why there are recordings of which it is not asked."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ser_core.data import audio
from ser_core.errors import SerError

if TYPE_CHECKING:
    from whisper import Whisper

SHORTEST_S = 0.1
"""A recording below this, in s, is not decoded: ``too short``."""

FLOOR_DB = -70.0
"""A recording whose peak is below this, in dB re full scale, is not decoded: ``silent``. Ten steps of 16 bits."""

RATE = 16_000
_LONGEST_S = 30  # one window of Whisper's
# Greedy, without falling back on sampling: a transcript is a function of audio and weights. A longer clip than
# one window needs the time stamps, by which the window moves on.
_WINDOW = {"temperature": 0.0, "without_timestamps": True, "fp16": False}
_LONGER = {
    "temperature": 0.0,
    "compression_ratio_threshold": None,
    "logprob_threshold": None,
    "no_speech_threshold": None,
    "condition_on_previous_text": False,
    "fp16": False,
}
OPTIONS = {"up_to_30_s": _WINDOW, "longer": _LONGER, "shortest_s": SHORTEST_S, "floor_db": FLOOR_DB}
"""All that decides a transcript but audio, weights, language, task and packages; kept with it."""

TYPES = {
    "transcript": "str",
    "language": "str",
    "no_speech_prob": "float64",
    "avg_logprob": "float64",
    "status": "str",
}
"""The columns of a table of transcripts."""


def decode(
    network: "Whisper", recordings: pd.DataFrame, language: str | None, task: str
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the transcripts of some recordings, decoded as one batch, those above 30 s one by one.

    Args:
        network: Whisper.
        recordings: Indexed by clip; ``file`` and ``sha256``, each only once.
        language: Whisper's code; detected recording by recording if None.
        task: ``transcribe`` or ``translate``.

    Returns:
        The table, indexed by sha256, columns `TYPES`; the sha256s of files that could not be read, which have a row,
        too; and a line for each file that is another recording, which has none.

    Examples:
        >>> import tempfile, soundfile
        >>> file = Path(tempfile.mkdtemp()) / "pause.wav"
        >>> soundfile.write(file, np.zeros(16000), 16000)
        >>> pause = pd.DataFrame({"file": file, "sha256": audio.content_hash(*audio.read(file))}, index=["toy/pause"])
        >>> table, unread, wrong = decode(None, pause, "en", "transcribe")  # nothing to ask Whisper about
        >>> table["status"].tolist(), unread, wrong
        (['silent'], [], [])
    """
    rows, sounds, unread, wrong = {}, {}, [], []
    for clip, recording in recordings.iterrows():
        file, sha256 = recording["file"], recording["sha256"]
        row = {"transcript": "", "language": language, "status": "ok"}
        try:
            samples, rate = audio.read(file)
        except SerError:
            row["status"] = "too short" if _is_empty(file) else "undecodable"
            unread.append(sha256)
        else:
            if (found := audio.content_hash(samples, rate)) != sha256:
                wrong.append(f"{file} is another recording (sha256 {found[:12]}) than that of {clip} ({sha256[:12]})")
                continue
            if len(samples) < SHORTEST_S * rate:
                row["status"] = "too short"
            elif audio.levels(samples, rate)["peak_db"] < FLOOR_DB:
                row["status"] = "silent"
            else:
                sounds[sha256] = audio.resample(samples, rate, RATE)
        rows[sha256] = row
    if sounds:
        for sha256, heard in _hear(network, sounds, language, task).items():
            rows[sha256] |= heard
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(TYPES)).astype(TYPES)
    return table.rename_axis("sha256"), unread, wrong


def _is_empty(file: Path) -> bool:
    """Return whether a file is whole, but holds no samples."""
    import soundfile

    try:
        return soundfile.info(file).frames == 0
    except (soundfile.SoundFileError, RuntimeError):
        return False


def _hear(network: "Whisper", sounds: dict[str, np.ndarray], language: str | None, task: str) -> dict[str, dict]:
    """Return what Whisper says of samples at 16 kHz, by their key."""
    import torch
    import whisper

    if not network.is_multilingual:
        language = "en"
    heard, mels = {}, {}
    for key, samples in sounds.items():
        if len(samples) <= _LONGEST_S * RATE:
            mels[key] = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples), network.dims.n_mels)
            continue
        result = whisper.transcribe(network, samples, language=language, task=task, **_LONGER)
        windows = pd.DataFrame(result["segments"]).groupby("seek")[["no_speech_prob", "avg_logprob"]].first()
        heard[key] = {"transcript": result["text"].strip(), "language": result["language"], **windows.mean()}
    if mels:
        options = whisper.DecodingOptions(language=language, task=task, **_WINDOW)
        results = whisper.decode(network, torch.stack(list(mels.values())).to(network.device), options)
        for key, result in zip(mels, results, strict=True):
            heard[key] = {
                "transcript": result.text,
                "language": result.language,
                "no_speech_prob": result.no_speech_prob,
                "avg_logprob": result.avg_logprob,
            }
    return heard
