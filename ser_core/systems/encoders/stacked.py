"""All layers of a frozen encoder as one block, so that what each of them says of a clip is computed once and kept."""

import numpy as np
import torch
from torch import nn

from ser_core.systems.encoders import whisper
from ser_core.systems.encoders.base import Encoded, Encoder


class StackedEncoder(Encoder):
    """An encoder that is one block, whose output is the states of all its layers side by side.

    Learnt layer weights on a frozen encoder need every layer's state in every epoch. With the encoder's own blocks only
    the state of the first could be kept, and the frozen layers would be run anew in every epoch.

    Args:
        name: Name to bear.
        encoder: The encoder.
    """

    def __init__(self, name: str, encoder: Encoder):
        """Take over an encoder."""
        super().__init__()
        self.name = name
        self.encoder = encoder
        self.dim, self.n_layers, self.initialisation = encoder.dim, encoder.n_layers, encoder.initialisation

    @property
    def blocks(self) -> list[nn.Module]:
        """The whole encoder."""
        return [self.encoder]

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return what the encoder's first block takes, from one clip's samples."""
        return self.encoder.prepare(samples)

    def prefix(self, inputs: torch.Tensor, lengths: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states of all layers, or the inputs themselves if ``k`` is 0.

        Args:
            inputs: As the encoder takes them.
            lengths: Valid frames of each clip, shape (n_clips,).
            k: 0 or 1.

        Returns:
            Shape (n_clips, n_frames, n_layers, dim), and the frames of each clip.
        """
        if k == 0:
            return inputs, lengths
        encoded = self.encoder(inputs, lengths)
        return torch.stack(encoded.states, 2), encoded.lengths

    def suffix(self, hidden: torch.Tensor, lengths: torch.Tensor, k: int) -> Encoded:
        """Return the layers' states.

        Args:
            hidden: What `prefix` gave.
            lengths: The lengths that it gave.
            k: 0 or 1, as there.
        """
        return Encoded(hidden.unbind(2), lengths) if k else self.encoder(hidden, lengths)


def load(name: str) -> StackedEncoder:
    """Return one of Whisper's encoders with all its layers in one block.

    Args:
        name: As `ser_core.systems.encoders.whisper.load` takes it.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        SerError: If it is none of Whisper's short names, or its weights are not there.

    Examples:
        >>> load("byol-s")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ser_core.errors.SerError: layers:byol-s: only Whisper stands behind 'layers:', as one of ['whisper-base', ...
    """
    return StackedEncoder(f"layers:{name}", whisper.load_behind("layers:", name)).eval()
