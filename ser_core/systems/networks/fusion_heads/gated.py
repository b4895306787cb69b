"""Gated fusion: a learnt gate says how much of each value comes from the sound and how much from the words."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import torch
from torch import nn

from ser_core.systems.networks.fusion_heads.base import FusionHead


class Gated(FusionHead):
    """Each mean through a hidden layer with GELU, mixed by a learnt sigmoid gate (after Arevalo et al., 2017)."""

    def _build(self, audio_dim: int, text_dim: int, width: int, heads: int, dropout: float) -> int:
        self.audio = nn.Sequential(nn.Linear(audio_dim, width), nn.GELU())
        self.text = nn.Sequential(nn.Linear(text_dim, width), nn.GELU())
        self.gate = nn.Sequential(nn.Linear(2 * width, width), nn.Sigmoid())
        return width

    def _mix(
        self, audio: torch.Tensor, audio_mask: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        heard, read = self.audio(self.mean(audio, audio_mask)), self.text(self.mean(text, text_mask))
        gate = self.gate(torch.cat([heard, read], 1))
        return gate * heard + (1 - gate) * read
