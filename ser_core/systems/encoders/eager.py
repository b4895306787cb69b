"""Whisper with attention by matrix products, which trains faster on a processor in bfloat16 on short clips."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.models.whisper.modeling_whisper import eager_attention_forward

from ser_core.systems.encoders import whisper
from ser_core.systems.encoders.hub.whisper import WhisperEncoder


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **settings: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the output of an attention by transformers' ``eager`` function, under a mask as the fused one takes it.

    Args:
        module: The attention's layer.
        query: Shape (n_clips, n_heads, n_frames, dim).
        key: As ``query``.
        value: As ``query``.
        attention_mask: Whether a frame is attended to, shape (n_clips, 1, 1, n_frames); None for all.
        settings: Such as the scaling.

    Returns:
        The output, shape (n_clips, n_frames, n_heads, dim), and the weights.
    """
    if attention_mask is not None:
        attention_mask = torch.zeros_like(attention_mask, dtype=torch.float32).masked_fill(~attention_mask, -torch.inf)
    return eager_attention_forward(module, query, key, value, attention_mask, **settings)


def load(name: str) -> WhisperEncoder:
    """Return one of Whisper's encoders, the states of which differ from those of its own name by rounding.

    The backward pass of torch's fused attention is slow on a processor. By products in bfloat16, one layer of Whisper
    base is trained about 1.5 times as fast, on one core for a batch of 16 clips of 2.8 s; in float32 or on clips of 5 s
    there is no gain. In bfloat16 the scores are rounded before the softmax, which fused attention does not do: the last
    states then err by about 1.4 times as much.

    Args:
        name: As `ser_core.systems.encoders.whisper.load` takes it.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        SerError: If it is none of Whisper's short names, or its weights are not there.

    Examples:
        >>> load("byol-s")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ser_core.errors.SerError: eager:byol-s: only Whisper stands behind 'eager:', as one of ['whisper-base', ...
    """
    encoder = whisper.load_behind("eager:", name)
    AttentionInterface.register("eager-masked", attend)
    encoder.model.set_attn_implementation("eager-masked")
    encoder.name = f"eager:{name}"
    return encoder
