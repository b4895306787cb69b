"""Whisper's lower layers alone, trained without those above; their states are scaled by the training part."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from transformers import AttentionInterface

from ser_core.errors import SerError
from ser_core.systems.encoders import eager, whisper
from ser_core.systems.encoders.base import Encoded, Encoder, pad
from ser_core.systems.encoders.hub.whisper import WhisperEncoder


class LowerLayers(Encoder):
    """The convolutions and first layers of Whisper, and in place of its last norm a scaling by the training part.

    Whisper's norm stands behind its last layer. Below it, some values vary up to 30 times as much as most, and a head
    would learn from little else. So each value is standardised as before a logistic regression: by mean and deviation,
    over the training clips, of its mean over a clip's frames. Both are taken before fine-tuning, and then stay fixed.
    Of the layers only the last one's states are given.

    Args:
        name: Name to bear.
        encoder: Whisper's encoder, which is changed: the layers above are taken off.
        n: Layers to keep, from 1.

    Raises:
        SerError: If it has fewer layers.
    """

    n_layers = 1

    def __init__(self, name: str, encoder: WhisperEncoder, n: int):
        """Take the upper layers off."""
        super().__init__()
        layers = encoder.model.layers
        if not 1 <= n <= len(layers):
            raise SerError(f"{name}: keeps {n} layers, but {encoder.name} has {len(layers)}; keep 1 to {len(layers)}")
        encoder.model.layers = layers[:n]
        encoder.model.layer_norm = nn.Identity()
        encoder.n_layers = 1 + n
        self.name, self.encoder = name, encoder
        self.dim, self.initialisation = encoder.dim, encoder.initialisation
        # All blocks may be run before the state of the only layer is lost.
        self.front = len(self.blocks)
        self.register_buffer("mean", torch.zeros(self.dim))
        self.register_buffer("deviation", torch.ones(self.dim))

    @property
    def blocks(self) -> list[nn.Module]:
        """The convolutions and each layer that was kept."""
        return self.encoder.blocks

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return the log-mel spectrogram of one clip's samples."""
        return self.encoder.prepare(samples)

    def calibrate(self, inputs: Sequence[torch.Tensor]) -> None:
        """Take mean and deviation from the clips of a training part; a value that never changes is not scaled.

        Args:
            inputs: Of each clip the spectrogram, or what all frozen blocks made of it; time first.
        """
        k = 0 if inputs[0].shape[1] == self.encoder.extractor.feature_size else self.frozen
        found = []
        with torch.no_grad():
            for start in range(0, len(inputs), 16):
                batch, lengths = pad(inputs[start : start + 16])
                encoded = self.encoder.suffix(batch.float(), lengths, k)
                valid = encoded.mask[..., None]
                found.append((encoded.states[-1] * valid).sum(1) / valid.sum(1))
        scaler = StandardScaler().fit(torch.cat(found).double().numpy())
        self.mean, self.deviation = (torch.from_numpy(x).float() for x in (scaler.mean_, scaler.scale_))

    def prefix(self, inputs: torch.Tensor, lengths: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output of the first ``k`` blocks, not scaled.

        Args:
            inputs: Spectrograms, shape (n_clips, n_frames, n_mels).
            lengths: Frames of each clip, shape (n_clips,).
            k: Number of blocks.
        """
        return self.encoder.prefix(inputs, lengths, k)

    def suffix(self, hidden: torch.Tensor, lengths: torch.Tensor, k: int) -> Encoded:
        """Return the last layer's states, scaled, from the output of the first ``k`` blocks.

        Args:
            hidden: What `prefix` gave.
            lengths: The lengths that it gave.
            k: Number of blocks it ran.
        """
        encoded = self.encoder.suffix(hidden, lengths, k)
        return Encoded(((encoded.states[-1].float() - self.mean) / self.deviation,), encoded.lengths)


def load(name: str) -> LowerLayers:
    """Return the lower layers of one of Whisper's encoders, with attention by matrix products.

    Args:
        name: How many layers, and an encoder as `ser_core.systems.encoders.whisper.load` takes it, such as
            ``4:whisper-base``.

    Returns:
        The encoder, in evaluation mode; see `ser_core.systems.encoders.eager` for the attention.

    Raises:
        SerError: If there is no number, it has fewer layers, it is none of Whisper's short names, or its weights are
            not there.

    Examples:
        >>> load("four:whisper-base")
        Traceback (most recent call last):
        ser_core.errors.SerError: lower:four:whisper-base: 'four' is no number of layers; write 'lower:4:whisper-base'
    """
    n, _, whole = name.partition(":")
    if not re.fullmatch("[0-9]|[1-9][0-9]", n):
        raise SerError(f"lower:{name}: '{n}' is no number of layers; write 'lower:4:{whole or 'whisper-base'}'")
    encoder = whisper.load_behind(f"lower:{n}:", whole)
    AttentionInterface.register("eager-masked", eager.attend)
    encoder.model.set_attn_implementation("eager-masked")
    return LowerLayers(f"lower:{name}", encoder, int(n)).eval()
