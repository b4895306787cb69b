"""Pretrained weights of known origin: which there are, how to get them, and where they lie."""

from ser_core.systems.weights.fetching import differences_from, get
from ser_core.systems.weights.known import KNOWN, Weights
from ser_core.systems.weights.storage import find, folder, load

__all__ = ["KNOWN", "Weights", "differences_from", "find", "folder", "get", "load"]
