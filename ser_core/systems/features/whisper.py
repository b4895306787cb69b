"""Whisper's frozen encoder as a feature set: every layer's states, pooled over the clip, layer beside layer."""

import functools
from collections.abc import Sequence

import numpy as np

from ser_core.data import audio
from ser_core.systems.weights import known

RATE = 16_000
WINDOW_S = 30
SHAPES = {"whisper-base": (7, 512), "whisper-tiny.en": (5, 384)}
"""Layers of each encoder, counting the convolutions' output as the first, and values of each."""


def columns(model: str, pooling: str) -> tuple[str, ...]:
    """Return the names of the values: the layer, from 0 for the convolutions, and the number within it.

    Args:
        model: A key of `SHAPES`.
        pooling: ``mean``, or ``statistics`` for the deviations, too, behind a layer's means.

    Examples:
        >>> columns("whisper-base", "mean")[510:514]
        ('layer0_510', 'layer0_511', 'layer1_000', 'layer1_001')
        >>> columns("whisper-tiny.en", "statistics")[384]
        'layer0_deviation000'
    """
    n_layers, dim = SHAPES[model]
    kinds = ("", "deviation") if pooling == "statistics" else ("",)
    return tuple(f"layer{layer}_{kind}{i:03}" for layer in range(n_layers) for kind in kinds for i in range(dim))


def parameters(model: str, pooling: str, padded: bool, trimmed: bool) -> dict:
    """Return what fixes the values.

    Args:
        model: A key of `SHAPES`.
        pooling: ``mean`` or ``statistics``.
        padded: Whether clips are filled up to 30 s.
        trimmed: Whether the silence at both ends is cut.
    """
    return {
        "sample_rate": RATE,
        "trimmed": trimmed,
        "input": f"{WINDOW_S} s" if padded else "own length",
        "window_s": WINDOW_S,
        "pooling": pooling,
        "precision": "fp32",
        "stored": "float16",
        "weights": known.get(model).digest,
    }


@functools.cache
def _encoder(name: str):
    """Return the process's own encoder."""
    from ser_core.systems import encoders

    return encoders.load(name)


def embed(
    clips: Sequence[tuple[np.ndarray, int]],
    *,
    model: str,
    pooling: str = "mean",
    padded: bool = False,
    trimmed: bool = False,
) -> np.ndarray:
    """Return the pooled states of all layers for each clip, whatever stands beside it.

    A clip longer than 30 s is cut into windows of equal length, which are pooled together. Silence has states, too.

    Args:
        clips: Mono samples, float32 in [-1, 1], and their rate, of each clip.
        model: A key of `SHAPES`.
        pooling: ``mean``, or ``statistics`` for mean and standard deviation.
        padded: Fill each clip up to 30 s by silence, as in Whisper's training; pooled are the clip's own frames.
        trimmed: Cut the silence at both ends, see `ser_core.data.audio.trim_silence`, as networks do that are given
            ``trim: true``.

    Returns:
        float32, shape (n_clips, n_columns), see `columns`.

    Raises:
        SerError: If the weights are not there.

    Source: Radford et al., *Robust speech recognition via large-scale weak supervision*, ICML 2023.
    """
    from ser_core.systems.encoders.whisper import PADDED
    from ser_core.systems.features.batches import embed as pooled

    encoder = _encoder(model + (PADDED if padded else ""))
    heard = [audio.resample(samples, rate, RATE) for samples, rate in clips]
    if trimmed:
        heard = [audio.trim_silence(samples, RATE) for samples in heard]
    windows = [_windows(samples) for samples in heard]
    inputs = [encoder.prepare(window) for clip in windows for window in clip]
    vectors = pooled(encoder, inputs, pooling=pooling, layer=None, precision="fp32")
    starts = np.cumsum([0, *map(len, windows)])
    found = [_joined(vectors[start:end], pooling, encoder.dim) for start, end in zip(starts, starts[1:], strict=False)]
    return np.stack(found)


def _windows(samples: np.ndarray) -> list[np.ndarray]:
    """Return the samples in as few windows of equal length as fit into 30 s each."""
    return np.array_split(samples, max(1, -(-len(samples) // (WINDOW_S * RATE))))


def _joined(vectors: np.ndarray, pooling: str, dim: int) -> np.ndarray:
    """Return the vector of windows of one clip from theirs; they are of equal length."""
    if pooling == "mean" or len(vectors) == 1:
        return vectors.mean(axis=0)
    means, deviations = np.moveaxis(vectors.reshape(len(vectors), -1, 2, dim), 2, 0)
    # The variance of all is the mean of the variances and the variance of the means.
    deviation = np.sqrt((deviations**2).mean(axis=0) + means.var(axis=0))
    return np.stack([means.mean(axis=0), deviation], axis=1).ravel()
