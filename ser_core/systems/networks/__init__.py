"""What stands on an encoder: pooling of its frames and the classifier that is trained; padding changes nothing."""

from ser_core.systems.networks.classifier import SpeechClassifier
from ser_core.systems.networks.pooling import POOLINGS, Pooling

__all__ = ["POOLINGS", "Pooling", "SpeechClassifier"]
