"""Decoding: what Whisper says of some recordings, and why there are recordings of which it is not asked."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ser_core.data import audio
from ser_core.errors import SerError
from ser_core.systems.transcription import checkpoints

if TYPE_CHECKING:
    from torch import Tensor
    from whisper import DecodingResult, Whisper

SHORTEST_S = 0.1
"""A recording below this, in s, is not decoded: ``too short``."""

RATE = 16_000
WINDOW_S = 30
"""Whisper's window in s: a clip is filled up to it, and a longer one is read by it."""

SLACK_S = 1.0
"""A shorter window holds this much silence after the clip, in s; a clip without room for it has Whisper's."""

# When Whisper itself decodes anew: at repetitive or unlikely text, unless the window is taken for silence.
REPETITIVE, UNLIKELY, NO_SPEECH = 2.4, -1.0, 0.6
# Greedy, without falling back on sampling: a transcript is a function of audio and weights. A longer clip than
# one window needs the time stamps, by which the window moves on.
_WINDOW = {"temperature": 0.0, "without_timestamps": True, "fp16": False}
# In a shorter window Whisper goes on beyond the clip unless it has to say where it ends, which the time stamps do.
_SHORTER = {"temperature": 0.0, "without_timestamps": False, "fp16": False}
_TOKENS = 7  # a second; more than anybody speaks, so that what needs more is repetitive
_LONGER = {
    "temperature": 0.0,
    "compression_ratio_threshold": None,
    "logprob_threshold": None,
    "no_speech_threshold": None,
    "condition_on_previous_text": False,
    "fp16": False,
}
OPTIONS = {"up_to_30_s": _WINDOW, "longer": _LONGER, "shortest_s": SHORTEST_S, "floor_db": audio.FLOOR_DB}


def options(window_s: int) -> dict:
    """Return all that decides a transcript but audio, weights, language, task and packages; kept with it.

    Args:
        window_s: The window in s.

    Examples:
        >>> options(10)["window_s"], "window_s" in options(WINDOW_S)
        (10, False)
    """
    shorter = {"window_s": window_s, "slack_s": SLACK_S, "shorter": _SHORTER, "tokens": _TOKENS}
    return OPTIONS | (shorter if window_s < WINDOW_S else {})


TYPES = {
    "transcript": "str",
    "language": "str",
    "no_speech_prob": "float64",
    "avg_logprob": "float64",
    "status": "str",
}
"""The columns of a table of transcripts."""


def decode(
    network: "Whisper", recordings: pd.DataFrame, language: str | None, task: str, window_s: int = WINDOW_S
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the transcripts of some recordings, decoded as one batch, those above 30 s one by one.

    Args:
        network: Whisper.
        recordings: Indexed by clip; ``file`` and ``sha256``, each only once.
        language: Whisper's code; detected recording by recording if None.
        task: ``transcribe`` or ``translate``.
        window_s: Fill the clips up to this many s and not to `WINDOW_S`, see `transcribe`.

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
            elif audio.is_silent(samples):
                row["status"] = "silent"
            else:
                sounds[sha256] = audio.resample(samples, rate, RATE)
        rows[sha256] = row
    if sounds:
        for sha256, heard in _hear(network, sounds, language, task, window_s).items():
            rows[sha256] |= heard
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(TYPES)).astype(TYPES)
    return table.rename_axis("sha256"), unread, wrong


def hear(samples: np.ndarray, rate: int, checkpoint: Path) -> dict[str, object]:
    """Return what Whisper says of a recording that is no file, in a language that it detects.

    Args:
        samples: Mono, in [-1, 1].
        rate: Their rate in Hz.
        checkpoint: Weights in Whisper's own format.

    Returns:
        ``transcript``, ``language``, ``no_speech_prob`` and ``avg_logprob``.

    Raises:
        SerError: If there is no such file, or it is no checkpoint.
    """
    sounds = {"": audio.resample(np.asarray(samples, "float32"), rate, RATE)}
    return _hear(_network(checkpoint), sounds, None, "transcribe", WINDOW_S)[""]


@functools.cache
def _network(checkpoint: Path) -> "Whisper":
    """Return the process's own Whisper."""
    return checkpoints.network(checkpoints.find(str(checkpoint)), None, "transcribe", progress=False)


def _is_empty(file: Path) -> bool:
    """Return whether a file is whole, but holds no samples."""
    import soundfile

    try:
        return soundfile.info(file).frames == 0
    except (soundfile.SoundFileError, RuntimeError):
        return False


def _hear(
    network: "Whisper", sounds: dict[str, np.ndarray], language: str | None, task: str, window_s: int
) -> dict[str, dict]:
    """Return what Whisper says of samples at 16 kHz, by their key."""
    import whisper

    if not network.is_multilingual:
        language = "en"
    heard, mels, whole = {}, {}, {}
    for key, samples in sounds.items():
        if len(samples) <= WINDOW_S * RATE:
            fits = len(samples) <= (window_s - SLACK_S) * RATE
            mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples), network.dims.n_mels)
            (mels if fits and window_s < WINDOW_S else whole)[key] = mel
            continue
        result = whisper.transcribe(network, samples, language=language, task=task, **_LONGER)
        windows = pd.DataFrame(result["segments"]).groupby("seek")[["no_speech_prob", "avg_logprob"]].first()
        heard[key] = {"transcript": result["text"].strip(), "language": result["language"], **windows.mean()}
    results = _decoded(network, mels, language, task, window_s)
    again = {key: mels[key] for key, result in results.items() if _doubtful(result, _TOKENS * window_s)}
    results |= _decoded(network, whole | again, language, task, WINDOW_S)
    for key, result in results.items():
        heard[key] = {
            "transcript": result.text,
            "language": result.language,
            "no_speech_prob": result.no_speech_prob,
            "avg_logprob": result.avg_logprob,
        }
    return heard


def _doubtful(result: "DecodingResult", most: int) -> bool:
    """Return whether Whisper's own rule asks to decode anew, or as many tokens were decoded as there may be."""
    unlikely = result.avg_logprob < UNLIKELY and result.no_speech_prob <= NO_SPEECH
    return unlikely or result.compression_ratio > REPETITIVE or len(result.tokens) >= most


def _decoded(
    network: "Whisper", mels: dict[str, "Tensor"], language: str | None, task: str, window_s: int
) -> dict[str, "DecodingResult"]:
    """Return what is decoded of the first seconds of mel spectrograms, by their key."""
    import torch
    import whisper

    if not mels:
        return {}
    how = _WINDOW if window_s == WINDOW_S else _SHORTER | {"sample_len": _TOKENS * window_s}
    options = whisper.DecodingOptions(language=language, task=task, **how)
    with _window(network, window_s), torch.no_grad():
        # One by one, which on a CPU is faster than as a batch: the states of one clip stay in its cache.
        frames = 2 * network.dims.n_audio_ctx
        states = [network.encoder(mel[None, :, :frames].to(network.device)) for mel in mels.values()]
        return dict(zip(mels, whisper.decode(network, torch.cat(states), options), strict=True))


@contextmanager
def _window(network: "Whisper", window_s: int) -> Iterator[None]:
    """Let the encoder hear windows of this length: the positions of later frames are left out."""
    encoder, dims = network.encoder, network.dims
    positions, n_frames = encoder.positional_embedding, dims.n_audio_ctx
    dims.n_audio_ctx = n_frames * window_s // WINDOW_S
    encoder.positional_embedding = positions[: dims.n_audio_ctx]
    try:
        yield
    finally:
        encoder.positional_embedding, dims.n_audio_ctx = positions, n_frames
