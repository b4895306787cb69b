"""Networks that decide from audio frames and text tokens, with masks, and audio-only controls of equal size."""

from ser_core.multimodal.classifier import FusionClassifier
from ser_core.multimodal.heads import KINDS, AudioHead, FusionHead, attention_weights, matched_width

__all__ = ["KINDS", "AudioHead", "FusionClassifier", "FusionHead", "attention_weights", "matched_width"]
