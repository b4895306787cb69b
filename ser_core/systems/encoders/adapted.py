"""Low-rank adapters in an encoder: what fine-tuning trains in place of the encoder's own weights."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import numpy as np
import peft
import torch
from torch import nn

from ser_core.errors import SerError
from ser_core.systems.encoders import whisper
from ser_core.systems.encoders.base import Encoded, Encoder

RANK = 8
"""Rank of the update of each matrix."""

SCALE = 2.0
"""Factor of each update, LoRA's alpha over its rank."""

ADAPTED = ("q_proj", "v_proj")
"""Which matrices of each transformer layer are adapted: those of query and value, as in the paper."""


class AdaptedEncoder(Encoder):
    """An encoder whose own weights stay as they are, with an update of low rank beside each query and value matrix.

    Before training the update is zero, and the states are the encoder's. A block that `freeze` does not freeze trains
    its adapters and nothing else; one that has none, such as Whisper's convolutions, has nothing to train.

    Args:
        name: Name to bear.
        encoder: The encoder, which is changed. Its matrices are named as in transformers' encoders of speech.

    Raises:
        SerError: If it has no such matrices.

    Source: Hu et al., *LoRA: low-rank adaptation of large language models*, ICLR 2022.
    """

    def __init__(self, name: str, encoder: Encoder):
        """Put adapters into an encoder; the random number generator draws them."""
        super().__init__()
        self.name = name
        self.encoder = encoder
        self.dim, self.n_layers, self.initialisation = encoder.dim, encoder.n_layers, encoder.initialisation
        self.front = encoder.front
        settings = peft.LoraConfig(r=RANK, lora_alpha=SCALE * RANK, target_modules=list(ADAPTED))
        try:
            peft.inject_adapter_in_model(settings, encoder)
        except ValueError as error:
            raise SerError(f"{name}: has no matrices {list(ADAPTED)} to adapt; take another encoder") from error
        self.freeze(0)

    @property
    def blocks(self) -> list[nn.Module]:
        """The encoder's blocks, with the adapters in them."""
        return self.encoder.blocks

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return what the encoder's first block takes, from one clip's samples."""
        return self.encoder.prepare(samples)

    def prefix(self, inputs: torch.Tensor, lengths: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output of the first ``k`` blocks and its lengths, as the encoder gives them.

        Args:
            inputs: A batch as the encoder takes it.
            lengths: Valid frames of each clip, shape (n_clips,).
            k: Number of blocks.
        """
        return self.encoder.prefix(inputs, lengths, k)

    def suffix(self, hidden: torch.Tensor, lengths: torch.Tensor, k: int) -> Encoded:
        """Return the layers' states from the output of the first ``k`` blocks.

        Args:
            hidden: What `prefix` gave.
            lengths: The lengths that it gave.
            k: Number of blocks it ran.
        """
        return self.encoder.suffix(hidden, lengths, k)

    def freeze(self, k: int) -> None:
        """Freeze the first ``k`` blocks with their adapters; of the others all but the adapters is frozen anyway."""
        super().freeze(k)
        for name, parameter in self.named_parameters():
            if "lora_" not in name:
                parameter.requires_grad_(False)


def load(name: str) -> AdaptedEncoder:
    """Return one of Whisper's encoders with adapters in it.

    Args:
        name: As `ser_core.systems.encoders.whisper.load` takes it.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        SerError: If it is none of Whisper's short names, or its weights are not there.

    Examples:
        >>> load("byol-s")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ser_core.errors.SerError: lora:byol-s: only Whisper stands behind 'lora:', as one of ['whisper-base', ...
    """
    return AdaptedEncoder(f"lora:{name}", whisper.load_behind("lora:", name)).eval()
