"""Whisper's published encoders by a short name, on the clip alone or, as published, filled up to 30 s."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

from transformers import AutoConfig, WhisperFeatureExtractor

from ser_core.errors import SerError
from ser_core.systems import registry, weights
from ser_core.systems.encoders.hub import checkpoints
from ser_core.systems.encoders.hub.whisper import OwnLengthWhisper, WhisperEncoder

PADDED = "-30s"
"""Behind the name of one that fills up to 30 s."""


def load(name: str) -> WhisperEncoder:
    """Return one of Whisper's encoders with its published weights.

    Args:
        name: ``whisper-base`` or ``whisper-tiny.en``; with `PADDED` behind it, clips are filled up to 30 s.

    Returns:
        The encoder in float32, in evaluation mode.

    Raises:
        SerError: If the weights are not there, or are not those that are known.
    """
    folder = weights.folder(name.removesuffix(PADDED))
    with checkpoints.quiet():
        config = AutoConfig.from_pretrained(folder, **checkpoints.OFFLINE)
        model, missing = checkpoints.read_model(name, folder, config, "sdpa")
        extractor = WhisperFeatureExtractor.from_pretrained(folder, **checkpoints.OFFLINE)
    checkpoints.refuse_missing(name, folder, missing)
    kind = WhisperEncoder if name.endswith(PADDED) else OwnLengthWhisper
    return kind(name, model, extractor).eval()


def load_behind(prefix: str, name: str) -> WhisperEncoder:
    """Return the encoder whose name stands behind a prefix that says what is made of it.

    Args:
        prefix: The prefix.
        name: As for `load`.

    Raises:
        SerError: If it is none of Whisper's short names, or its weights are not there.
    """
    known = registry.encoder(registry.WHISPER[0]).names
    if name not in known:
        raise SerError(f"{prefix}{name}: only Whisper stands behind '{prefix}', as one of {list(known)}")
    return load(name)
