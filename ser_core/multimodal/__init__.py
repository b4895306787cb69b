"""Networks that decide from audio frames and text tokens, with masks, and audio-only controls of equal size."""

from ser_core.multimodal.base import AudioHead, FusionHead
from ser_core.multimodal.classifier import FusionClassifier
from ser_core.multimodal.heads import HEADS, audio_head, fusion_head, matched_width

__all__ = ["HEADS", "AudioHead", "FusionClassifier", "FusionHead", "audio_head", "fusion_head", "matched_width"]
