"""GE2E's voice vector as a feature set: who speaks, as a direction in 256 dimensions."""

import functools
from collections.abc import Sequence

import numpy as np

from ser_core.data import audio
from ser_core.systems import weights
from ser_core.systems.weights import known

DIM = 256
COLUMNS = tuple(f"voice{i:03}" for i in range(DIM))
RATE = 16_000
_HOP, _FFT, _BANDS = 160, 400, 40
# Windows of 1.6 s, a new one each 0.77 s as long as three quarters of it lie within the clip.
_WINDOW, _STEP, _LEAST = 160 * _HOP, 77 * _HOP, 120 * _HOP
_LOUDNESS_DB = -30.0
PARAMETERS = {
    "sample_rate": RATE,
    "trim_db": audio.SILENCE_DB,
    "least_rms_db": _LOUDNESS_DB,
    "mel_bands": _BANDS,
    "window_s": _WINDOW / RATE,
    "step_s": _STEP / RATE,
    "least_window_share": _LEAST / _WINDOW,
    "pooling": "mean of windows, length 1",
    "precision": "fp32",
    "stored": "float16",
    "weights": known.get("ge2e").digest,
}


def embed(clips: Sequence[tuple[np.ndarray, int]]) -> np.ndarray:
    """Return the voice vector of each clip, whatever stands beside it.

    Silence at both ends is cut off, and a clip below -30 dB re full scale is amplified to that: the encoder takes
    powers, not logarithms, and has learnt no fainter speech. A clip shorter than 1.6 s is followed by silence. Of
    silence itself the vector says nothing.

    Args:
        clips: Mono samples, float32 in [-1, 1], and their rate, of each clip.

    Returns:
        float32, shape (n_clips, 256), rows of length 1, no value below 0. The product of two rows is their cosine.

    Raises:
        SerError: If the weights are not there.

    Source: Wan, Wang, Papir and Lopez Moreno, *Generalized end-to-end loss for speaker verification*, ICASSP 2018.
    """
    return vectors([_level(audio.trim_silence(audio.resample(samples, rate, RATE), RATE)) for samples, rate in clips])


def vectors(waves: Sequence[np.ndarray]) -> np.ndarray:
    """Return the voice vector of each wave as it is.

    Args:
        waves: Samples at 16 kHz, float32.

    Returns:
        As `embed`.
    """
    import torch

    lstm, linear = _encoder()
    windows = [_windows(wave) for wave in waves]
    with torch.inference_mode():
        _, (state, _) = lstm(torch.from_numpy(np.concatenate(windows)))
        parts = _unit(torch.relu(linear(state[-1])).numpy())
    starts = np.cumsum([0, *map(len, windows)])[:-1]
    counts = np.array([[len(part)] for part in windows])
    return _unit(np.add.reduceat(parts, starts, axis=0) / counts)


@functools.cache
def _encoder() -> tuple:
    """Return the process's own encoder: three LSTM layers and a dense one."""
    import torch

    tensors = {name: torch.from_numpy(values) for name, values in weights.load("ge2e").items()}
    lstm, linear = torch.nn.LSTM(_BANDS, DIM, num_layers=3, batch_first=True), torch.nn.Linear(DIM, DIM)
    for name, module in (("lstm.", lstm), ("linear.", linear)):
        module.load_state_dict({key.removeprefix(name): v for key, v in tensors.items() if key.startswith(name)})
    return lstm.eval(), linear.eval()


def _level(wave: np.ndarray) -> np.ndarray:
    """Return a wave that is not fainter than what the encoder has learnt; silence as it is."""
    power = float(np.mean(np.square(wave, dtype="float64"))) if len(wave) else 0.0
    return wave * np.float32(max(1.0, 10 ** (_LOUDNESS_DB / 20) / power**0.5)) if power else wave


def _windows(wave: np.ndarray) -> np.ndarray:
    """Return the mel powers of a wave's windows, float32, shape (n_windows, 160, 40)."""
    import librosa

    starts = [0, *range(_STEP, len(wave) - _LEAST + 1, _STEP)]
    wave = np.pad(wave, (0, max(0, starts[-1] + _WINDOW - len(wave))))
    mel = librosa.feature.melspectrogram(y=wave, sr=RATE, n_fft=_FFT, hop_length=_HOP, n_mels=_BANDS)
    frames = np.stack([mel[:, start // _HOP : (start + _WINDOW) // _HOP].T for start in starts])
    return np.ascontiguousarray(frames, dtype="float32")


def _unit(rows: np.ndarray) -> np.ndarray:
    """Return rows of length 1; a row of zeros as it is."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
