"""Networks that decide from audio frames and text tokens, with masks, and audio-only controls of equal size."""

from ser_core.systems.networks.fusion_heads.base import AudioHead, FusionHead
from ser_core.systems.networks.fusion_heads.heads import audio_head, fusion_head, matched_width

__all__ = ["AudioHead", "FusionHead", "audio_head", "fusion_head", "matched_width"]
