"""An encoder with a classifier on it, as it is trained."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import torch
from torch import nn

from ser_core.systems.encoders.base import Encoder
from ser_core.systems.networks.pooling import LayerWeights, Pooling


class SpeechClassifier(nn.Module):
    """Encoder, layer weights, pooling, dropout and one linear layer.

    Args:
        encoder: The encoder; what of it is frozen is its own business.
        n_classes: Number of classes.
        layers: See `ser_core.systems.networks.pooling.LayerWeights`.
        pooling: A key of `ser_core.systems.networks.POOLINGS`.
        dropout: Share of the pooled values that are dropped in training.
        class_weights: Weight of each class in the loss, shape (n_classes,); all alike if None.
        label_smoothing: Share of a label that is spread over all classes.
        cached: Blocks that the inputs have already gone through, see `Encoder.prefix`.
    """

    def __init__(  # noqa: D107
        self,
        encoder: Encoder,
        n_classes: int,
        *,
        layers: str | int = "last",
        pooling: str = "mean",
        dropout: float = 0.0,
        class_weights: torch.Tensor | None = None,
        label_smoothing: float = 0.0,
        cached: int = 0,
    ):
        super().__init__()
        self.encoder = encoder
        self.layers = LayerWeights(layers, encoder.n_layers)
        self.pooling = Pooling(pooling, encoder.dim)
        # Pooled values of encoders differ a thousandfold in size; one learning rate is to suit all heads.
        self.norm = nn.LayerNorm(self.pooling.dim, elementwise_affine=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.pooling.dim, n_classes)
        self.loss = nn.CrossEntropyLoss(class_weights, reduction="none", label_smoothing=label_smoothing)
        self.cached = cached

    def embed(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the pooled vector of each clip, shape (n_clips, self.pooling.dim)."""
        encoded = self.encoder.suffix(inputs, lengths, self.cached)
        return self.pooling(self.layers(encoded), encoded.mask)

    def forward(
        self,
        inputs: torch.Tensor,
        lengths: torch.Tensor,
        labels: torch.Tensor | None = None,
        others: torch.Tensor | None = None,
        shares: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return the scores of a batch and, if labels are given, the loss.

        Args:
            inputs: Prepared inputs, or what the first ``cached`` blocks made of them; see `Encoder.prepare`.
            lengths: Valid frames of each clip, shape (n_clips,).
            labels: Class of each clip, shape (n_clips,).
            others: Under mixup, the class of the clip that is mixed in, shape (n_clips,).
            shares: Under mixup, the share of the first clip in the mix, shape (n_clips,).

        Returns:
            ``logits`` of shape (n_clips, n_classes), and ``loss`` before them if there are labels.
        """
        logits = self.head(self.dropout(self.norm(self.embed(inputs, lengths)))).float()
        if labels is None:
            return {"logits": logits}
        losses = self.loss(logits, labels)
        weights = torch.ones_like(losses) if self.loss.weight is None else self.loss.weight[labels]
        if others is not None:
            losses = shares * losses + (1 - shares) * self.loss(logits, others)
            if self.loss.weight is not None:
                weights = shares * weights + (1 - shares) * self.loss.weight[others]
        return {"loss": losses.sum() / weights.sum(), "logits": logits}
