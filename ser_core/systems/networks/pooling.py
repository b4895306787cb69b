"""From frames to one vector a clip: mean, max and mean, statistics, attention; from layers to one: learnt weights."""

import torch
from torch import nn

from ser_core.errors import SerError
from ser_core.systems.encoders.base import Encoded

POOLINGS = {
    "mean": "mean over the frames",
    "max+mean": "maximum plus mean over the frames, as BYOL-A pools",
    "statistics": "mean and standard deviation over the frames, side by side (Snyder et al., 2018)",
    "attention": "mean weighted by a learnt score of each frame (Safari et al., 2020)",
}


class Pooling(nn.Module):
    """Pool the valid frames of each clip.

    Args:
        name: A key of `POOLINGS`.
        dim: Values a frame.

    Raises:
        SerError: If the name is unknown.

    Examples:
        >>> frames = torch.tensor([[[1.0], [3.0], [99.0]]])
        >>> mask = torch.tensor([[True, True, False]])
        >>> Pooling("mean", 1)(frames, mask).tolist(), Pooling("max+mean", 1)(frames, mask).tolist()
        ([[2.0]], [[5.0]])
    """

    def __init__(self, name: str, dim: int):  # noqa: D107
        super().__init__()
        if name not in POOLINGS:
            raise SerError(f"unknown pooling '{name}'; expected one of {sorted(POOLINGS)}")
        self.name = name
        self.dim = 2 * dim if name == "statistics" else dim
        self.score = nn.Linear(dim, 1) if name == "attention" else None

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return one vector a clip.

        Args:
            frames: Shape (n_clips, n_frames, dim).
            mask: True where a frame is not padding, shape (n_clips, n_frames).

        Returns:
            Shape (n_clips, self.dim), float32.
        """
        valid = mask[..., None]
        frames = frames.float()
        if self.score is not None:
            weights = self.score(frames).float().masked_fill(~valid, -torch.inf).softmax(1)
            return (weights * frames).sum(1)
        count = valid.sum(1).clamp(min=1)
        mean = (frames * valid).sum(1) / count
        if self.name == "mean":
            return mean
        if self.name == "max+mean":
            return frames.masked_fill(~valid, -torch.inf).amax(1) + mean
        variance = ((frames - mean[:, None]).square() * valid).sum(1) / count
        # The root has no slope at zero, which one frame gives.
        return torch.cat([mean, (variance + 1e-7).sqrt()], 1)


class LayerWeights(nn.Module):
    """Average the layers of an encoder with learnt weights that sum to one (Yang et al., SUPERB, 2021).

    Args:
        layers: ``weighted``, ``last``, or the number of a layer, from 0.
        n_layers: Layers that the encoder has.

    Raises:
        SerError: If there is no such layer.
    """

    def __init__(self, layers: str | int, n_layers: int):  # noqa: D107
        super().__init__()
        if layers not in ("weighted", "last") and layers not in range(n_layers):
            raise SerError(f"no layer '{layers}'; expected 'last', 'weighted', or a number below {n_layers}")
        self.scores = nn.Parameter(torch.zeros(n_layers)) if layers == "weighted" else None
        self.layer = -1 if layers == "last" else layers

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """Return one state a frame, shape (n_clips, n_frames, dim)."""
        if self.scores is None:
            return encoded.states[self.layer]
        weights = self.scores.softmax(0)
        return sum(weight * state for weight, state in zip(weights, encoded.states, strict=True))
