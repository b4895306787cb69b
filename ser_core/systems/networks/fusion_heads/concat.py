"""Concatenation: the means of frames and tokens side by side, with a hidden layer or without."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import torch
from torch import nn

from ser_core.systems.networks.fusion_heads.base import AudioHead, FusionHead


class Concat(FusionHead):
    """Means side by side, one hidden layer with GELU."""

    def _build(self, audio_dim: int, text_dim: int, width: int, heads: int, dropout: float) -> int:
        self.hidden = nn.Sequential(nn.Linear(audio_dim + text_dim, width), nn.GELU())
        return width

    def _mix(
        self, audio: torch.Tensor, audio_mask: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        return self.hidden(torch.cat([self.mean(audio, audio_mask), self.mean(text, text_mask)], 1))


class PlainConcat(FusionHead):
    """Means side by side, nothing hidden, as Sharma (2023) puts HuBERT and BERT together."""

    def _build(self, audio_dim: int, text_dim: int, width: int, heads: int, dropout: float) -> int:
        return audio_dim + text_dim

    def _mix(
        self, audio: torch.Tensor, audio_mask: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        return torch.cat([self.mean(audio, audio_mask), self.mean(text, text_mask)], 1)


class PlainConcatControl(AudioHead):
    """The control of `PlainConcat`, which has one layer to train, as the fusion has.

    Beside the mean of the frames it reads as many random, fixed, hidden values as make up for the text (a random vector
    functional link, Pao et al., 1994).
    """

    def _finish(self, hidden: int) -> int:
        self.hidden.requires_grad_(False)
        return hidden + self.audio_dim

    def _widen(self, mean: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        return torch.cat([mean, hidden], 1)
