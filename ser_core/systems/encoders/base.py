"""What every encoder offers: clips in, masked frames of every layer out, and where its blocks can be cut."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

RATE = 16_000
"""The sampling rate of every encoder's input, in Hz."""


@dataclass(frozen=True)
class Encoded:
    """What an encoder says of a batch.

    Attributes:
        states: One tensor a layer, from the first to the last, each of shape (n_clips, n_frames, dim).
        lengths: Valid frames of each clip, shape (n_clips,); frames behind them are padding.
    """

    states: tuple[torch.Tensor, ...]
    lengths: torch.Tensor

    @property
    def mask(self) -> torch.Tensor:
        """True where a frame is not padding, shape (n_clips, n_frames)."""
        return mask_of(self.lengths, self.states[-1].shape[1])


def mask_of(lengths: torch.Tensor, n: int) -> torch.Tensor:
    """Return True where a position is below the length, shape (n_clips, n).

    Examples:
        >>> mask_of(torch.tensor([1, 3]), 3).tolist()
        [[True, False, False], [True, True, True]]
    """
    return torch.arange(n, device=lengths.device)[None] < lengths[:, None]


def pad(inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return clips of unequal length as one batch.

    Args:
        inputs: One tensor a clip, each of shape (n_frames, ...).

    Returns:
        The batch, shape (n_clips, longest, ...), zeros behind each clip; and the lengths, shape (n_clips,).

    Examples:
        >>> batch, lengths = pad([torch.ones(1), torch.ones(3)])
        >>> batch.tolist(), lengths.tolist()
        ([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], [1, 3])
    """
    lengths = torch.tensor([len(clip) for clip in inputs])
    return nn.utils.rnn.pad_sequence(list(inputs), batch_first=True), lengths


class Encoder(nn.Module):
    """A pretrained encoder of speech, cut into blocks from the input to the output.

    A batch goes through ``blocks[:k]`` by `prefix` and through the rest by `suffix`, so that what frozen blocks
    say of a clip can be computed once and kept. Whatever a clip is batched with, its valid frames are the same.

    Attributes:
        name: As it was asked for: ``byol-s``, a Hub id, a folder.
        dim: Values a frame.
        n_layers: Layers whose states `suffix` gives.
        initialisation: Where its weights come from, for tables.
        front: How many blocks may be run before the state of the first layer is lost; of each further layer one more.
        calibrated: Whether it takes its inputs' mean and deviation from the training part, by `calibrate`.
        frozen: How many blocks are frozen, see `freeze`.
    """

    name: str
    dim: int
    n_layers: int
    initialisation: str = "published weights"
    front: int = 2
    calibrated: bool = False
    frozen: int = 0

    @property
    def blocks(self) -> list[nn.Module]:
        """The modules that hold the weights, from the input to the output; freezing takes them from the front."""
        raise NotImplementedError

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Return what the first block takes, from one clip's float32 samples at `RATE` Hz: shape (n_frames, ...)."""
        raise NotImplementedError

    def prefix(self, inputs: torch.Tensor, lengths: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output of the first ``k`` blocks and its lengths; the inputs themselves if ``k`` is 0.

        Args:
            inputs: A batch made by `pad` from what `prepare` gave, shape (n_clips, n_frames, ...).
            lengths: Valid frames of each clip, shape (n_clips,).
            k: Number of blocks, from 0 to all.

        Returns:
            What `suffix` takes with the same ``k``: shape (n_clips, n_frames, ...), time on the second axis; and the
            valid frames of each clip in it.
        """
        raise NotImplementedError

    def suffix(self, hidden: torch.Tensor, lengths: torch.Tensor, k: int) -> Encoded:
        """Return the layers' states from the output of the first ``k`` blocks.

        Args:
            hidden: What `prefix` gave with the same ``k``; it may have been cut into clips and padded anew.
            lengths: Valid frames of each clip in it, shape (n_clips,).
            k: Number of blocks that it has gone through.

        Returns:
            The states of every layer.
        """
        raise NotImplementedError

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> Encoded:
        """Return the layers' states of a batch made by `pad` from what `prepare` gave."""
        return self.suffix(inputs, lengths, 0)

    def calibrate(self, inputs: Sequence[torch.Tensor]) -> None:
        """Take what standardises inputs or states from the clips of a training part; most encoders need nothing."""

    def freeze(self, k: int) -> None:
        """Freeze the first ``k`` blocks: no gradients, and in training mode too they act as in evaluation."""
        for i, block in enumerate(self.blocks):
            block.requires_grad_(i >= k)
        self.frozen = k
        self.train(self.training)

    def train(self, mode: bool = True) -> "Encoder":
        """Set training mode for what is not frozen.

        Args:
            mode: False for evaluation mode, as in `torch.nn.Module.train`.

        Returns:
            The encoder itself.
        """
        super().train(mode)
        for block in self.blocks[: self.frozen]:
            block.eval()
        return self
