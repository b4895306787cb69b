"""Cross-attention: frames attend to tokens and tokens to frames, once; the two means side by side."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import copy

import torch
from torch import nn

from ser_core.errors import SerError
from ser_core.systems.networks.fusion_heads.base import AudioHead, FusionHead, check_states


class _Attention(nn.Module):
    """One set of states attends to another: multi-head attention, residual, layer norm."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        if width % heads:
            raise SerError(f"{heads} attention heads do not divide a width of {width}; change one of them")
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, states: torch.Tensor, others: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return states of the same shape; the mask is that of the others, True where there is no padding."""
        attended, _ = self.attention(states, others, others, key_padding_mask=~mask, need_weights=False)
        return self.norm(states + attended)


class CrossAttention(FusionHead):
    """Frames attend to tokens and tokens to frames, once; the two means side by side, as Khan (2026) does it."""

    def _build(self, audio_dim: int, text_dim: int, width: int, heads: int, dropout: float) -> int:
        self.audio, self.text = nn.Linear(audio_dim, width), nn.Linear(text_dim, width)
        self.audio_to_text = _Attention(width, heads, dropout)
        self.text_to_audio = _Attention(width, heads, dropout)
        return 2 * width

    def _mix(
        self, audio: torch.Tensor, audio_mask: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        audio, text = self.audio(audio), self.text(text)
        audio, text = self.audio_to_text(audio, text, text_mask), self.text_to_audio(text, audio, audio_mask)
        return torch.cat([self.mean(audio, audio_mask), self.mean(text, text_mask)], 1)

    def attention(  # noqa: D102
        self, audio: torch.Tensor, audio_mask: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        check_states("audio", audio[None], audio_mask[None], len(self.absent_audio))
        check_states("text", text[None], text_mask[None], len(self.absent_text))
        if not (audio_mask.any() and text_mask.any()):
            raise SerError("the clip lacks audio or text, so nothing attends to anything; choose a clip that has both")
        # A copy, so that a head in training stays in training.
        attention = copy.deepcopy(self.audio_to_text.attention).eval()
        with torch.no_grad():
            frames, tokens = self.audio(audio[audio_mask])[None], self.text(text[text_mask])[None]
            return attention(frames, tokens, tokens)[1][0]


class CrossAttentionControl(AudioHead):
    """The control of `CrossAttention`: frames attend to themselves, by one of its two directions at the same width."""

    def _build(self, width: int, heads: int, dropout: float) -> int:
        self.audio = nn.Linear(self.audio_dim, width)
        self.audio_to_audio = _Attention(width, heads, dropout)
        return width

    def _frames(self, audio: torch.Tensor, audio_mask: torch.Tensor) -> torch.Tensor:
        audio = self.audio(audio)
        return self.audio_to_audio(audio, audio, audio_mask)
