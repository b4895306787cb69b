"""The kinds of fusion by name, each with its audio-only control, and the size at which the two are matched."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

import importlib

import torch
from torch import nn

from ser_core.errors import SerError
from ser_core.systems.networks.fusion_heads.base import AudioHead, FusionHead
from ser_core.systems.registry import FUSION_HEADS


def _class(kind: str, which: int) -> type:
    """Return the class of a kind of fusion, 0, or of its audio-only control, 1."""
    if kind not in FUSION_HEADS:
        raise SerError(f"unknown kind of fusion '{kind}'; expected one of {sorted(FUSION_HEADS)}")
    module, _, name = FUSION_HEADS[kind][which].partition(":")
    return getattr(importlib.import_module(f"ser_core.{module}"), name)


def fusion_head(kind: str, *sizes: int, **settings) -> FusionHead:
    """Return a fusion head, untrained.

    Args:
        kind: A key of `ser_core.systems.registry.FUSION_HEADS`.
        *sizes: Values a frame, values a token and number of classes.
        **settings: See `FusionHead`.

    Raises:
        SerError: If the kind is unknown, or as `FusionHead`.

    Examples:
        >>> head = fusion_head("gated", 3, 2, 4, width=8).eval()
        >>> frames, tokens = torch.ones(1, 5, 3), torch.ones(1, 2, 2)
        >>> heard, written = torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, 2, dtype=torch.bool)
        >>> head(frames, heard, tokens, written).shape
        torch.Size([1, 4])
    """
    return _class(kind, 0)(*sizes, **settings)


def audio_head(kind: str, *sizes: int, **settings) -> AudioHead:
    """Return the audio-only control of a kind of fusion, untrained.

    Args:
        kind: A key of `ser_core.systems.registry.FUSION_HEADS`.
        *sizes: Values a frame and number of classes.
        **settings: See `AudioHead`.

    Raises:
        SerError: If the kind is unknown, or as `AudioHead`.

    Examples:
        >>> head = audio_head("concat", 3, 4, hidden=matched_width("concat", 3, 2, 4, width=64))
        >>> head(torch.ones(1, 5, 3), torch.ones(1, 5, dtype=torch.bool)).shape
        torch.Size([1, 4])
    """
    return _class(kind, 1)(*sizes, **settings)


def matched_width(kind: str, audio_dim: int, text_dim: int, n_classes: int, width: int) -> int:
    """Return the ``hidden`` with which a control has as many trained parameters as its fusion, within 1 %.

    Args:
        kind: A key of `ser_core.systems.registry.FUSION_HEADS`.
        audio_dim: Values a frame.
        text_dim: Values a token.
        n_classes: Number of classes.
        width: The width of the fusion.

    Returns:
        The number of hidden values, at least 1.

    Raises:
        SerError: If the kind is unknown, or one hidden value more or less is over 1 % of so small a fusion.

    Examples:
        >>> matched_width("concat", 768, 768, 8, width=512)
        1020
    """
    # Nothing is drawn or stored on the meta device; the number of heads does not count.
    with torch.device("meta"):
        wanted = _trained(fusion_head(kind, audio_dim, text_dim, n_classes, width=width, heads=1))
        one, two = (
            _trained(audio_head(kind, audio_dim, n_classes, hidden=hidden, width=width, heads=1)) for hidden in (1, 2)
        )
    hidden = max(1, 1 + round((wanted - one) / (two - one)))
    found = one + (hidden - 1) * (two - one)
    if abs(found - wanted) > 0.01 * wanted:
        raise SerError(f"'{kind}' has {wanted} parameters, the nearest audio-only head {found}; take a greater width")
    return hidden


def _trained(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
