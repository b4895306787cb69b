"""An encoder of what is heard and one of what is said with a fusion on them, as they are trained."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import torch
from torch import nn

from ser_core.systems.encoders.base import Encoder
from ser_core.systems.networks.fusion_heads.heads import audio_head, fusion_head, matched_width
from ser_core.systems.networks.pooling import LayerWeights


class FusionClassifier(nn.Module):
    """Two encoders, each frame and each token scaled to mean 0 and deviation 1, and a head.

    Args:
        encoder: The encoder of recordings; what of it is frozen is its own business.
        reader: The encoder of texts. A control takes its width alone.
        n_classes: Number of classes.
        kind: A key of `ser_core.systems.registry.FUSION_HEADS`; or one behind ``audio:``, for its audio-only
            control.
        width: See `ser_core.systems.networks.fusion_heads.FusionHead`.
        layers: Of the encoder of recordings, see `ser_core.systems.networks.pooling.LayerWeights`; of texts the last
            is taken.
        dropout: Share of the fused values, and of attention weights, that are dropped in training.
        class_weights: Weight of each class in the loss, shape (n_classes,); all alike if None.
        label_smoothing: Share of a label that is spread over all classes.
        cached: Blocks that the inputs have already gone through, see `Encoder.prefix`.
        text_cached: Blocks that the texts have already gone through.
    """

    def __init__(  # noqa: D107
        self,
        encoder: Encoder,
        reader: Encoder,
        n_classes: int,
        *,
        kind: str,
        width: int = 512,
        layers: str | int = "last",
        dropout: float = 0.0,
        class_weights: torch.Tensor | None = None,
        label_smoothing: float = 0.0,
        cached: int = 0,
        text_cached: int = 0,
    ):
        super().__init__()
        self.encoder = encoder
        self.layers = LayerWeights(layers, encoder.n_layers)
        shared = {"width": width, "dropout": dropout}
        control = kind.startswith("audio:")
        self.reader = None if control else reader
        if control:
            kind = kind.removeprefix("audio:")
            hidden = matched_width(kind, encoder.dim, reader.dim, n_classes, width)
            self.head = audio_head(kind, encoder.dim, n_classes, hidden=hidden, **shared)
        else:
            sizes = (encoder.dim, reader.dim, n_classes)
            self.head = fusion_head(kind, *sizes, **shared)
        self.loss = nn.CrossEntropyLoss(class_weights, label_smoothing=label_smoothing)
        self.cached, self.text_cached = cached, text_cached

    def attention(
        self, inputs: torch.Tensor, lengths: torch.Tensor, texts: torch.Tensor, text_lengths: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return how much each frame of each clip attends to its tokens, see `FusionHead.attention`.

        Args:
            inputs: As for `embed`.
            lengths: As for `embed`.
            texts: As for `embed`.
            text_lengths: As for `embed`.

        Returns:
            One tensor a clip, shape (n_valid_frames, n_valid_tokens).

        Raises:
            SerError: If the head has no attention.
        """
        heard = self.encoder.suffix(inputs, lengths, self.cached)
        read = self.reader.suffix(texts, text_lengths, self.text_cached)
        frames, tokens = _scaled(self.layers(heard)), _scaled(read.states[-1])
        clips = zip(frames, heard.mask, tokens, read.mask, strict=True)
        return [self.head.attention(*clip) for clip in clips]

    def embed(
        self,
        inputs: torch.Tensor,
        lengths: torch.Tensor,
        texts: torch.Tensor | None = None,
        text_lengths: torch.Tensor | None = None,
        spoken: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the fused vector of each clip.

        Args:
            inputs: Prepared recordings, or what the first ``cached`` blocks made of them.
            lengths: Valid frames of each clip, shape (n_clips,).
            texts: Prepared texts, or what the first ``text_cached`` blocks made of them; None for a control.
            text_lengths: Valid tokens of each clip, at least one, shape (n_clips,).
            spoken: Whether there is a text of each clip, boolean, shape (n_clips,); where not, the head's learnt vector
                stands for it.

        Returns:
            Shape (n_clips, n_values).
        """
        encoded = self.encoder.suffix(inputs, lengths, self.cached)
        # States of encoders differ a thousandfold in size; one learning rate is to suit all heads.
        frames = _scaled(self.layers(encoded))
        if self.reader is None:
            return self.head.fuse(frames, encoded.mask)
        said = self.reader.suffix(texts, text_lengths, self.text_cached)
        present = torch.stack([torch.ones_like(spoken), spoken], 1)
        return self.head.fuse(frames, encoded.mask, _scaled(said.states[-1]), said.mask, present)

    def forward(
        self,
        inputs: torch.Tensor,
        lengths: torch.Tensor,
        texts: torch.Tensor | None = None,
        text_lengths: torch.Tensor | None = None,
        spoken: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return the scores of a batch and, if labels are given, the loss.

        Args:
            inputs: Prepared recordings, or what the first ``cached`` blocks made of them.
            lengths: Valid frames of each clip, shape (n_clips,).
            texts: Prepared texts, or what the first ``text_cached`` blocks made of them; None for a control.
            text_lengths: Valid tokens of each clip, at least one, shape (n_clips,).
            spoken: Whether there is a text of each clip, boolean, shape (n_clips,); where not, the head's learnt vector
                stands for it.
            labels: Class of each clip, shape (n_clips,).

        Returns:
            ``logits`` of shape (n_clips, n_classes), and ``loss`` before them if there are labels.
        """
        logits = self.head.classify(self.embed(inputs, lengths, texts, text_lengths, spoken)).float()
        return {"logits": logits} if labels is None else {"loss": self.loss(logits, labels), "logits": logits}


def _scaled(states: torch.Tensor) -> torch.Tensor:
    """Return states with mean 0 and deviation 1 over the values of each."""
    return nn.functional.layer_norm(states.float(), states.shape[-1:])
