"""Embeddings as a feature set: the frozen states of BYOL-S, pooled to one vector a clip."""

import functools

import numpy as np

from ser_core import audio

DIM = 512
COLUMNS = tuple(f"byol{i:03}" for i in range(DIM))
PARAMETERS = {
    "sample_rate": 16_000,
    "trim_db": audio.SILENCE_DB,
    "standardised": "by clip",
    "pooling": "max+mean",
    "weights": "449f5d0dc6b6fa8433d5e43769097520d3bc0fdae88977a7ac29e2e72ca51b52",
}


@functools.cache
def _encoder():
    """Return the process's own encoder."""
    from ser_core.encoders import byol

    return byol.load()


def byol_s(samples: np.ndarray, rate: int) -> dict[str, float]:
    """Return the 512 values of BYOL-S for a clip without the silence at its ends: maximum plus mean over time.

    Args:
        samples: Mono, float32, in [-1, 1].
        rate: Samples a second.

    Returns:
        Feature name -> value.

    Raises:
        SerError: If the checkpoint is not there.

    Source: Scheidwasser-Clow et al., *SERAB: a multi-lingual benchmark for speech emotion recognition*, ICASSP 2022.
    """
    import torch

    from ser_core.encoders.base import RATE
    from ser_core.models import Pooling

    encoder = _encoder()
    clip = encoder.prepare(audio.trim_silence(audio.resample(samples, rate, RATE), RATE))
    with torch.no_grad():
        encoded = encoder(clip[None], torch.tensor([len(clip)]))
        values = Pooling(PARAMETERS["pooling"], DIM)(encoded.states[0], encoded.mask)[0]
    return dict(zip(COLUMNS, values.tolist(), strict=True))
