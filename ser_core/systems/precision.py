"""Which precision a device computes in itself: bfloat16 where it has instructions for it, else float32."""

# The book is built without torch, whose classes stand in the annotations.
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""What x86 and ARM call instructions on bfloat16; without any, torch computes them by detours."""


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes products of bfloat16 itself.

    Args:
        device: A CPU or a GPU.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(name, False) for name in _BFLOAT16)


def settled(precision: str) -> str:
    """Return the precision in which a recipe's network is trained on the device that training takes.

    Args:
        precision: ``bf16``, ``fp32`` or ``auto``.

    Returns:
        ``bf16`` or ``fp32``.

    Examples:
        >>> settled("fp32"), settled("auto") in ("bf16", "fp32")
        ('fp32', True)
    """
    import torch

    if precision != "auto":
        return precision
    # As the Trainer takes it.
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return "bf16" if has_bfloat16(device) else "fp32"
