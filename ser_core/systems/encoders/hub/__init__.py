"""Which checkpoints of transformers are speech encoders, and how they are loaded: whole or not at all."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

from pathlib import Path

from torch import nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    PreTrainedConfig,
    PreTrainedModel,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from ser_core.errors import SerError
from ser_core.systems.encoders.base import RATE, Encoder
from ser_core.systems.encoders.hub import checkpoints
from ser_core.systems.encoders.hub.wave import WaveEncoder
from ser_core.systems.encoders.hub.whisper import WhisperEncoder

FAMILIES = ("data2vec-audio", "hubert", "wav2vec2", "wavlm", "whisper")
"""Model types that can be loaded, as ``config.json`` names them; XLS-R is a wav2vec2."""


def load(name: str, *, revision: str | None = None) -> Encoder:
    """Return a speech encoder of transformers with the weights of a checkpoint; nothing is downloaded.

    Args:
        name: A folder, or the Hub id of a checkpoint in the Hugging Face cache.
        revision: The commit of a Hub id.

    Returns:
        The encoder in float32, in evaluation mode.

    Raises:
        SerError: If the checkpoint is not there or its commit is not named; if it is of another family or sampling
            rate, has no weights or cannot be read; or if weights of the encoder are missing in it.

    Examples:
        >>> load("facebook/wav2vec2-base")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ser_core.errors.SerError: facebook/wav2vec2-base: revision None is no commit of 40 hex digits; ...
    """
    folder = checkpoints.folder_of(name, revision)
    with checkpoints.quiet():
        config, extractor = _settings(name, folder)
        model = _model(name, folder, config)
    encoder = (WhisperEncoder if config.model_type == "whisper" else WaveEncoder)(name, model, extractor)
    return encoder.eval()


def _settings(name: str, folder: Path) -> tuple[PreTrainedConfig, Wav2Vec2FeatureExtractor | WhisperFeatureExtractor]:
    """Return configuration and feature extractor, checked to fit each other and us."""
    with checkpoints.reading(name, "config.json", folder):
        config = AutoConfig.from_pretrained(folder, **checkpoints.OFFLINE)
    if config.model_type not in FAMILIES:
        raise SerError(f"{name}: is a '{config.model_type}'; expected a speech encoder, one of {list(FAMILIES)}")
    with checkpoints.reading(name, "preprocessor_config.json", folder):
        extractor = AutoFeatureExtractor.from_pretrained(folder, **checkpoints.OFFLINE)
    expected = WhisperFeatureExtractor if config.model_type == "whisper" else Wav2Vec2FeatureExtractor
    if not isinstance(extractor, expected):
        raise SerError(f"{name}: {type(extractor).__name__} prepares its inputs; expected {expected.__name__}")
    if extractor.sampling_rate != RATE:
        raise SerError(f"{name}: takes {extractor.sampling_rate} Hz; expected a checkpoint for {RATE} Hz")
    if config.model_type == "whisper":
        given = extractor.nb_max_frames, extractor.feature_size
        wanted = 2 * config.max_source_positions, config.num_mel_bins
        if given != wanted:
            raise SerError(f"{name}: its extractor gives (frames, mels) {given}, its model takes {wanted}")
    return config, extractor


def _model(name: str, folder: Path, config: PreTrainedConfig) -> PreTrainedModel:
    """Return the model in float32, with no weight of the encoder left to chance."""
    if config.model_type != "whisper":
        # So that the model has a place for the vector of masked frames; the adapter is not used.
        config.mask_time_prob, config.add_adapter = 0.05, False
    attention = "eager" if config.model_type == "wavlm" else "sdpa"
    model, missing = checkpoints.read_model(name, folder, config, attention)
    if config.model_type == "whisper":
        missing = {key for key in missing if key.startswith("encoder.")}
    elif "masked_spec_embed" in missing:
        missing.remove("masked_spec_embed")
        nn.init.zeros_(model.masked_spec_embed)
    checkpoints.refuse_missing(name, folder, missing)
    if config.model_type != "whisper":
        model.masked_spec_embed.requires_grad_(False)
    return model
