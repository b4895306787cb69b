"""Which checkpoints of transformers are speech encoders, and how they are loaded: whole or not at all."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from huggingface_hub import constants, snapshot_download
from torch import nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    PreTrainedConfig,
    PreTrainedModel,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)
from transformers.utils import logging

from ser_core.encoders.base import RATE, Encoder
from ser_core.encoders.hub.wave import WaveEncoder
from ser_core.encoders.hub.whisper import WhisperEncoder
from ser_core.errors import SerError

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
    folder = _folder(name, revision)
    with _quiet():
        config, extractor = _settings(name, folder)
        model = _model(name, folder, config)
    encoder = (WhisperEncoder if config.model_type == "whisper" else WaveEncoder)(name, model, extractor)
    return encoder.eval()


def _folder(name: str, revision: str | None) -> Path:
    """Return where a checkpoint's files are."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise SerError(f"{name}: is a folder, which has no revision such as {revision}; leave the revision out")
        return folder
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise SerError(f"{name}: no such folder, and no Hub id (owner/model); name one of them")
    if not re.fullmatch(r"[0-9a-f]{40}", str(revision)):
        raise SerError(
            f"{name}: revision {revision} is no commit of 40 hex digits; pin one that "
            f"https://huggingface.co/{name}/commits/main lists, or name a folder with the checkpoint (none is here)"
        )
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        raise SerError(
            f"{name}: commit {revision} is not in the Hugging Face cache, {constants.HF_HUB_CACHE}; get it by "
            f"'hf download {name} --revision {revision}', or name a folder with the checkpoint"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' report on the keys and its bar: what matters of them is checked here."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _reading(name: str, what: str, folder: Path) -> Iterator[None]:
    """Turn whatever transformers says of a broken file into one line."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SerError(f"{name}: cannot read {what} in {folder} ({reason}); fetch the checkpoint again") from error


def _settings(name: str, folder: Path) -> tuple[PreTrainedConfig, Wav2Vec2FeatureExtractor | WhisperFeatureExtractor]:
    """Return configuration and feature extractor, checked to fit each other and us."""
    offline = {"local_files_only": True, "trust_remote_code": False}
    with _reading(name, "config.json", folder):
        config = AutoConfig.from_pretrained(folder, **offline)
    if config.model_type not in FAMILIES:
        raise SerError(f"{name}: is a '{config.model_type}'; expected a speech encoder, one of {list(FAMILIES)}")
    with _reading(name, "preprocessor_config.json", folder):
        extractor = AutoFeatureExtractor.from_pretrained(folder, **offline)
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
    # The commits of most base encoders that studies used have pytorch_model.bin alone.
    safe = any(folder.glob("*.safetensors"))
    if not safe and not any(folder.glob("pytorch_model*.bin")):
        raise SerError(f"{name}: no weights in {folder}, neither model.safetensors nor pytorch_model.bin; fetch them")
    if config.model_type != "whisper":
        # So that the model has a place for the vector of masked frames; the adapter is not used.
        config.mask_time_prob, config.add_adapter = 0.05, False
    with _reading(name, "the weights", folder):
        model, report = AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation="eager" if config.model_type == "wavlm" else "sdpa",
            use_safetensors=safe,
            weights_only=True,  # torch's reader that runs no code, where there are no safetensors
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    missing = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    if config.model_type == "whisper":
        missing = {key for key in missing if key.startswith("encoder.")}
    elif "masked_spec_embed" in missing:
        missing.remove("masked_spec_embed")
        nn.init.zeros_(model.masked_spec_embed)
    if missing:
        raise SerError(
            f"{name}: {len(missing)} weights of the encoder are missing in {folder} or have another shape, such as "
            f"{min(missing)}; they would be random, so fetch the whole checkpoint"
        )
    if config.model_type != "whisper":
        model.masked_spec_embed.requires_grad_(False)
    return model
