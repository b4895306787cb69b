"""Embeddings as a feature set: the frozen states of BYOL-S, EfficientNet or MiniLM, one vector a clip."""

import functools
from collections.abc import Sequence

import numpy as np

from ser_core.data import audio

DIM = 512
COLUMNS = tuple(f"byol{i:03}" for i in range(DIM))
PARAMETERS = {
    "sample_rate": 16_000,
    "trim_db": audio.SILENCE_DB,
    "standardised": "by clip",
    "pooling": "max+mean",
    "weights": "449f5d0dc6b6fa8433d5e43769097520d3bc0fdae88977a7ac29e2e72ca51b52",
}

LITE0_COLUMNS = tuple(f"lite0_{i:04}" for i in range(1280))
LITE0 = {
    "sample_rate": 16_000,
    "trim_db": audio.SILENCE_DB,
    "size": 224,
    "pooling": "mean over the images of a clip",
    "precision": "fp32",
    "stored": "float16",
}
LITE0_IMAGES = {"mel": "mel spectrogram of the clip, grey", "jet": "magnitudes of each second, jet, bicubic to size"}

MINILM_COLUMNS = tuple(f"minilm{i:03}" for i in range(384))
MINILM = {
    "max_tokens": 128,
    "speakers_named": False,
    "pooling": "mean",
    "normalised": "l2",
    "weights": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}


@functools.cache
def _encoder():
    """Return the process's own encoder."""
    from ser_core.systems.encoders import byol

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

    from ser_core.systems.encoders.base import RATE
    from ser_core.systems.networks import Pooling

    encoder = _encoder()
    clip = encoder.prepare(audio.trim_silence(audio.resample(samples, rate, RATE), RATE))
    with torch.no_grad():
        encoded = encoder(clip[None], torch.tensor([len(clip)]))
        values = Pooling(PARAMETERS["pooling"], DIM)(encoded.states[0], encoded.mask)[0]
    return dict(zip(COLUMNS, values.tolist(), strict=True))


@functools.cache
def _images_encoder(name: str):
    """Return the process's own EfficientNet; one that starts from nothing is always the same."""
    import torch

    from ser_core.systems import encoders

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return encoders.load(name)


def lite0(clips: Sequence[tuple[np.ndarray, int]], *, name: str) -> np.ndarray:
    """Return the 1,280 values of EfficientNet-Lite0 for each clip without the silence at its ends.

    Args:
        clips: Mono samples, float32 in [-1, 1], and their rate, of each clip.
        name: One of `ser_core.systems.registry.LITE0`; see `ser_core.systems.encoders.lite0`.

    Returns:
        float32, shape (n_clips, 1280).

    Raises:
        SerError: If the published weights are not there.
    """
    from ser_core.systems.encoders.base import RATE
    from ser_core.systems.features.batches import embed

    encoder = _images_encoder(name)
    heard = [audio.trim_silence(audio.resample(samples, rate, RATE), RATE) for samples, rate in clips]
    return embed(encoder, [encoder.prepare(samples) for samples in heard], precision="fp32")


def minilm(turns: Sequence[Sequence[str]], *, progress: bool = False) -> np.ndarray:
    """Return the 384 values of MiniLM for each clip: the mean over its tokens, scaled to length 1.

    That is what sentence-transformers gives for all-MiniLM-L6-v2, of up to 128 tokens. What was said before goes in as
    the first segment of a pair, see `ser_core.systems.encoders.text.TextEncoder.prepare`, which the model was not
    trained on.

    Args:
        turns: Of each clip, the oldest first, its own last.
        progress: Show a progress bar on standard error.

    Returns:
        float32, shape (n_clips, 384).

    Raises:
        SerError: If the package with the weights is not there.

    Source: Wang et al., *MiniLM: deep self-attention distillation for task-agnostic compression of pre-trained
    transformers*, NeurIPS 2020; Reimers and Gurevych, *Sentence-BERT*, EMNLP 2019.
    """
    from ser_core.systems import encoders
    from ser_core.systems.features.batches import embed

    encoder = encoders.load("minilm")
    prepared = [encoder.prepare(list(said)) for said in turns]
    vectors = embed(encoder, prepared, pooling=MINILM["pooling"], precision="fp32", progress=progress)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
